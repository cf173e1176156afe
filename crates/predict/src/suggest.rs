//! Which slices to annotate next.
//!
//! Comes in: how doubtful each voxel is, and what is annotated. Leaves: slices in
//! the order in which to annotate them.
//!
//! A slice teaches most about slices near it. So along each axis every slice has
//! a price, its mean doubt times the distance to the nearest annotated slice, and
//! the best slice is the one whose annotation lowers the sum of prices most.
//! That keeps away from slices that are known, from the border, behind which there
//! is nothing to learn about, and from slices that were just suggested. With equal doubts it
//! spaces slices evenly.

use rand::RngExt;
use unet3d_kernels::random::{Stream, generator};
use unet3d_volume::{Label, Labels};

/// How slices are chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// Where the network is in doubt, and far from what is annotated.
    #[default]
    Uncertainty,
    /// Far from what is annotated, whatever the network says.
    EvenlySpaced,
    /// By chance, with this seed: what the others must be better than.
    Random(u64),
}

/// A slice to annotate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SliceRef {
    /// 0 = z, 1 = y, 2 = x.
    pub axis: usize,
    /// Index along it.
    pub index: usize,
    /// Mean uncertainty of its voxels that are not annotated, 0 to 1.
    pub uncertainty: f64,
    /// Slices to the nearest one annotated or suggested before along this axis;
    /// `None` where there is none.
    pub nearest: Option<usize>,
    /// By how much annotating it lowers the mean price of a slice of its axis, in
    /// voxels of the finest axis.
    pub gain: f64,
}

/// The `count` slices to annotate next; fewer where fewer are left. The best comes
/// first, then the best of the two other directions, then of the last, and so on: in
/// docs/experiments.md slices in turn taught no less than those of [`ranked`].
/// `uncertainty` is of each voxel, `[z, y, x]`; `across` are the directions in which
/// slices can be annotated (0 = z, 1 = y, 2 = x).
///
/// # Panics
/// When there are not as many uncertainties as voxels.
pub fn suggest(
    uncertainty: &[f32],
    labels: &Labels,
    count: usize,
    strategy: Strategy,
    across: &[usize],
) -> Vec<SliceRef> {
    let mut prices = Prices::new(uncertainty, labels, strategy);
    // The one slice of a flat volume is the volume.
    let mut all = vec![0, 1, 2];
    all.retain(|axis| across.contains(axis));
    all.retain(|axis| prices.doubts[*axis].len() > 1);
    let mut turn = all.clone();
    let next = |_| {
        let best = prices.take(&turn).or_else(|| {
            turn.clone_from(&all);
            prices.take(&turn)
        })?;
        turn.retain(|axis| *axis != best.axis);
        Some(best)
    };
    (0..count).map_while(next).collect()
}

/// The same, whatever their directions: best first.
///
/// # Panics
/// When there are not as many uncertainties as voxels.
pub fn ranked(
    uncertainty: &[f32],
    labels: &Labels,
    count: usize,
    strategy: Strategy,
) -> Vec<SliceRef> {
    let mut prices = Prices::new(uncertainty, labels, strategy);
    (0..count).map_while(|_| prices.take(&[0, 1, 2])).collect()
}

/// The slice to annotate next along each axis.
///
/// # Panics
/// When there are not as many uncertainties as voxels.
pub fn suggest_one_each(uncertainty: &[f32], labels: &Labels, strategy: Strategy) -> Vec<SliceRef> {
    let mut prices = Prices::new(uncertainty, labels, strategy);
    (0..3).filter_map(|axis| prices.take(&[axis])).collect()
}

/// What every slice costs as long as it is not annotated.
struct Prices {
    strategy: Strategy,
    /// Mean uncertainty, by axis and index.
    doubts: [Vec<f64>; 3],
    /// Annotated or suggested slices.
    known: [Vec<usize>; 3],
    /// Width of a voxel along each axis over that along the finest.
    width: [f64; 3],
    /// Slices drawn so far.
    drawn: u64,
}

