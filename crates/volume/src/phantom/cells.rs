//! Cells that fill space, and slowly varying fields.
//!
//! Each cube of a lattice holds one cell centre at a random place, so a voxel's
//! cell is found among 27 cubes; where the two nearest centres are about
//! equally far there is a cell border.

use rand::{Rng, RngExt};

use super::tubes::{Grid, Point};

/// Edge of a lattice cube in micrometres: cells of amphibian tubules, about
/// eight around the lumen in cross-section at this size.
const CELL: f32 = 9.5;

/// The cell that a place belongs to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cell {
    /// Distance from its centre, in micrometres.
    pub(super) from_centre: f32,
    /// Distance from its border, in micrometres (about).
    pub(super) from_border: f32,
    /// Two numbers in `[0, 1)` that are the cell's own.
    pub(super) own: [f32; 2],
}

/// The cells of one specimen.
pub(super) struct Cells {
    /// Cubes along each axis, one more than the volume on every side.
    shape: [usize; 3],
    centres: Vec<Point>,
    own: Vec<[f32; 2]>,
}

impl Cells {
    pub(super) fn new(grid: &Grid, rng: &mut impl Rng) -> Self {
        let shape = grid.extent().map(|e| (e / CELL) as usize + 3);
        let (mut centres, mut own) = (Vec::new(), Vec::new());
        for z in 0..shape[0] {
            for y in 0..shape[1] {
                for x in 0..shape[2] {
                    // Centres keep to the middle 70 % of their cube: 27 cubes
                    // are then enough, and cells have similar sizes.
                    centres.push(
                        [z, y, x]
                            .map(|i| (i as f32 - 1.0 + 0.15 + 0.7 * rng.random::<f32>()) * CELL),
                    );
                    own.push([rng.random(), rng.random()]);
                }
            }
        }
        Self {
            shape,
            centres,
            own,
        }
    }

    /// The cell at `p`, which lies in the volume.
    pub(super) fn at(&self, p: Point) -> Cell {
        let cube = p.map(|c| (c / CELL) as usize);
        let [_, ny, nx] = self.shape;
        // Squared distances of the nearest and second nearest centre.
        let (mut first, mut second, mut cell) = (f32::INFINITY, f32::INFINITY, 0);
        for z in cube[0]..cube[0] + 3 {
            for y in cube[1]..cube[1] + 3 {
                let row = (z * ny + y) * nx + cube[2];
                for (k, c) in self.centres[row..row + 3].iter().enumerate() {
                    let d = [c[0] - p[0], c[1] - p[1], c[2] - p[2]];
                    let d2 = d[0] * d[0] + d[1] * d[1] + d[2] * d[2];
                    if d2 < first {
                        (second, first, cell) = (first, d2, row + k);
                    } else {
                        second = second.min(d2);
                    }
                }
            }
        }
        Cell {
            from_centre: first.sqrt(),
            from_border: 0.5 * (second.sqrt() - first.sqrt()),
            own: self.own[cell],
        }
    }
}

/// A field in `[0, 1]` that varies over a given length, roughly uniform.
pub(super) struct Noise {
    values: Vec<f32>,
    shape: [usize; 3],
    length: f32,
}

impl Noise {
    /// Random values on a lattice of `length` micrometres.
    pub(super) fn new(grid: &Grid, length: f32, rng: &mut impl Rng) -> Self {
        let shape = grid.extent().map(|e| (e / length) as usize + 2);
        let count = shape.iter().product();
        Self {
            values: (0..count).map(|_| rng.random()).collect(),
            shape,
            length,
        }
    }

    /// The value at `p`, which lies in the volume: smooth between lattice points.
    pub(super) fn at(&self, p: Point) -> f32 {
        let mut low = [0; 3];
        let mut weight = [0.0; 3];
        for a in 0..3 {
            let at = p[a] / self.length;
            low[a] = (at as usize).min(self.shape[a] - 2);
            let t = (at - low[a] as f32).clamp(0.0, 1.0);
            weight[a] = t * t * (3.0 - 2.0 * t);
        }
        let mut sum = 0.0;
        for corner in 0..8 {
            let bit = [corner >> 2 & 1, corner >> 1 & 1, corner & 1];
            let mut w = 1.0;
            let mut index = 0;
            for a in 0..3 {
                w *= if bit[a] == 1 {
                    weight[a]
                } else {
                    1.0 - weight[a]
                };
                index = index * self.shape[a] + low[a] + bit[a];
            }
            sum += w * self.values[index];
        }
        sum
    }
}
