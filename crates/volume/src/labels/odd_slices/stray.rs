//! Slices with hardly any paint beside slices with much: a stray click.
//!
//! Neighbouring slices whose paint hangs together are judged together, so that the
//! thin end of a structure is not torn from it. Such a group is stray when its largest
//! slice holds under a twentieth of the median of the four slices around it, unless it
//! is where a structure tapers off: the slice on one side, and on that side alone,
//! holds paint at the same place, and is near, or the paint is more than a click or
//! lies deep inside what it ends.

use super::Painted;
use super::plane::Plane;

/// A slice with less than one part in so many of what its neighbours have.
const SHARE: usize = 20;

/// Slices looked at on each side.
const EACH_SIDE: usize = 2;

/// Slices no further apart than this show one structure at nearly one place.
const NEAR: usize = 2;

/// Pixels by which a structure may move from one slice to the next.
const MOVES: usize = 2;

/// Voxels that a click or a slip of the brush may leave. Round ends that are cut where
/// so little is left are rare: 1 of 100 at a radius of 15 and slices 10 apart.
const CLICK: usize = 9;

/// A structure that fills no more pixels of a slice is small: its tip may lie anywhere
/// near the last slice that shows more of it.
const SMALL: usize = 100;

/// So many slices in a row are no slip.
const LONG: usize = 4;

/// Slices that were hardly meant.
pub(super) struct Stray {
    /// Their numbers, ascending.
    pub(super) slices: Vec<usize>,
    /// Painted voxels of the fullest.
    pub(super) voxels: usize,
    /// The median of what the slices around them hold.
    pub(super) usual: usize,
}

/// Slices whose paint hangs together: positions among the painted ones.
struct Group {
    first: usize,
    last: usize,
    most: usize,
    is_stray: bool,
}

struct Search<'a> {
    cut: &'a dyn Fn(usize) -> Plane,
    /// The slices that hold paint.
    painted: Vec<Painted>,
    /// Annotated slices that hold none.
    empty: Vec<usize>,
    /// Whether a person said that these slices are annotated.
    is_stated: bool,
    groups: Vec<Group>,
}

/// Finds them among the annotated slices, empty ones included, ascending.
pub(super) fn stray(
    cut: &dyn Fn(usize) -> Plane,
    slices: &[Painted],
    is_stated: bool,
) -> Vec<Stray> {
    let (painted, empty): (Vec<Painted>, Vec<Painted>) =
        slices.iter().partition(|(_, count)| *count > 0);
    let mut search = Search {
        cut,
        painted,
        empty: empty.into_iter().map(|(index, _)| index).collect(),
        is_stated,
        groups: Vec::new(),
    };
    search.group();
    let mut found = Vec::new();
    // The smallest first: what is found no longer counts as a neighbour of the others.
    while let Some((group, usual)) = search.next() {
        search.groups[group].is_stray = true;
        let group = &search.groups[group];
        let slices = &search.painted[group.first..=group.last];
        found.push(Stray {
            slices: slices.iter().map(|s| s.0).collect(),
            voxels: group.most,
            usual,
        });
    }
    found.sort_by_key(|stray| stray.slices[0]);
    found
}

