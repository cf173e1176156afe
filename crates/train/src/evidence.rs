//! What a prediction shows of its own quality, gathered while it is made.
//!
//! In come the logits of every voxel, once. Kept are those of the voxels held out
//! of training, whose truth is known; of the slices trained on, how many voxels of
//! which truth are in each stratum, and of the voxels that nobody annotated how
//! many. So the probabilities of a whole volume are never in memory.

use unet3d_metrics::calibration::certainty;
use unet3d_metrics::strata::Stratum;
use unet3d_predict::Witness;
use unet3d_volume::{Label, Labels};

/// A block is as long as this many of the stretches that one class fills on
/// average: neighbouring blocks then hardly share a structure.
const STRETCHES: f64 = 2.0;

/// Shortest block in voxels: what a network sees at once is blurred over about as
/// much.
const SHORTEST: usize = 16;

/// Evidence of the quality of one prediction.
pub(crate) struct Evidence<'a> {
    shape: [usize; 3],
    pub(crate) classes: usize,
    /// Whether the prediction is a mean over mirror images.
    pub(crate) mirrored: bool,
    annotation: &'a [Label],
    /// Slices trained on: the number of each, by axis and index.
    slice_numbers: [Vec<Option<usize>>; 3],
    /// Voxels held out, ascending.
    pub(crate) voxels: Vec<usize>,
    /// Their true classes.
    pub(crate) truth: Vec<u8>,
    /// What the network says of them, `[voxel, class]`.
    pub(crate) logits: Vec<f32>,
    /// Of each slice trained on, voxels by [`Stratum`] and truth.
    pub(crate) trained_on: Vec<Vec<u32>>,
    /// Voxels that nobody annotated, by [`Stratum`].
    pub(crate) not_annotated: Vec<u64>,
}

impl<'a> Evidence<'a> {
    /// For a volume of which `annotation` is known and `held_out` of it was not
    /// trained on, but the slices `trained_on` were, along `[z, y, x]`.
    pub(crate) fn new(
        annotation: &'a Labels,
        held_out: &Labels,
        trained_on: &[Vec<usize>; 3],
    ) -> Self {
        let shape = annotation.geometry.shape;
        let mut slices = 0;
        let slice_numbers = [0, 1, 2].map(|axis| {
            let mut numbers = vec![None; shape[axis]];
            for index in &trained_on[axis] {
                numbers[*index] = Some(slices);
                slices += 1;
            }
            numbers
        });
        let classes = annotation.classes.len();
        let held = held_out.voxels.iter().enumerate();
        let held = held.filter_map(|(i, label)| Some((i, label.class()? as u8)));
        let (voxels, truth): (Vec<usize>, Vec<u8>) = held.unzip();
        Self {
            shape,
            classes,
            mirrored: false,
            annotation: &annotation.voxels,
            slice_numbers,
            trained_on: vec![vec![0; Stratum::count(classes) * classes]; slices],
            logits: vec![0.0; voxels.len() * classes],
            voxels,
            truth,
            not_annotated: vec![0; Stratum::count(classes)],
        }
    }

    /// Of a prediction that is a mean over mirror images, or is not.
    pub(crate) fn of_mirrored(self, mirrored: bool) -> Self {
        Self { mirrored, ..self }
    }

    /// Memory that gathering and judging evidence takes where so much is held out
    /// and so many slices are trained on, and what is annotated and held out, a
    /// byte a voxel each.
    pub(crate) fn bytes(held_out: &Labels, trained_on: &[Vec<usize>; 3]) -> u64 {
        let classes = held_out.classes.len();
        let slices: usize = trained_on.iter().map(Vec::len).sum();
        let counts = slices * Stratum::count(classes) * classes * size_of::<u32>();
        // Index, truth, weight, the logits and their copy for a part.
        let each = size_of::<usize>() + 1 + size_of::<f64>() + 2 * classes * size_of::<f32>();
        (held_out.annotated_voxels() * 2 * each + counts + 2 * held_out.voxels.len()) as u64
    }

