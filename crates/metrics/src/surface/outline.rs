//! The surfaces of a class in truth and prediction, on one lattice around both.
//!
//! In come two label volumes and a class; out come [`Outlines`]: for each point of a
//! lattice a code that says what surface is there. Only the box that holds the class
//! in either volume is looked at. Outside of the volume nothing is inside, so a
//! structure that the volume cuts off has a surface there.

use std::ops::Range;

use unet3d_volume::{Label, Labels};

use super::elements;
use super::{SurfaceSettings, SurfaceVariant};

/// The surfaces of one class in truth and prediction.
pub(super) struct Outlines {
    /// Points of the lattice along `[z, y, x]`.
    pub(super) shape: [usize; 3],
    /// `[truth, prediction]`: a code for each point.
    pub(super) codes: [Vec<u8>; 2],
    /// Points that count nowhere; `None` where all count.
    pub(super) left_out: Option<Vec<bool>>,
    /// How much surface a code stands for; 0 where there is none.
    pub(super) weights: [f64; 256],
}

impl Outlines {
    /// The surfaces of class `class`; `None` where it is in neither volume. What is
    /// annotated in `except` is left out.
    pub(super) fn of(
        class: usize,
        [truth, prediction]: [&Labels; 2],
        except: Option<&Labels>,
        settings: &SurfaceSettings,
    ) -> Option<Self> {
        let label = Label::of_class(class);
        let is_class = |i: usize| truth.voxels[i] == label || prediction.voxels[i] == label;
        let part = Part {
            volume: truth.geometry.shape,
            ranges: bounds(truth.geometry.shape, is_class)?,
        };
        let masks = [truth, prediction].map(|labels| part.mask(|i| labels.voxels[i] == label));
        let left_out = except.map(|labels| part.mask(|i| labels.voxels[i].is_annotated()));
        let shape = part.shape();
        Some(match settings.variant {
            SurfaceVariant::Elements => Self {
                shape: shape.map(|n| n + 1),
                codes: masks.map(|mask| neighbour_codes(&mask, shape)),
                left_out: left_out.map(|mask| {
                    let codes = neighbour_codes(&mask, shape);
                    codes.iter().map(|&code| code != 0).collect()
                }),
                weights: elements::areas(settings.spacing),
            },
            SurfaceVariant::Voxels | SurfaceVariant::VoxelsPooled => {
                let mut weights = [0.0; 256];
                weights[1] = 1.0;
                Self {
                    shape,
                    codes: masks.map(|mask| border_voxels(&mask, shape)),
                    left_out,
                    weights,
                }
            }
        })
    }
}

/// A box of a volume.
struct Part {
    volume: [usize; 3],
    ranges: [Range<usize>; 3],
}

impl Part {
    fn shape(&self) -> [usize; 3] {
        [0, 1, 2].map(|axis| self.ranges[axis].len())
    }

    /// `holds` of each voxel of the box, which is given its index in the volume.
    fn mask(&self, holds: impl Fn(usize) -> bool) -> Vec<bool> {
        let [_, height, width] = self.volume;
        let [zs, ys, xs] = &self.ranges;
        let mut mask = Vec::with_capacity(self.shape().iter().product());
        for z in zs.clone() {
            for y in ys.clone() {
                let row = (z * height + y) * width;
                mask.extend(xs.clone().map(|x| holds(row + x)));
            }
        }
        mask
    }
}

/// The smallest box that holds every voxel of which `holds`, and one voxel more on each
/// side where the volume has one: what is left out there touches the surface.
fn bounds(shape: [usize; 3], holds: impl Fn(usize) -> bool) -> Option<[Range<usize>; 3]> {
    let [_, height, width] = shape;
    let mut low = shape;
    let mut end = [0; 3];
    for i in (0..shape.iter().product()).filter(|&i| holds(i)) {
        let at = [i / (height * width), i / width % height, i % width];
        for axis in 0..3 {
            low[axis] = low[axis].min(at[axis]);
            end[axis] = end[axis].max(at[axis] + 1);
        }
    }
    (end[0] > 0)
        .then(|| [0, 1, 2].map(|axis| low[axis].saturating_sub(1)..shape[axis].min(end[axis] + 1)))
}

/// For each corner of the voxels of `shape`, one more along each axis, which of the eight
/// voxels around it are in the mask: bit `4 dz + 2 dy + dx`.
fn neighbour_codes(mask: &[bool], shape: [usize; 3]) -> Vec<u8> {
    let [depth, height, width] = shape;
    let mut codes = vec![0; (depth + 1) * (height + 1) * (width + 1)];
    for i in (0..mask.len()).filter(|&i| mask[i]) {
        let (z, y, x) = (i / (height * width), i / width % height, i % width);
        for neighbour in 0..8 {
            // The voxel is the last but `neighbour` of those around the corner.
            let (dz, dy, dx) = (neighbour >> 2, neighbour >> 1 & 1, neighbour & 1);
            let corner = ((z + dz) * (height + 1) + y + dy) * (width + 1) + x + dx;
            codes[corner] |= 1 << (7 - neighbour);
        }
    }
    codes
}

/// 1 for each voxel of the mask of which one of the six neighbours is not in it.
fn border_voxels(mask: &[bool], shape: [usize; 3]) -> Vec<u8> {
    let [depth, height, width] = shape;
    let is_inner = |i: usize| {
        let (z, y, x) = (i / (height * width), i / width % height, i % width);
        let axes = [
            (z, depth, height * width),
            (y, height, width),
            (x, width, 1),
        ];
        axes.iter()
            .all(|&(at, n, step)| at > 0 && at + 1 < n && mask[i - step] && mask[i + step])
    };
    (0..mask.len())
        .map(|i| u8::from(mask[i] && !is_inner(i)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_voxel_has_eight_corners_and_is_its_own_border() {
        let codes = neighbour_codes(&[true], [1, 1, 1]);
        assert_eq!(codes, [128, 64, 32, 16, 8, 4, 2, 1]);
        assert_eq!(border_voxels(&[true], [1, 1, 1]), [1]);
    }

    #[test]
    fn a_cube_of_27_has_26_border_voxels_and_eight_full_corners() {
        let mask = [true; 27];
        let border = border_voxels(&mask, [3, 3, 3]);
        assert_eq!(border.iter().filter(|b| **b == 1).count(), 26);
        assert_eq!(border[13], 0);
        let codes = neighbour_codes(&mask, [3, 3, 3]);
        assert_eq!(codes.iter().filter(|c| **c == 255).count(), 8);
        assert!(codes.iter().all(|c| *c != 0));
    }

    #[test]
    fn the_box_has_one_voxel_around_where_there_is_one() {
        // [1, 1, 2] and [1, 2, 3].
        assert_eq!(
            bounds([3, 4, 5], |i| i == 27 || i == 33),
            Some([0..3, 0..4, 1..5])
        );
        assert_eq!(bounds([9, 9, 9], |i| i == 364), Some([3..6, 3..6, 3..6]));
        assert_eq!(bounds([3, 4, 5], |_| false), None);
    }
}