impl Prices {
    fn new(uncertainty: &[f32], labels: &Labels, strategy: Strategy) -> Self {
        assert_eq!(uncertainty.len(), labels.voxels.len(), "one a voxel");
        let spacing = labels.geometry.spacing_mm.unwrap_or([1.0; 3]);
        let finest = spacing.into_iter().fold(f64::INFINITY, f64::min);
        Self {
            strategy,
            doubts: mean_by_slice(uncertainty, labels),
            known: labels.annotated_slices(),
            width: spacing.map(|s| s / finest),
            drawn: 0,
        }
    }

    /// The best slice along these axes, which counts as known from here on.
    fn take(&mut self, axes: &[usize]) -> Option<SliceRef> {
        let places = axes.iter().flat_map(|axis| {
            let known = &self.known[*axis];
            let all = 0..self.doubts[*axis].len();
            all.filter(|i| !known.contains(i)).map(|i| (*axis, i))
        });
        let best = match self.strategy {
            Strategy::Random(seed) => {
                let places: Vec<_> = places.collect();
                let mut random = generator(seed, Stream::Suggestion, self.drawn);
                self.drawn += 1;
                let any = (!places.is_empty()).then(|| random.random_range(0..places.len()))?;
                self.slice(places[any])
            }
            _ => {
                let slices = places.map(|place| self.slice(place));
                // Of equals the first.
                slices.reduce(|a, b| if b.gain > a.gain { b } else { a })?
            }
        };
        self.known[best.axis].push(best.index);
        Some(best)
    }

    fn slice(&self, (axis, index): (usize, usize)) -> SliceRef {
        let doubts = &self.doubts[axis];
        let distance = |i: usize| self.known[axis].iter().map(|k| k.abs_diff(i)).min();
        let saved = |(i, doubt): (usize, &f64)| {
            // Where nothing is known, everything is as far as can be.
            let before = distance(i).unwrap_or(doubts.len());
            let price = match self.strategy {
                Strategy::EvenlySpaced => 1.0,
                _ => *doubt,
            };
            price * before.saturating_sub(i.abs_diff(index)) as f64
        };
        let saved: f64 = doubts.iter().enumerate().map(saved).sum();
        SliceRef {
            axis,
            index,
            uncertainty: doubts[index],
            nearest: distance(index),
            gain: saved * self.width[axis] / doubts.len() as f64,
        }
    }
}