    /// The stratum of a voxel that has these logits.
    pub(crate) fn stratum(&self, voxel: usize, logits: &[f32]) -> usize {
        let (class, certainty) = certainty(logits, 1.0);
        Stratum::new(class, certainty, self.voxels_from_border(voxel)).index()
    }

    /// The slice trained on that a voxel lies on, on a crossing the first.
    fn slice_trained_on(&self, voxel: usize) -> Option<usize> {
        let at = position(voxel, self.shape);
        (0..3).find_map(|axis| self.slice_numbers[axis][at[axis]])
    }

    fn voxels_from_border(&self, voxel: usize) -> usize {
        let at = position(voxel, self.shape);
        let nearest = (0..3).map(|a| at[a].min(self.shape[a] - 1 - at[a])).min();
        nearest.unwrap_or(0)
    }

    /// For each voxel held out, its block and its slice, numbered through:
    /// `slices` are those held out, along `[z, y, x]`.
    pub(crate) fn blocks(&self, slices: &[Vec<usize>; 3]) -> Vec<Place> {
        let length = self.block_lengths();
        let named: Vec<(usize, usize)> = (0..3)
            .flat_map(|axis| slices[axis].iter().map(move |i| (axis, *i)))
            .collect();
        let place = |voxel: usize| {
            let at = position(voxel, self.shape);
            // On a crossing, the first of its slices.
            let slice = named.iter().position(|(axis, i)| at[*axis] == *i);
            let slice = slice.unwrap_or(0);
            let axis = named.get(slice).map_or(0, |(axis, _)| *axis);
            let mut block = slice;
            for a in (0..3).filter(|a| *a != axis) {
                let count = (self.shape[a] / length[a]).max(1);
                block = block * MOST_BLOCKS + (at[a] * count / self.shape[a]).min(MOST_BLOCKS - 1);
            }
            Place { block, slice }
        };
        self.voxels.iter().map(|voxel| place(*voxel)).collect()
    }

    /// Length of a block along `[z, y, x]`, from how long one class goes on.
    fn block_lengths(&self) -> [usize; 3] {
        let strides = [self.shape[1] * self.shape[2], self.shape[2], 1];
        let mut pairs = [0usize; 3];
        let mut changes = [0usize; 3];
        for (i, voxel) in self.voxels.iter().enumerate() {
            for axis in 0..3 {
                // Beyond the end of a row the neighbour is one of the next row,
                // which adds a little noise and nothing else.
                if let Ok(next) = self.voxels[i..].binary_search(&(voxel + strides[axis])) {
                    pairs[axis] += 1;
                    changes[axis] += usize::from(self.truth[i] != self.truth[i + next]);
                }
            }
        }
        [0, 1, 2].map(|axis| {
            let stretch = pairs[axis] as f64 / changes[axis].max(1) as f64;
            let most = (self.shape[axis] / 2).max(1);
            ((STRETCHES * stretch) as usize).clamp(SHORTEST.min(most), most)
        })
    }
}

/// Blocks along an axis of a slice at most, so that their numbers stay apart.
const MOST_BLOCKS: usize = 1 << 16;

/// Where a voxel held out belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Number of its block.
    pub(crate) block: usize,
    /// Number of its slice.
    pub(crate) slice: usize,
}

impl Witness for Evidence<'_> {
    fn row(&mut self, first: usize, logits: &[f32]) {
        let mut next = self.voxels.partition_point(|voxel| *voxel < first);
        for (i, logits) in logits.chunks_exact(self.classes).enumerate() {
            let voxel = first + i;
            if self.voxels.get(next) == Some(&voxel) {
                self.logits[next * self.classes..][..self.classes].copy_from_slice(logits);
                next += 1;
                continue;
            }
            match self.annotation[voxel].class() {
                None => {
                    let stratum = self.stratum(voxel, logits);
                    self.not_annotated[stratum] += 1;
                }
                Some(truth) => {
                    if let Some(slice) = self.slice_trained_on(voxel) {
                        let stratum = self.stratum(voxel, logits);
                        self.trained_on[slice][stratum * self.classes + truth] += 1;
                    }
                }
            }
        }
    }
}

