//! How a structure ends between a slice that shows it and one that does not.
//!
//! Round things lose the same area with every slice near their end. So where a class
//! covers `a` pixels of a slice and `b` of the one before it, at distance `g`, it ends
//! at
//!
//! `length = g a / (b - a)`
//!
//! behind the slice, and at most halfway to the next one, which is known to show
//! nothing of it. Where it does not shrink, halfway is all that can be said; where one
//! slice alone shows it, it is taken to be as long as it is wide. On the way, at
//! distance `d` from the slice, what is less than
//!
//! `depth (1 - sqrt(1 - d / length))`
//!
//! from its border is gone; `depth` is the largest such distance: a disk becomes the cap
//! of a ball.

use crate::labels::Label;

/// How some classes end on one side of a slice.
pub(super) struct Taper {
    /// Which: those that the next slice does not show.
    classes: Vec<bool>,
    /// Distance at which nothing is left.
    length: f32,
    /// Largest distance of a pixel of these classes from their border.
    depth: f32,
    /// `[row, column]`: signed distance from the border of these classes together.
    pub(super) signed: Vec<f32>,
}

impl Taper {
    /// Whether this is about a class.
    pub(super) fn holds(&self, class: Label) -> bool {
        let class = class.class();
        class.is_some_and(|class| self.classes[class])
    }

    /// Signed distance up to which nothing is left at distance `d` from the slice.
    pub(super) fn shrunk(&self, d: f32) -> f32 {
        if d >= self.length {
            return f32::INFINITY;
        }
        self.depth * (1.0 - (1.0 - d / self.length).sqrt())
    }
}

/// Signed distances of the pixels of a slice from the border of some classes.
type Signed<'a> = &'a dyn Fn(&[Label], &dyn Fn(Label) -> bool) -> Vec<f32>;

/// For each slice of a direction, the ends towards the slice before it and behind it.
pub(super) fn tapers(
    slices: &[Vec<Label>],
    places: &[usize],
    spacing: f64,
    classes: usize,
    signed: Signed<'_>,
) -> Vec<[Option<Taper>; 2]> {
    // How many pixels of each class there are.
    let areas: Vec<Vec<usize>> = slices
        .iter()
        .map(|pixels| {
            let mut areas = vec![0; classes];
            pixels
                .iter()
                .filter_map(|l| l.class())
                .for_each(|c| areas[c] += 1);
            areas
        })
        .collect();
    let gap = |a: usize, b: usize| (places[a].abs_diff(places[b]) as f64 * spacing) as f32;
    let one = |k: usize, next: Option<usize>, last: Option<usize>| {
        let next = next.filter(|next| *next < slices.len());
        let last = last.filter(|last| *last < slices.len());
        let is_largest = |c: usize| areas[k].iter().all(|area| *area <= areas[k][c]);
        let is_ending = |c: usize| match (next, last) {
            (Some(next), _) => areas[next][c] == 0,
            (None, Some(last)) => areas[last][c] > areas[k][c] && !is_largest(c),
            (None, None) => false,
        };
        let ends: Vec<bool> = (0..classes)
            .map(|c| areas[k][c] > 0 && is_ending(c))
            .collect();
        if !ends.contains(&true) {
            return None;
        }
        let is_ending = |label: Label| label.class().is_some_and(|class| ends[class]);
        let signed = signed(&slices[k], &is_ending);
        let depth = signed.iter().copied().fold(0.0, f32::max);
        let area = |k: usize| -> usize {
            let of_slice = areas[k].iter().zip(&ends);
            of_slice
                .filter(|(_, ends)| **ends)
                .map(|(area, _)| area)
                .sum()
        };
        let halfway = next.map_or(f32::INFINITY, |next| gap(k, next) / 2.0);
        let length = match last.map(|last| (area(last), gap(last, k))) {
            Some((before, gap)) if before > area(k) => {
                gap * area(k) as f32 / (before - area(k)) as f32
            }
            Some((1.., _)) => halfway,
            _ => depth,
        };
        Some(Taper {
            classes: ends,
            length: length.min(halfway),
            depth,
            signed,
        })
    };
    (0..slices.len())
        .map(|k| {
            [
                one(k, k.checked_sub(1), Some(k + 1)),
                one(k, Some(k + 1), k.checked_sub(1)),
            ]
        })
        .collect()
}