/// Mean over the voxels of each slice that are not annotated, 0 where all are.
fn mean_by_slice(uncertainty: &[f32], labels: &Labels) -> [Vec<f64>; 3] {
    let shape = labels.geometry.shape;
    let mut sums = shape.map(|n| vec![(0.0, 0u64); n]);
    for (i, (doubt, label)) in uncertainty.iter().zip(&labels.voxels).enumerate() {
        if *label == Label::UNLABELED {
            let row = i / shape[2];
            for (axis, at) in [row / shape[1], row % shape[1], i % shape[2]]
                .into_iter()
                .enumerate()
            {
                sums[axis][at].0 += f64::from(*doubt);
                sums[axis][at].1 += 1;
            }
        }
    }
    sums.map(|of_axis| {
        let means = of_axis.into_iter();
        means.map(|(sum, n)| sum / n.max(1) as f64).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use unet3d_volume::{Class, Geometry};

    fn labels(shape: [usize; 3], annotated: [usize; 3]) -> Labels {
        let dense = Labels {
            geometry: Geometry::of_shape(shape),
            classes: vec![Class {
                value: 0,
                name: String::new(),
            }],
            voxels: vec![Label::of_class(0); shape.iter().product()],
        };
        dense.sparsify(annotated)
    }

    #[test]
    fn equal_doubts_are_spaced_evenly() {
        let labels = labels([40, 40, 40], [2, 2, 2]);
        let doubts = vec![0.5; 64_000];
        for strategy in [Strategy::Uncertainty, Strategy::EvenlySpaced] {
            let slices = suggest(&doubts, &labels, 3, strategy, &[0, 1, 2]);
            // 10 and 30 are known: the middle of each axis.
            let mut axes: Vec<usize> = slices.iter().map(|s| s.axis).collect();
            axes.sort_unstable();
            assert_eq!(axes, [0, 1, 2], "{strategy:?}");
            for slice in slices {
                assert!(slice.index.abs_diff(20) <= 1, "{strategy:?} {slice:?}");
                assert_eq!(
                    slice.nearest,
                    Some(slice.index.abs_diff(10).min(30 - slice.index))
                );
            }
        }
    }

    #[test]
    fn doubts_attract_and_known_slices_repel() {
        let labels = labels([40, 40, 40], [2, 2, 2]);
        // All doubt is in z 31 to 39; z = 30 is known.
        let doubts: Vec<f32> = (0..64_000)
            .map(|i| if i / 1600 > 30 { 0.9 } else { 0.01 })
            .collect();
        let slices = suggest(&doubts, &labels, 2, Strategy::Uncertainty, &[0, 1, 2]);
        assert_eq!(slices[0].axis, 0);
        assert!((33..=38).contains(&slices[0].index), "{slices:?}");
        assert_ne!(slices[1].axis, 0, "another direction's turn");
        let slices = ranked(&doubts, &labels, 2, Strategy::Uncertainty);
        // Doubts that all have one place along y and x send the next elsewhere.
        assert!(slices[1].axis != 0 || slices[1].index.abs_diff(slices[0].index) > 1);
        let even = suggest(&doubts, &labels, 1, Strategy::EvenlySpaced, &[0, 1, 2]);
        assert!(even[0].index.abs_diff(20) <= 1);
    }

    #[test]
    fn directions_take_turns_and_a_flat_one_has_none() {
        let axes = |shape: [usize; 3]| -> Vec<usize> {
            let doubts: Vec<f32> = (0..shape.iter().product())
                .map(|i| (i % 7) as f32)
                .collect();
            let labels = labels(shape, [0, 1, 1]);
            let slices = suggest(&doubts, &labels, 6, Strategy::Uncertainty, &[0, 1, 2]);
            slices.into_iter().map(|slice| slice.axis).collect()
        };
        let found = axes([20, 30, 40]);
        for turn in found.chunks(3) {
            let mut turn = turn.to_vec();
            turn.sort_unstable();
            assert_eq!(turn, [0, 1, 2], "{found:?}");
        }
        assert_eq!(found.len(), 6);
        assert!(axes([1, 30, 40]).iter().all(|axis| *axis != 0));
    }

    #[test]
    fn only_directions_that_can_be_annotated_are_named() {
        let labels = labels([20, 30, 40], [1, 1, 1]);
        let doubts: Vec<f32> = (0..24_000).map(|i| (i % 7) as f32).collect();
        for across in [&[0][..], &[2], &[0, 2], &[1, 2]] {
            let slices = suggest(&doubts, &labels, 5, Strategy::Uncertainty, across);
            assert_eq!(slices.len(), 5);
            for axis in 0..3 {
                let named = slices.iter().any(|slice| slice.axis == axis);
                assert_eq!(named, across.contains(&axis), "{axis} of {across:?}");
            }
        }
        assert_eq!(suggest(&doubts, &labels, 5, Strategy::Uncertainty, &[]), []);
    }

    #[test]
    fn never_more_slices_than_there_are_and_none_twice() {
        let labels = labels([3, 2, 2], [1, 1, 0]);
        let doubts = vec![0.5; 12];
        for strategy in [
            Strategy::Uncertainty,
            Strategy::EvenlySpaced,
            Strategy::Random(1),
        ] {
            let slices = suggest(&doubts, &labels, 100, strategy, &[0, 1, 2]);
            assert_eq!(ranked(&doubts, &labels, 100, strategy).len(), slices.len());
            let known: usize = labels.annotated_slices().iter().map(Vec::len).sum();
            assert_eq!(slices.len() + known, 7, "{strategy:?}");
            let mut places: Vec<_> = slices.iter().map(|s| (s.axis, s.index)).collect();
            places.sort_unstable();
            places.dedup();
            assert_eq!(places.len(), slices.len());
            assert_eq!(slices, suggest(&doubts, &labels, 100, strategy, &[0, 1, 2]));
        }
        let one = suggest_one_each(&doubts, &labels, Strategy::Uncertainty);
        assert_eq!(one.iter().map(|s| s.axis).collect::<Vec<_>>(), [0, 1, 2]);
    }
}
