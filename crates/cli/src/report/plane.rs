//! One slice of a volume, at full resolution or coarser: which voxels its pixels are.

use std::ops::Range;

use unet3d_volume::Geometry;

/// The axes along the rows and columns of a slice across each axis.
const ROWS_COLUMNS: [(usize, usize); 3] = [(1, 2), (0, 2), (0, 1)];

/// A slice as a picture of `rows x columns` pixels.
pub(super) struct Plane {
    start: usize,
    voxels: [usize; 2],
    strides: [usize; 2],
    /// Voxels along the side of a pixel.
    step: usize,
    /// Pixels from top to bottom.
    pub(super) rows: usize,
    /// Pixels from left to right.
    pub(super) columns: usize,
}

impl Plane {
    /// Slice `index` across `axis`, a pixel for `step x step` voxels.
    pub(super) fn new(shape: [usize; 3], axis: usize, index: usize, step: usize) -> Self {
        let strides = [shape[1] * shape[2], shape[2], 1];
        let (row, column) = ROWS_COLUMNS[axis];
        Self {
            start: index * strides[axis],
            voxels: [shape[row], shape[column]],
            strides: [strides[row], strides[column]],
            step,
            rows: shape[row].div_ceil(step),
            columns: shape[column].div_ceil(step),
        }
    }

    /// The largest number of pixels along a side of a slice across `axis`.
    pub(super) fn longest_side(shape: [usize; 3], axis: usize) -> usize {
        let (row, column) = ROWS_COLUMNS[axis];
        shape[row].max(shape[column])
    }

    /// The voxel in the middle of each pixel, row by row.
    pub(super) fn middles(&self) -> impl Iterator<Item = usize> + '_ {
        let at = |pixel: usize, axis: usize| {
            (pixel * self.step + self.step / 2).min(self.voxels[axis] - 1)
        };
        (0..self.rows).flat_map(move |row| {
            let row = self.start + at(row, 0) * self.strides[0];
            (0..self.columns).map(move |column| row + at(column, 1) * self.strides[1])
        })
    }

    /// All voxels of a pixel.
    pub(super) fn voxels_of(&self, row: usize, column: usize) -> impl Iterator<Item = usize> + '_ {
        self.span(row, 0).flat_map(move |r| {
            self.span(column, 1)
                .map(move |c| self.start + r * self.strides[0] + c * self.strides[1])
        })
    }

    fn span(&self, pixel: usize, axis: usize) -> Range<usize> {
        pixel * self.step..((pixel + 1) * self.step).min(self.voxels[axis])
    }
}

/// Width and height of a slice across `axis` in mm; in voxels where the spacing is
/// not known.
pub(super) fn extent(geometry: &Geometry, axis: usize) -> [f64; 2] {
    let spacing = geometry.spacing().unwrap_or([1.0; 3]);
    let (row, column) = ROWS_COLUMNS[axis];
    [column, row].map(|a| geometry.shape[a] as f64 * spacing[a])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_voxel_of_a_slice_is_in_one_pixel() {
        let shape = [3, 5, 7];
        let strides = [35, 7, 1];
        for (axis, count) in [(0, 35), (1, 21), (2, 15)] {
            for step in 1..8 {
                let plane = Plane::new(shape, axis, 2, step);
                let mut voxels: Vec<usize> = (0..plane.rows)
                    .flat_map(|r| (0..plane.columns).map(move |c| (r, c)))
                    .flat_map(|(r, c)| plane.voxels_of(r, c))
                    .collect();
                voxels.sort_unstable();
                voxels.dedup();
                assert_eq!(voxels.len(), count, "axis {axis}, step {step}");
                assert!(voxels.iter().all(|v| v / strides[axis] % shape[axis] == 2));
                let middles: Vec<usize> = plane.middles().collect();
                assert_eq!(middles.len(), plane.rows * plane.columns);
                assert!(middles.iter().all(|m| voxels.binary_search(m).is_ok()));
            }
        }
    }

    #[test]
    fn extents_are_in_space() {
        let geometry = Geometry {
            spacing_mm: Some([3.0, 0.5, 0.25]),
            ..Geometry::of_shape([10, 20, 30])
        };
        assert_eq!(extent(&geometry, 0), [7.5, 10.0]);
        assert_eq!(extent(&geometry, 1), [7.5, 30.0]);
        assert_eq!(extent(&geometry, 2), [10.0, 30.0]);
    }
}
