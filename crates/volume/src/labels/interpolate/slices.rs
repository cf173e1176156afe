//! Annotated slices as maps of signed distances, and their votes on a row of
//! voxels. Distances are in units of the smallest spacing.

use std::cmp::Ordering;

use super::nearest::nearest;
use super::tapers::{Taper, tapers};
use super::{Ends, vote};
use crate::labels::slices::PLANES;
use crate::labels::{Label, Labels};

/// The annotated slices of a volume.
pub(super) struct Slices {
    shape: [usize; 3],
    spacing: [f64; 3],
    /// Places along `[z, y, x]`, ascending.
    places: [Vec<usize>; 3],
    /// A class for each pixel, `[row, column]`: what was left open in a slice
    /// has the class of the nearest pixel annotated in it.
    pixels: [Vec<Vec<Label>>; 3],
    /// For each slice, how what it shows ends towards the slice before it and the one
    /// behind it, where it is to taper.
    tapers: [Vec<[Option<Taper>; 2]>; 3],
}

/// The signed distances of one class.
pub(super) struct Maps<'a> {
    slices: &'a Slices,
    class: Label,
    /// No distance in the volume is larger: that of a class that a slice does not show.
    longest: f32,
    /// For each slice `[row, column]`: distance of the pixel from the nearest one
    /// of another class where it is of this class, else minus that from the
    /// nearest one of this class.
    signed: [Vec<Vec<f32>>; 3],
}

impl Slices {
    /// Cuts the annotated slices out.
    pub(super) fn of(labels: &Labels, spacing: [f64; 3], ends: Ends) -> Self {
        let shape = labels.geometry.shape;
        let places = labels.annotated_slices();
        let pixels = [0, 1, 2].map(|axis| {
            let cut = places[axis].iter().map(|&place| {
                let pixels = cut(labels, axis, place);
                nearest(&pixels, plane(axis, shape, 1), plane(axis, spacing, 1.0)).labels
            });
            cut.collect()
        });
        let mut out = Self {
            shape,
            spacing,
            places,
            pixels,
            tapers: Default::default(),
        };
        out.tapers = [0, 1, 2].map(|axis| match ends {
            Ends::Halfway => out.places[axis].iter().map(|_| [None, None]).collect(),
            Ends::Tapering => tapers(
                &out.pixels[axis],
                &out.places[axis],
                spacing[axis],
                labels.classes.len(),
                &|pixels, is_inside| out.signed(axis, pixels, is_inside),
            ),
        });
        out
    }

    /// The annotated voxels on none of the slices; `None` where there are none.
    pub(super) fn strokes(&self, labels: &Labels) -> Option<Vec<Label>> {
        // It refuses only slices that are not there.
        let (strokes, _) = labels.hold_out(&self.places).ok()?;
        let any = strokes.annotated_voxels() > 0;
        any.then_some(strokes.voxels)
    }

    /// The signed distances of `class` in all slices.
    pub(super) fn maps(&self, class: Label) -> Maps<'_> {
        let signed = [0, 1, 2].map(|axis| {
            let pixels = self.pixels[axis].iter();
            let maps = pixels.map(|pixels| self.signed(axis, pixels, &|label| label == class));
            maps.collect()
        });
        Maps {
            slices: self,
            class,
            longest: self.longest(),
            signed,
        }
    }

    fn longest(&self) -> f32 {
        let diagonal = (0..3).map(|a| (self.shape[a] as f64 * self.spacing[a]).powi(2));
        diagonal.sum::<f64>().sqrt() as f32
    }

    /// For each pixel of a slice: its distance from the nearest one that is not inside
    /// where it is, else minus that from the nearest one inside.
    fn signed(&self, axis: usize, pixels: &[Label], is_inside: &dyn Fn(Label) -> bool) -> Vec<f32> {
        let (shape, spacing) = (plane(axis, self.shape, 1), plane(axis, self.spacing, 1.0));
        let squared = |inside: bool| {
            let seeds = pixels.iter().map(|&l| match is_inside(l) == inside {
                true => l,
                false => Label::UNLABELED,
            });
            nearest(&seeds.collect::<Vec<_>>(), shape, spacing).squared
        };
        let longest = self.longest();
        let pairs = squared(true).into_iter().zip(squared(false));
        pairs
            .map(|(to_class, to_others)| {
                to_others.sqrt().min(longest) - to_class.sqrt().min(longest)
            })
            .collect()
    }

    /// Numbers of the slices around `at` along `axis`: the one at or before it,
    /// the one behind it.
    fn around(&self, axis: usize, at: usize) -> impl Iterator<Item = usize> {
        let behind = self.places[axis].partition_point(|&place| place <= at);
        let last = (behind < self.places[axis].len()).then_some(behind);
        behind.checked_sub(1).into_iter().chain(last)
    }

    /// Distance of `at` from slice number `k` along `axis`. In the slice itself
    /// it is half a voxel: what was left open there is most likely as beside it.
    fn distance(&self, axis: usize, k: usize, at: usize) -> f32 {
        let voxels = self.places[axis][k].abs_diff(at) as f64;
        (voxels.max(0.5) * self.spacing[axis]) as f32
    }
}

