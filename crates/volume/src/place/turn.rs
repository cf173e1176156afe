//! A grid turned onto another: axes permuted and reversed. 48 ways, none of which
//! loses a voxel.

use std::ops::Range;

use crate::samples::{Sample, each_type};
use crate::{Filled, Geometry, Image, Label, Labels, Volume};

/// How a stored grid becomes a turned one: axis `a` of the turned grid is axis
/// `axes[a]` of the stored one, counted from its far end where `reversed[a]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Turn {
    axes: [usize; 3],
    reversed: [bool; 3],
}

/// The orders that three axes can have, the stored one first.
pub(super) const ORDERS: [[usize; 3]; 6] = [
    [0, 1, 2],
    [0, 2, 1],
    [1, 0, 2],
    [1, 2, 0],
    [2, 0, 1],
    [2, 1, 0],
];

impl Turn {
    /// Everything stays as it is stored.
    pub const NONE: Self = Self {
        axes: [0, 1, 2],
        reversed: [false; 3],
    };

    /// A turn; `None` where `axes` does not name each of 0, 1, 2 once.
    pub fn new(axes: [usize; 3], reversed: [bool; 3]) -> Option<Self> {
        ORDERS.contains(&axes).then_some(Self { axes, reversed })
    }

    /// All 48, [`NONE`](Self::NONE) first.
    pub fn all() -> impl Iterator<Item = Self> {
        ORDERS.into_iter().flat_map(|axes| {
            (0..8).map(move |bits| Self {
                axes,
                reversed: [0, 1, 2].map(|a| bits >> a & 1 == 1),
            })
        })
    }

    /// Whether nothing changes.
    pub fn is_none(&self) -> bool {
        *self == Self::NONE
    }

    /// For each turned axis, the stored one.
    pub fn axes(&self) -> [usize; 3] {
        self.axes
    }

    /// For each turned axis, whether it is counted from the far end.
    pub fn reversed(&self) -> [bool; 3] {
        self.reversed
    }

    /// The turn that brings the turned grid back to the stored one.
    pub fn inverse(&self) -> Self {
        let mut inverse = Self::NONE;
        for (turned, (&stored, &reversed)) in self.axes.iter().zip(&self.reversed).enumerate() {
            inverse.axes[stored] = turned;
            inverse.reversed[stored] = reversed;
        }
        inverse
    }

    /// Shape of the turned grid of a stored one, `[z, y, x]`.
    pub fn shape(&self, stored: [usize; 3]) -> [usize; 3] {
        self.axes.map(|axis| stored[axis])
    }

    /// The stored position of what stands at `turned`; `stored_shape` is that of the
    /// stored grid.
    pub fn stored_position(&self, turned: [usize; 3], stored_shape: [usize; 3]) -> [usize; 3] {
        let mut stored = [0; 3];
        for (a, &axis) in self.axes.iter().enumerate() {
            stored[axis] = match self.reversed[a] {
                true => stored_shape[axis] - 1 - turned[a],
                false => turned[a],
            };
        }
        stored
    }

    /// A turned box of a stored one, both as ranges along `[z, y, x]`.
    pub fn ranges(
        &self,
        stored: &[Range<usize>; 3],
        stored_shape: [usize; 3],
    ) -> [Range<usize>; 3] {
        [0, 1, 2].map(|a| {
            let axis = self.axes[a];
            let range = stored[axis].clone();
            match self.reversed[a] {
                true => stored_shape[axis] - range.end..stored_shape[axis] - range.start,
                false => range,
            }
        })
    }

    /// The turned part that a file filled of a stored grid.
    fn filled(&self, stored: &Filled, stored_shape: [usize; 3]) -> Filled {
        match stored {
            Filled::Box(ranges) => Filled::Box(self.ranges(ranges, stored_shape)),
            Filled::Slices { axis, indices } => {
                let turned = self.axes.iter().position(|a| a == axis).unwrap_or(*axis);
                let mut indices = indices.clone();
                if self.reversed[turned] {
                    indices
                        .iter_mut()
                        .for_each(|i| *i = stored_shape[*axis] - 1 - *i);
                    indices.reverse();
                }
                Filled::Slices {
                    axis: turned,
                    indices,
                }
            }
        }
    }

    /// Turned slices of stored ones: their indices along `[z, y, x]`, ascending.
    pub fn slices(&self, stored: &[Vec<usize>; 3], stored_shape: [usize; 3]) -> [Vec<usize>; 3] {
        [0, 1, 2].map(|a| {
            let mut indices = stored[self.axes[a]].clone();
            if self.reversed[a] {
                let last = stored_shape[self.axes[a]] - 1;
                indices.iter_mut().for_each(|index| *index = last - *index);
                indices.sort_unstable();
            }
            indices
        })
    }