/// `[z, y, x]` of the voxel with this index.
fn position(index: usize, shape: [usize; 3]) -> [usize; 3] {
    let (row, x) = (index / shape[2], index % shape[2]);
    [row / shape[1], row % shape[1], x]
}

#[cfg(test)]
mod tests {
    use super::*;
    use unet3d_volume::{Class, Geometry};

    /// Two classes in stripes of 4 along x, annotated on z = 8 and y = 20 of 16 x 40 x 40.
    fn striped() -> (Labels, Labels, [Vec<usize>; 3]) {
        let shape = [16, 40, 40];
        let dense = Labels {
            geometry: Geometry::of_shape(shape),
            classes: [0, 1]
                .map(|value| Class {
                    value,
                    name: value.to_string(),
                })
                .to_vec(),
            voxels: (0..16 * 40 * 40)
                .map(|i| Label::of_class(i % 40 / 4 % 2))
                .collect(),
        };
        let slices = [vec![8], vec![20], vec![]];
        let (rest, held_out) = dense.hold_out(&slices).unwrap();
        drop(rest);
        (held_out.clone(), held_out, slices)
    }

    #[test]
    fn each_voxel_is_kept_or_counted_whatever_the_order_of_rows() {
        let (annotation, held_out, _) = striped();
        let gather = |rows: &mut dyn Iterator<Item = usize>| {
            let mut evidence = Evidence::new(&annotation, &held_out, &Default::default());
            for row in rows {
                let first = row * 20;
                let logits: Vec<f32> = (first..first + 20).flat_map(|i| [0.0, i as f32]).collect();
                evidence.row(first, &logits);
            }
            evidence
        };
        let rows = 16 * 40 * 2;
        let a = gather(&mut (0..rows));
        let b = gather(&mut (0..rows).rev());
        assert_eq!((&a.logits, &a.not_annotated), (&b.logits, &b.not_annotated));
        let held = 40 * 40 + 15 * 40;
        assert_eq!(a.voxels.len(), held);
        assert_eq!(
            a.not_annotated.iter().sum::<u64>() as usize,
            16 * 40 * 40 - held
        );
        let kept = a.voxels.iter().zip(a.logits.chunks(2));
        assert!(
            kept.clone()
                .all(|(voxel, logits)| logits[1] == *voxel as f32)
        );
    }

    #[test]
    fn voxels_of_slices_trained_on_are_counted_with_their_truth() {
        let (annotation, _, slices) = striped();
        // Nothing is held out of the slice z = 8, all of y = 20 is.
        let (_, held_out) = annotation.hold_out(&[vec![], vec![20], vec![]]).unwrap();
        let mut evidence =
            Evidence::new(&annotation, &held_out, &[slices[0].clone(), vec![], vec![]]);
        for row in 0..16 * 40 {
            evidence.row(row * 40, &[0.0, 3.0].repeat(40));
        }
        let [counts] = &evidence.trained_on[..] else {
            panic!("one slice")
        };
        let of = |truth| counts.iter().skip(truth).step_by(2).sum::<u32>();
        // 39 rows of 40, half of each class.
        assert_eq!((of(0), of(1)), (780, 780));
    }

    #[test]
    fn blocks_follow_the_size_of_structures_and_slices_stay_apart() {
        let (annotation, held_out, slices) = striped();
        let evidence = Evidence::new(&annotation, &held_out, &Default::default());
        // Stripes of 4 along x: the shortest block; endless along y: half an axis.
        let [_, y, x] = evidence.block_lengths();
        assert_eq!((y, x), (20, 16));
        let places = evidence.blocks(&slices);
        let mut blocks: Vec<usize> = places.iter().map(|p| p.block).collect();
        blocks.sort_unstable();
        blocks.dedup();
        // 2 x 2 on z = 8; 2 along z (of 16, half) and 2 along x on y = 20.
        assert_eq!(blocks.len(), 8);
        for (place, voxel) in places.iter().zip(&evidence.voxels) {
            assert_eq!(place.slice, usize::from(voxel / 1600 != 8));
        }
    }
}
