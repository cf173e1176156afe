//! The paint of one slice, and its connected pieces.

use crate::labels::slices::PLANES;
use crate::labels::{Label, Labels};

/// Which pixels of a slice are painted.
pub(super) struct Plane {
    pub(super) rows: usize,
    pub(super) columns: usize,
    /// `[row, column]`.
    pub(super) pixels: Vec<bool>,
    /// How many are.
    pub(super) count: usize,
}

impl Plane {
    /// The paint of slice `index` along `axis`: all that is annotated and not `background`.
    pub(super) fn cut(labels: &Labels, axis: usize, index: usize, background: Label) -> Self {
        let shape = labels.geometry.shape;
        let [rows, columns] = PLANES[axis];
        let strides = [shape[1] * shape[2], shape[2], 1];
        let mut pixels = Vec::with_capacity(shape[rows] * shape[columns]);
        for row in 0..shape[rows] {
            let start = index * strides[axis] + row * strides[rows];
            pixels.extend((0..shape[columns]).map(|column| {
                let label = labels.voxels[start + column * strides[columns]];
                label.is_annotated() && label != background
            }));
        }
        Self {
            rows: shape[rows],
            columns: shape[columns],
            count: pixels.iter().filter(|p| **p).count(),
            pixels,
        }
    }

    /// Row and column of a pixel.
    pub(super) fn at(&self, pixel: usize) -> (usize, usize) {
        (pixel / self.columns, pixel % self.columns)
    }

    /// The painted pixels within `reach` rows and columns of a pixel.
    pub(super) fn around(&self, pixel: usize, reach: usize) -> impl Iterator<Item = usize> {
        let (row, column) = self.at(pixel);
        let rows = row.saturating_sub(reach)..(row + reach + 1).min(self.rows);
        let columns = column.saturating_sub(reach)..(column + reach + 1).min(self.columns);
        rows.flat_map(move |row| columns.clone().map(move |column| (row, column)))
            .map(|(row, column)| row * self.columns + column)
            .filter(|pixel| self.pixels[*pixel])
    }

    /// Its connected pieces, each a list of pixels; pixels that touch at a corner are
    /// connected.
    pub(super) fn pieces(&self) -> Vec<Vec<usize>> {
        let mut seen = vec![false; self.pixels.len()];
        let mut pieces = Vec::new();
        for start in (0..self.pixels.len()).filter(|p| self.pixels[*p]) {
            if std::mem::replace(&mut seen[start], true) {
                continue;
            }
            let mut piece = vec![start];
            let mut next = 0;
            while let Some(&pixel) = piece.get(next) {
                next += 1;
                for other in self.around(pixel, 1) {
                    if !std::mem::replace(&mut seen[other], true) {
                        piece.push(other);
                    }
                }
            }
            pieces.push(piece);
        }
        pieces
    }

    /// For each painted pixel, steps to the nearest that is not; 0 elsewhere. What lies
    /// beyond the border counts as painted: a structure may well go on there.
    pub(super) fn depths(&self) -> Vec<usize> {
        let far = self.rows + self.columns;
        let mut depths: Vec<usize> = self
            .pixels
            .iter()
            .map(|&p| if p { far } else { 0 })
            .collect();
        let columns = self.columns;
        for pixel in 0..depths.len() {
            if pixel >= columns {
                depths[pixel] = depths[pixel].min(depths[pixel - columns] + 1);
            }
            if pixel % columns > 0 {
                depths[pixel] = depths[pixel].min(depths[pixel - 1] + 1);
            }
        }
        for pixel in (0..depths.len()).rev() {
            if pixel + columns < depths.len() {
                depths[pixel] = depths[pixel].min(depths[pixel + columns] + 1);
            }
            if pixel % columns + 1 < columns {
                depths[pixel] = depths[pixel].min(depths[pixel + 1] + 1);
            }
        }
        depths
    }
}
