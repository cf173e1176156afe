//! Drawing one voxel of a kind by counting.
//!
//! For each row of voxels of a case the counts say how many of the kind came
//! before it; a random rank is looked up by bisection, and one row is scanned
//! for the voxel. A list of positions would take four times the memory of the
//! labels themselves where every voxel is annotated.

use rand::{Rng, RngExt};
use unet3d_volume::Label;

use super::Location;
use crate::Case;

/// Which labels are wanted.
#[derive(Clone, Copy, Debug)]
pub(super) enum Which {
    Annotated,
    AnyBut(Label),
    Only(Label),
}

impl Which {
    fn holds(self, label: Label) -> bool {
        match self {
            Self::Annotated => label != Label::UNLABELED,
            Self::AnyBut(class) => label != Label::UNLABELED && label != class,
            Self::Only(class) => label == class,
        }
    }
}

/// The voxels of one kind in all cases.
#[derive(Debug)]
pub(super) struct Kind {
    which: Which,
    /// Cases that have such voxels.
    cases: Vec<Counts>,
}

#[derive(Debug)]
struct Counts {
    case: usize,
    /// For each row (z, y): voxels of the kind in it and all rows before.
    up_to_row: Vec<u64>,
}

impl Kind {
    pub(super) fn new(cases: &[Case], which: Which) -> Self {
        let counts = cases.iter().enumerate().map(|(case, content)| {
            let mut sum = 0;
            let width = content.labels.geometry.shape[2].max(1);
            let rows = content.labels.voxels.chunks_exact(width);
            let up_to_row = rows.map(|row| {
                sum += row.iter().filter(|&&label| which.holds(label)).count() as u64;
                sum
            });
            let up_to_row = up_to_row.collect();
            Counts { case, up_to_row }
        });
        let cases = counts
            .filter(|counts| counts.up_to_row.last().is_some_and(|&n| n > 0))
            .collect();
        Self { which, cases }
    }

    /// Whether no case has such a voxel.
    pub(super) fn is_empty(&self) -> bool {
        self.cases.is_empty()
    }

    pub(super) fn draw(&self, cases: &[Case], rng: &mut impl Rng) -> Location {
        let case = self.draw_case(rng);
        let centre = self.draw_voxel(cases, case, rng);
        Location { case, centre }
    }

    pub(super) fn draw_case(&self, rng: &mut impl Rng) -> usize {
        self.cases[rng.random_range(0..self.cases.len())].case
    }

    pub(super) fn draw_voxel(&self, cases: &[Case], case: usize, rng: &mut impl Rng) -> [usize; 3] {
        let index = self.cases.partition_point(|counts| counts.case < case);
        let up_to_row = &self.cases[index].up_to_row;
        let rank = rng.random_range(0..up_to_row[up_to_row.len() - 1]);
        let row = up_to_row.partition_point(|&n| n <= rank);
        let before = if row == 0 { 0 } else { up_to_row[row - 1] };
        let labels = &cases[case].labels;
        let [_, height, width] = labels.geometry.shape;
        let x = labels.voxels[row * width..][..width]
            .iter()
            .enumerate()
            .filter(|&(_, &label)| self.which.holds(label))
            .nth((rank - before) as usize)
            .map_or(0, |(x, _)| x);
        [row / height, row % height, x]
    }
}
