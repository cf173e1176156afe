//! How far an estimate from a sample may be from the truth.
//!
//! Neighbouring voxels are right or wrong together, so a sample of 20,000 is
//! worth far fewer. It is cut into blocks about as large as the structures in it,
//! and blocks are drawn again with replacement (Künsch 1989: the jackknife and
//! the bootstrap for general stationary observations). Blocks come in groups, the
//! slices: where leaving one out moves the estimate further than the draws say,
//! that counts instead.
//!
//! Three slices held out may still be lucky ones. The slices trained on are more,
//! and say how much slices differ; and although a network is better where it
//! learned, it is not much better where it learned from little for a short time.
//! [`combine`] weighs both by what each can tell.

use rand::{Rng, RngExt};

use crate::scores::mean;

/// Share of cases in which the truth is meant to lie in an [`interval`].
pub const COVERAGE: f64 = 0.9;

/// Standard deviations on either side that hold [`COVERAGE`] of a normal
/// distribution.
const DEVIATIONS: f64 = 1.645;

/// Standard deviation that no sample of a volume can tell of, in IoU: slices
/// held out are not a random sample, and the network was not trained on slices as
/// near to them as most voxels have. What the runs of docs/experiments.md,
/// "Estimates without truth", are off by beyond their spread.
const UNSAMPLED: f64 = 0.012;

/// By how much a network may be better on the slices that it was trained on, in
/// IoU: the standard deviation allowed for before the slices themselves tell of
/// more. In the runs of docs/experiments.md it was between -0.01 and 0.03.
const OPTIMISM: f64 = 0.03;

/// Draws: the deviation of 200 is known to 5 %.
const DRAWS: usize = 200;

/// Share of the draws that must have a number for its spread to be known. Where one
/// block alone shows a class, 0.63 of the draws have it, where two do, 0.86.
const SHARE_OF_DRAWS: f64 = 0.8;

/// What one block adds to the counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    /// The group it belongs to.
    pub group: usize,
    /// Places among the counts, and what is added there.
    pub counts: Vec<(usize, f64)>,
}

/// Standard deviation of each number that `statistic` makes of counts, were the
/// blocks others of the same kind. `None` where a number does not exist, or hangs on
/// one block only.
pub fn spread(
    blocks: &[Block],
    counts: usize,
    statistic: impl Fn(&[f64]) -> Vec<Option<f64>>,
    random: &mut impl Rng,
) -> Vec<Option<f64>> {
    let mut sum = vec![0.0; counts];
    let mut of = |chosen: &mut dyn Iterator<Item = &Block>| {
        sum.fill(0.0);
        for block in chosen {
            block.counts.iter().for_each(|(at, n)| sum[*at] += n);
        }
        statistic(&sum)
    };
    let all = of(&mut blocks.iter());
    if blocks.len() < 2 {
        return vec![None; all.len()];
    }
    let drawn: Vec<_> = (0..DRAWS)
        .map(|_| of(&mut (0..blocks.len()).map(|_| &blocks[random.random_range(0..blocks.len())])))
        .collect();
    let mut groups: Vec<usize> = blocks.iter().map(|b| b.group).collect();
    groups.sort_unstable();
    groups.dedup();
    let without: Vec<_> = match groups.len() {
        // Two differ by chance alone too often to say anything.
        0..=2 => Vec::new(),
        _ => {
            let left_out = |group| of(&mut blocks.iter().filter(|b| b.group != group));
            groups.iter().copied().map(left_out).collect()
        }
    };
    let deviation = |i: usize| {
        all[i]?;
        let drawn_with_it = drawn.iter().filter(|n| n[i].is_some()).count();
        if (drawn_with_it as f64) < SHARE_OF_DRAWS * DRAWS as f64 {
            return None;
        }
        let between = variance(&without, i).map_or(0.0, |v| v * (groups.len() - 1) as f64);
        Some(variance(&drawn, i)?.max(between).sqrt())
    };
    (0..all.len()).map(deviation).collect()
}

/// An estimate and how far it may be off.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimated {
    /// What to expect.
    pub value: f64,
    /// Its standard deviation, as far as samples can tell.
    pub spread: f64,
}

/// Joins what slices held out say, and each of those trained on by itself.
///
/// Both count by the inverse of their variance. That of the held-out value is at
/// least what so many slices (`slices`) would show if they differed as those trained on
/// do. That of the others includes the advantage of having been trained on: where
/// they are better than chance explains, by as much more.
pub fn combine(held_out: Estimated, slices: usize, trained_on: &[f64]) -> Estimated {
    let Some(mean) = mean(trained_on.iter().map(|v| Some(*v))).filter(|_| trained_on.len() > 1)
    else {
        return held_out;
    };
    let n = trained_on.len() as f64;
    let squares: f64 = trained_on.iter().map(|v| (v - mean).powi(2)).sum();
    let of_one = squares / (n - 1.0);
    let held_variance = (held_out.spread.powi(2))
        .max(of_one / slices.max(1) as f64)
        .max(f64::MIN_POSITIVE);
    let advantage = (mean - held_out.value).max(0.0);
    let unexplained = (advantage.powi(2) - held_variance - of_one / n).max(0.0);
    let trained_variance = of_one / n + OPTIMISM.powi(2) + unexplained;
    let weights = [1.0 / held_variance, 1.0 / trained_variance];
    let all = weights[0] + weights[1];
    Estimated {
        value: (weights[0] * held_out.value + weights[1] * mean) / all,
        spread: all.recip().sqrt(),
    }
}

