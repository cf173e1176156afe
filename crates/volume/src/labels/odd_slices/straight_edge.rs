//! A structure that ends in a straight edge where its neighbours go on: a slice painted
//! half.
//!
//! A piece of paint is looked at from 32 directions. Seen from one of them its foremost
//! pixels are its edge. Round things end in a short edge, cut ones in a long one. The
//! slices beside it say whether something is missing: they show the same on this side
//! of the edge, and a good part more beyond it, along most of its length. The border of
//! the volume is no such edge, for nothing lies beyond; nor is the side of a box, for
//! the neighbours end there too.

use super::plane::Plane;

/// Directions looked from: 11 degrees apart. Along an edge of 20 pixels the worst
/// error, half of that, is 2 pixels, about what an edge may be off (see `BAND`).
const DIRECTIONS: usize = 32;

/// Pixels that count as foremost: within so many of the foremost of all.
const BAND: f64 = 1.5;

/// Pixels beyond the edge in which the neighbours must go on.
const JUST_BEYOND: f64 = 1.5;

/// An edge of fewer pixels is that of anything small.
const SHORTEST: usize = 6;

/// An edge shorter than this in units of the root of the area is not asked about: a
/// half disk has 1.6, a disk of radius 15 has 0.45, and what is longer than wide has
/// little where it is cut across.
const SHORTEST_FOR_AREA: f64 = 0.45;

/// What the neighbours must show, by how many there are: one alone says less, for at an
/// end of what is annotated a structure may well become smaller.
struct Rule {
    /// Least share of theirs that lies beyond the edge.
    beyond: f64,
    /// Least agreement (intersection over union) on this side of it, of the one that
    /// agrees best; `LESS` times that of the other.
    agreement: f64,
}

/// See [`Rule::agreement`]: a structure may be much smaller in one of two neighbours.
const LESS: f64 = 0.6;

const BOTH: Rule = Rule {
    beyond: 0.2,
    agreement: 0.5,
};

const ONE: Rule = Rule {
    beyond: 0.3,
    agreement: 0.75,
};

/// Least share of the edge along which neighbours go on just beyond it.
const ALONG: f64 = 0.6;

/// Least length of the edge, in that of what goes on just beyond it.
const LENGTH: f64 = 0.7;

/// Most of what neighbours show beyond the edge that the slice shows there too.
const LEFT: f64 = 0.1;

/// A pixel seen from a direction: how far in front, and how far to the side.
#[derive(Clone, Copy)]
struct View {
    cos: f64,
    sin: f64,
}

impl View {
    fn new(direction: usize) -> Self {
        let angle = std::f64::consts::TAU * direction as f64 / DIRECTIONS as f64;
        let (sin, cos) = angle.sin_cos();
        Self { cos, sin }
    }

    fn front(self, (row, column): (usize, usize)) -> f64 {
        self.cos * column as f64 + self.sin * row as f64
    }

    /// To the side in whole pixels.
    fn side(self, (row, column): (usize, usize)) -> i64 {
        (self.cos * row as f64 - self.sin * column as f64).round() as i64
    }
}

/// The middle of such an edge of `slice`, row and column, `None` where it has none.
/// `neighbours` are the slices beside it, one or two.
pub(super) fn straight_edge(slice: &Plane, neighbours: &[Plane]) -> Option<(usize, usize)> {
    let rule = match neighbours.len() {
        0 => return None,
        1 => ONE,
        _ => BOTH,
    };
    let theirs: Vec<Vec<Vec<usize>>> = neighbours.iter().map(Plane::pieces).collect();
    let pieces = slice.pieces();
    pieces.iter().find_map(|piece| {
        // Of each neighbour what lies on the piece, with all that hangs together with it.
        let mut is_own = vec![false; slice.pixels.len()];
        piece.iter().for_each(|&p| is_own[p] = true);
        let others: Vec<Vec<usize>> = theirs
            .iter()
            .map(|pieces| {
                let touch = |piece: &&Vec<usize>| piece.iter().any(|&p| is_own[p]);
                let mut pixels: Vec<usize> =
                    pieces.iter().filter(touch).flatten().copied().collect();
                pixels.sort_unstable();
                pixels
            })
            .collect();
        if others.iter().any(Vec::is_empty) {
            return None;
        }
        let views = (0..DIRECTIONS).map(View::new);
        views
            .filter_map(|view| Edge::of(slice, piece, view))
            .find(|edge| {
                let mut agreements = others
                    .iter()
                    .map(|o| edge.agreement_if_cut(slice, piece, o, &rule));
                let best = agreements.try_fold(0f64, |best, agreement| Some(best.max(agreement?)));
                best.is_some_and(|best| best >= rule.agreement)
            })
            .map(|edge| edge.middle)
    })
}