    /// The turned array of a stored one: `outer` arrays `[z, y, x]` of `inner`
    /// elements a voxel.
    ///
    /// # Panics
    /// When `values` has not `outer * z * y * x * inner` elements.
    pub fn array<T: Copy>(
        &self,
        values: &[T],
        outer: usize,
        stored_shape: [usize; 3],
        inner: usize,
    ) -> Vec<T> {
        let voxels: usize = stored_shape.iter().product();
        assert_eq!(values.len(), outer * voxels * inner, "one a voxel");
        let [_, y, x] = stored_shape;
        let steps = self.axes.map(|axis| [y * x, x, 1][axis]);
        let shape = self.shape(stored_shape);
        // Position along each turned axis to its share of the stored index.
        let share = |a: usize, i: usize| match self.reversed[a] {
            true => (shape[a] - 1 - i) * steps[a],
            false => i * steps[a],
        };
        let along_x: Vec<usize> = (0..shape[2]).map(|i| share(2, i) * inner).collect();
        let mut out = Vec::with_capacity(values.len());
        for volume in 0..outer {
            for z in 0..shape[0] {
                for y in 0..shape[1] {
                    let row = (volume * voxels + share(0, z) + share(1, y)) * inner;
                    for at in &along_x {
                        out.extend_from_slice(&values[row + at..row + at + inner]);
                    }
                }
            }
        }
        out
    }

    /// The geometry of the turned grid: every voxel stays where it is in the world.
    pub fn geometry(&self, stored: &Geometry) -> Geometry {
        let world_from_volume = stored.world_from_volume.map(|rows| {
            rows.map(|row| {
                let mut turned = [0.0, 0.0, 0.0, row[3]];
                for (a, &axis) in self.axes.iter().enumerate() {
                    turned[a] = row[axis];
                    if self.reversed[a] {
                        turned[a] = -row[axis];
                        turned[3] += row[axis] * (stored.shape[axis] as f64 - 1.0);
                    }
                }
                turned
            })
        });
        Geometry {
            shape: self.shape(stored.shape),
            spacing_mm: stored.spacing_mm.map(|s| self.axes.map(|axis| s[axis])),
            world_from_volume,
            forms: stored.forms.clone(),
        }
    }

    /// The turned volume.
    pub fn volume(&self, stored: &Volume) -> Volume {
        let shape = stored.geometry.shape;
        let samples = each_type!(stored.samples.number_type(), T, variant => {
            let values = T::of_samples(&stored.samples).unwrap_or_default();
            variant(self.array(values, stored.channels, shape, 1))
        });
        Volume {
            geometry: self.geometry(&stored.geometry),
            channels: stored.channels,
            samples,
            scaling: stored.scaling,
            notes: stored.notes.clone(),
            placed: stored.placed.as_ref().map(|f| self.filled(f, shape)),
        }
    }

    /// The turned image.
    pub fn image(&self, stored: &Image) -> Image {
        Image {
            geometry: self.geometry(&stored.geometry),
            channels: stored.channels,
            voxels: self.array(&stored.voxels, 1, stored.geometry.shape, stored.channels),
        }
    }

    /// The turned labels.
    pub fn labels(&self, stored: &Labels) -> Labels {
        let voxels: Vec<Label> = self.array(&stored.voxels, 1, stored.geometry.shape, 1);
        Labels {
            geometry: self.geometry(&stored.geometry),
            classes: stored.classes.clone(),
            voxels,
        }
    }

    /// The turn in words, of the stored axes: `x reversed`, or
    /// `its y, z, x are z, y (reversed), x`.
    pub(super) fn words(&self) -> String {
        const NAMES: [&str; 3] = ["z", "y", "x"];
        if self.axes == Self::NONE.axes {
            let reversed: Vec<_> = (0..3)
                .filter(|&a| self.reversed[a])
                .map(|a| NAMES[a])
                .collect();
            return match &reversed[..] {
                [] => "as stored".into(),
                [one] => format!("{one} reversed"),
                [rest @ .., last] => format!("{} and {last} reversed", rest.join(", ")),
            };
        }
        let names = |a: usize| {
            let reversed = if self.reversed[a] { " (reversed)" } else { "" };
            format!("{}{reversed}", NAMES[a])
        };
        let from = self.axes.map(|axis| NAMES[axis]).join(", ");
        format!("its {from} are {}", [0, 1, 2].map(names).join(", "))
    }
}