/// The interval around an estimate that holds the truth with the probability
/// [`COVERAGE`]; IoU never leaves 0 to 1.
pub fn interval(estimate: Estimated) -> [f64; 2] {
    let Estimated { value, spread } = estimate;
    let half = DEVIATIONS * spread.hypot(UNSAMPLED);
    [(value - half).max(0.0), (value + half).min(1.0)]
}

/// Of the `i`-th number over several, where at least two have it; over n, as a
/// bootstrap and a jackknife want it.
fn variance(numbers: &[Vec<Option<f64>>], i: usize) -> Option<f64> {
    let found: Vec<f64> = numbers.iter().filter_map(|n| n[i]).collect();
    let n = found.len() as f64;
    let mean = found.iter().sum::<f64>() / n;
    let squares = found.iter().map(|v| (v - mean).powi(2));
    (found.len() > 1).then(|| squares.sum::<f64>() / n)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    /// Share of the first of two counts.
    fn share(counts: &[f64]) -> Vec<Option<f64>> {
        vec![Some(counts[0] / (counts[0] + counts[1])), None]
    }

    fn block(group: usize, right: bool) -> Block {
        Block {
            group,
            counts: vec![(usize::from(!right), 100.0)],
        }
    }

    #[test]
    fn blocks_count_as_one_each_however_many_voxels_they_hold() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let blocks: Vec<Block> = (0..64).map(|i| block(0, i % 4 != 0)).collect();
        let found = spread(&blocks, 2, share, &mut random);
        // A share of 3/4 of 64 independent blocks: sqrt(3/16 / 64).
        let expected = (3.0f64 / 16.0 / 64.0).sqrt();
        let spread = found[0].unwrap();
        assert!(
            (spread / expected - 1.0).abs() < 0.2,
            "{spread}, {expected}"
        );
        assert_eq!(found[1], None);
    }

    #[test]
    fn what_one_block_alone_shows_has_no_spread() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let shown_by = |blocks: usize| -> Vec<Block> {
            (0..20)
                .map(|i| match i < blocks {
                    true => block(0, i % 2 == 0),
                    false => Block {
                        group: 0,
                        counts: Vec::new(),
                    },
                })
                .collect()
        };
        let share = |n: &[f64]| vec![(n[0] + n[1] > 0.0).then(|| n[0] / (n[0] + n[1]))];
        assert_eq!(spread(&shown_by(1), 2, share, &mut random), [None]);
        assert!(spread(&shown_by(2), 2, share, &mut random)[0] > Some(0.1));
    }

    #[test]
    fn slices_that_disagree_widen_the_spread() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let alike: Vec<Block> = (0..90).map(|i| block(i % 3, i % 2 == 0)).collect();
        let apart: Vec<Block> = (0..90)
            .map(|i| block(i % 3, i % 3 != 0 || i > 45))
            .collect();
        let mut of = |blocks: &[Block]| spread(blocks, 2, share, &mut random)[0].unwrap();
        let (alike, apart) = (of(&alike), of(&apart));
        assert!(alike < 0.07 && apart > 0.08, "{alike}, {apart}");
    }

    #[test]
    fn slices_trained_on_steady_few_held_out_but_never_flatter() {
        let held_out = |value| Estimated {
            value,
            spread: 0.01,
        };
        let alike = [0.79, 0.8, 0.81, 0.8];
        let mixed = [0.7, 0.9, 0.75, 0.85, 0.8];
        // One slice held out of slices that differ much: it may be a lucky one.
        let lucky = combine(held_out(0.9), 1, &mixed);
        assert!(lucky.value < 0.85 && lucky.spread > 0.02, "{lucky:?}");
        // Three of slices that are alike: they know better.
        let sure = combine(held_out(0.8), 3, &alike);
        assert!((sure.value - 0.8).abs() < 1e-9 && sure.spread < 0.01);
        // Much better where it learned: the network has learned those by heart.
        let learned_by_heart = combine(held_out(0.6), 3, &alike);
        assert!(learned_by_heart.value < 0.601, "{learned_by_heart:?}");
        assert_eq!(combine(held_out(0.6), 3, &[0.9]), held_out(0.6));
    }

    #[test]
    fn intervals_stay_within_0_and_1_and_are_never_a_point() {
        let of = |value, spread| interval(Estimated { value, spread });
        assert_eq!(of(1.0, 0.2)[1], 1.0);
        assert_eq!(of(0.0, 0.2)[0], 0.0);
        let [low, high] = of(0.5, 0.0);
        assert!(high - low > 0.03);
        let mut random = ChaCha8Rng::seed_from_u64(1);
        assert_eq!(
            spread(&[block(0, true)], 2, share, &mut random),
            [None, None]
        );
    }
}