/// The foremost pixels of a piece.
struct Edge {
    view: View,
    /// How far in front the foremost is.
    front: f64,
    /// Where they are to the side, ascending, each once.
    sides: Vec<i64>,
    middle: (usize, usize),
}

impl Edge {
    /// The edge of a piece, where it is long enough to be asked about.
    fn of(slice: &Plane, piece: &[usize], view: View) -> Option<Self> {
        let fronts = piece.iter().map(|&p| view.front(slice.at(p)));
        let front = fronts.fold(f64::NEG_INFINITY, f64::max);
        // At the border of the volume there is nothing beyond.
        let corners = [0, slice.rows - 1].map(|row| [0, slice.columns - 1].map(|c| (row, c)));
        let corners = corners.as_flattened().iter().map(|at| view.front(*at));
        if front > corners.fold(f64::NEG_INFINITY, f64::max) - 0.5 {
            return None;
        }
        let is_edge = |&&p: &&usize| view.front(slice.at(p)) > front - BAND;
        let mut pixels: Vec<(i64, usize)> = piece
            .iter()
            .filter(is_edge)
            .map(|&p| (view.side(slice.at(p)), p))
            .collect();
        pixels.sort_unstable();
        let middle = slice.at(pixels[pixels.len() / 2].1);
        let mut sides: Vec<i64> = pixels.into_iter().map(|(side, _)| side).collect();
        sides.dedup();
        let is_long = sides.len() >= SHORTEST
            && sides.len() as f64 >= SHORTEST_FOR_AREA * (piece.len() as f64).sqrt();
        is_long.then_some(Self {
            view,
            front,
            sides,
            middle,
        })
    }

    /// How well the piece agrees on this side with what a neighbour shows at its place,
    /// its pixels ascending; `None` where that is not cut off here.
    fn agreement_if_cut(
        &self,
        slice: &Plane,
        piece: &[usize],
        other: &[usize],
        rule: &Rule,
    ) -> Option<f64> {
        let (mut beyond, mut left, mut kept, mut common) = (0usize, 0usize, 0usize, 0usize);
        let mut just_beyond = Vec::new();
        for &pixel in other {
            let at = slice.at(pixel);
            let front = self.view.front(at) - self.front;
            // A pixel is a square: half of it may be seen in front of its middle.
            if front <= 0.5 {
                kept += 1;
                common += usize::from(slice.pixels[pixel]);
                continue;
            }
            beyond += 1;
            left += usize::from(slice.pixels[pixel]);
            if front <= 0.5 + JUST_BEYOND {
                just_beyond.push(self.view.side(at));
            }
        }
        just_beyond.sort_unstable();
        just_beyond.dedup();
        // What the slice shows on this side of it that the neighbour does not.
        let alone = piece.iter().filter(|p| other.binary_search(p).is_err());
        let union = kept + alone.count();
        let along = self.sides.iter();
        let along = along.filter(|side| just_beyond.binary_search(side).is_ok());
        let length = self.sides.len() as f64;
        let agreement = common as f64 / union as f64;
        let is_cut = beyond as f64 >= rule.beyond * (beyond + kept) as f64
            && left as f64 <= LEFT * beyond as f64
            && agreement >= LESS * rule.agreement
            && along.count() as f64 >= ALONG * length
            && length >= LENGTH * just_beyond.len() as f64;
        is_cut.then_some(agreement)
    }
}