impl Search<'_> {
    fn group(&mut self) {
        let most = self.painted.iter().map(|s| s.1).max().unwrap_or(0);
        for place in 0..self.painted.len() {
            let count = self.painted[place].1;
            let hangs = place > 0 && self.hang_together(place - 1, place, most);
            match self.groups.last_mut() {
                Some(group) if hangs => {
                    group.last = place;
                    group.most = group.most.max(count);
                }
                _ => self.groups.push(Group {
                    first: place,
                    last: place,
                    most: count,
                    is_stray: false,
                }),
            }
        }
    }

    /// Whether two neighbouring slices show one thing. Two that are both far from
    /// little are not asked: neither can be stray.
    fn hang_together(&self, a: usize, b: usize, most: usize) -> bool {
        let ((i, m), (j, n)) = (self.painted[a], self.painted[b]);
        let little = m.min(n);
        little * SHARE < most
            && j - i <= NEAR
            && m.max(n) <= SHARE * little
            && !self.is_empty_between(i, j)
            && match m < n {
                true => self.is_covered(i, j, MOVES),
                false => self.is_covered(j, i, MOVES),
            }
    }

    /// The group that is furthest from belonging here, with what is usual around it.
    fn next(&self) -> Option<(usize, usize)> {
        let candidates = (0..self.groups.len()).filter(|g| !self.groups[*g].is_stray);
        let candidates = candidates.filter_map(|g| {
            let usual = self.usual(g)?;
            let is_little = SHARE * self.groups[g].most < usual;
            (is_little && !self.tapers(g, usual)).then_some((g, usual))
        });
        candidates.min_by_key(|(g, _)| self.groups[*g].most)
    }

    /// The slices around a group that belong, the nearest first: before it, behind it.
    fn beside(&self, group: usize) -> [Vec<usize>; 2] {
        let belong = |groups: &mut dyn Iterator<Item = usize>, reverse: bool| {
            let mut places = Vec::new();
            for group in groups.map(|g| &self.groups[g]).filter(|g| !g.is_stray) {
                let mut of_group: Vec<usize> = (group.first..=group.last).collect();
                if reverse {
                    of_group.reverse();
                }
                places.extend(of_group);
                if places.len() >= EACH_SIDE {
                    break;
                }
            }
            places.truncate(EACH_SIDE);
            places
        };
        [
            belong(&mut (0..group).rev(), true),
            belong(&mut (group + 1..self.groups.len()), false),
        ]
    }

    fn usual(&self, group: usize) -> Option<usize> {
        let places = self.beside(group).concat();
        let mut counts: Vec<usize> = places.iter().map(|p| self.painted[*p].1).collect();
        counts.sort_unstable();
        let middle = counts.len() / 2;
        match counts.len() {
            0 => None,
            n if n % 2 == 1 => Some(counts[middle]),
            _ => Some((counts[middle - 1] + counts[middle]) / 2),
        }
    }

    /// Whether a group is where a structure ends.
    fn tapers(&self, group: usize, usual: usize) -> bool {
        let Group {
            first, last, most, ..
        } = self.groups[group];
        // On each side the next slice that holds much, past other clicks.
        let holds_much = |place: &usize| self.painted[*place].1 >= SHARE * most;
        let attached = |own: usize, neighbour: Option<usize>| {
            let (own, neighbour) = (self.painted[own].0, self.painted[neighbour?].0);
            let (low, high) = (own.min(neighbour), own.max(neighbour));
            let reach = match usual < SMALL {
                true => MOVES.max((high - low) / 2),
                false => MOVES,
            };
            let is_attached =
                !self.is_empty_between(low, high) && self.is_covered(own, neighbour, reach);
            is_attached.then_some((own, neighbour))
        };
        let before = (0..first).rev().find(holds_much);
        let behind = (last + 1..self.painted.len()).find(holds_much);
        let ends = [attached(first, before), attached(last, behind)];
        let is_near = |(a, b): (usize, usize)| a.abs_diff(b) <= NEAR;
        match ends {
            [None, None] => false,
            [Some(a), Some(b)] => last - first + 1 >= LONG && (is_near(a) || is_near(b)),
            [Some(end), None] | [None, Some(end)] => {
                self.is_stated
                    || is_near(end)
                    || most > CLICK
                    || usual < SMALL
                    || self.is_deep(end.0, end.1)
            }
        }
    }

    fn is_empty_between(&self, low: usize, high: usize) -> bool {
        let first = self.empty.partition_point(|&empty| empty <= low);
        self.empty.get(first).is_some_and(|&empty| empty < high)
    }

    /// Whether most of the paint of slice `own` lies within `reach` pixels of paint of
    /// `other`.
    fn is_covered(&self, own: usize, other: usize, reach: usize) -> bool {
        let (own, other) = ((self.cut)(own), (self.cut)(other));
        let pixels = (0..own.pixels.len()).filter(|p| own.pixels[*p]);
        let covered = pixels.filter(|p| other.around(*p, reach).next().is_some());
        2 * covered.count() >= own.count
    }

    /// Whether the middle of the paint of slice `own` lies well inside a piece of
    /// `other`: at least half as deep as that is anywhere.
    fn is_deep(&self, own: usize, other: usize) -> bool {
        let (own, other) = ((self.cut)(own), (self.cut)(other));
        let pixels: Vec<usize> = (0..own.pixels.len()).filter(|p| own.pixels[*p]).collect();
        let middle = |of: &dyn Fn(usize) -> usize| {
            let sum: usize = pixels.iter().map(|&p| of(p)).sum();
            (sum as f64 / pixels.len() as f64).round() as usize
        };
        let (row, column) = (middle(&|p| own.at(p).0), middle(&|p| own.at(p).1));
        let middle = row * own.columns + column;
        let depths = other.depths();
        let pieces = other.pieces();
        let around = pieces.iter().find(|piece| piece.contains(&middle));
        around.is_some_and(|piece| {
            let deepest = piece.iter().map(|&p| depths[p]).max().unwrap_or(0);
            2 * depths[middle] >= deepest
        })
    }
}