impl Maps<'_> {
    /// Adds what the slices around each voxel of row `row = z * ny + y` say.
    pub(super) fn vote(&self, row: usize, votes: &mut [f32]) {
        let Slices { shape, places, .. } = self.slices;
        let [z, y] = [row / shape[1], row % shape[1]];
        // Slices across z and y have rows of their own along x.
        for (axis, at, start) in [(0, z, y * shape[2]), (1, y, z * shape[2])] {
            for k in self.slices.around(axis, at) {
                let d = self.slices.distance(axis, k, at);
                let signed = &self.signed[axis][k][start..];
                if let Some(taper) = self.taper(axis, k, at) {
                    let is_left = &taper.signed[start..];
                    let shrunk = taper.shrunk(d);
                    for ((votes, &s), &is_left) in votes.iter_mut().zip(signed).zip(is_left) {
                        let s = if is_left > shrunk { s } else { -self.longest };
                        *votes += vote(s, d);
                    }
                    continue;
                }
                for (votes, &s) in votes.iter_mut().zip(signed) {
                    *votes += vote(s, d);
                }
            }
        }
        // A slice across x has one pixel for the row; it votes from the slice
        // before it to the one behind it.
        for k in 0..places[2].len() {
            let s = self.signed[2][k][row];
            let first = k.checked_sub(1).map_or(0, |k| places[2][k] + 1);
            let end = places[2].get(k + 1).copied().unwrap_or(shape[2]);
            for x in first..end {
                let d = self.slices.distance(2, k, x);
                let is_over = (self.taper(2, k, x)).is_some_and(|t| t.signed[row] <= t.shrunk(d));
                votes[x] += vote(if is_over { -self.longest } else { s }, d);
            }
        }
    }
}

impl Maps<'_> {
    /// How the class ends from slice `k` along `axis` towards `at`, where it does.
    fn taper(&self, axis: usize, k: usize, at: usize) -> Option<&Taper> {
        let side = match at.cmp(&self.slices.places[axis][k]) {
            Ordering::Less => 0,
            Ordering::Equal => return None,
            Ordering::Greater => 1,
        };
        let taper = self.slices.tapers[axis][k][side].as_ref()?;
        taper.holds(self.class).then_some(taper)
    }
}

/// The pixels of slice `place` along `axis`.
fn cut(labels: &Labels, axis: usize, place: usize) -> Vec<Label> {
    let shape = labels.geometry.shape;
    let [rows, columns] = PLANES[axis];
    let mut pixels = Vec::with_capacity(shape[rows] * shape[columns]);
    for row in 0..shape[rows] {
        for column in 0..shape[columns] {
            let mut at = [place; 3];
            (at[rows], at[columns]) = (row, column);
            let [z, y, x] = at;
            pixels.push(labels.voxels[(z * shape[1] + y) * shape[2] + x]);
        }
    }
    pixels
}

/// Shape or spacing of a slice along `axis`, as a volume whose first axis is `one`.
fn plane<T: Copy>(axis: usize, of: [T; 3], one: T) -> [T; 3] {
    let [rows, columns] = PLANES[axis];
    [one, of[rows], of[columns]]
}
