//! For each voxel the nearest seed: how far it is, and its label.
//!
//! Exact Euclidean distances between voxel centres, one axis after the
//! other: along a line, each seed found so far is a parabola over the line, and
//! the lowest of them at each voxel is its distance (Felzenszwalb and
//! Huttenlocher, Distance transforms of sampled functions, 2012). Work grows
//! with the voxels, not with the seeds. A slice is a volume of depth 1.

use crate::labels::Label;

/// The nearest seed of every voxel, `[z, y, x]`.
pub(super) struct Nearest {
    /// Squared distance to it, in the unit of the spacing; infinite where there is no seed at all.
    pub(super) squared: Vec<f32>,
    /// Its label; unlabeled where there is no seed at all.
    pub(super) labels: Vec<Label>,
}

/// Finds the nearest seed, a voxel whose label is not [`Label::UNLABELED`], of
/// every voxel. Of two that are equally near, the one with the lower index
/// along the last axis that tells them apart.
pub(super) fn nearest(seeds: &[Label], shape: [usize; 3], spacing: [f64; 3]) -> Nearest {
    let mut found = Nearest {
        squared: seeds
            .iter()
            .map(|l| if l.is_annotated() { 0.0 } else { f32::INFINITY })
            .collect(),
        labels: seeds.to_vec(),
    };
    // x first: its lines are contiguous and leave fewest infinities to the others.
    for axis in [2, 1, 0] {
        let n = shape[axis];
        let stride: usize = shape[axis + 1..].iter().product();
        let mut envelope = Envelope::default();
        for block in 0..seeds.len() / (n * stride).max(1) {
            for offset in 0..stride {
                let start = block * n * stride + offset;
                envelope.lower(&mut found, (start, stride, n), spacing[axis]);
            }
        }
    }
    found
}

/// The lower envelope of the parabolas over one line; kept to reuse its memory.
#[derive(Default)]
struct Envelope {
    parabolas: Vec<Parabola>,
}

/// `squared + (at - centre)²`, the lowest from `from` on.
struct Parabola {
    from: f64,
    centre: f64,
    squared: f64,
    label: Label,
}

impl Envelope {
    /// Replaces the distances along the line of `n` voxels that starts at
    /// `start`, each `stride` after the one before.
    fn lower(
        &mut self,
        found: &mut Nearest,
        (start, stride, n): (usize, usize, usize),
        spacing: f64,
    ) {
        self.parabolas.clear();
        for i in 0..n {
            let at = start + i * stride;
            let (squared, label) = (f64::from(found.squared[at]), found.labels[at]);
            if !label.is_annotated() {
                continue;
            }
            let centre = i as f64 * spacing;
            let mut from = f64::NEG_INFINITY;
            while let Some(last) = self.parabolas.last() {
                // Where the new one falls below the last.
                let rise = squared + centre * centre - last.squared - last.centre * last.centre;
                from = rise / (2.0 * (centre - last.centre));
                if from > last.from {
                    break;
                }
                self.parabolas.pop();
                from = f64::NEG_INFINITY;
            }
            self.parabolas.push(Parabola {
                from,
                centre,
                squared,
                label,
            });
        }
        let mut lowest = 0;
        if self.parabolas.is_empty() {
            return;
        }
        for i in 0..n {
            let place = i as f64 * spacing;
            while self
                .parabolas
                .get(lowest + 1)
                .is_some_and(|p| p.from < place)
            {
                lowest += 1;
            }
            let parabola = &self.parabolas[lowest];
            let at = start + i * stride;
            found.squared[at] = (parabola.squared + (place - parabola.centre).powi(2)) as f32;
            found.labels[at] = parabola.label;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::position;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn distances_are_those_to_the_nearest_of_all_seeds(
            shape in [1usize..6, 1..7, 1..8],
            spacing in [0.1f64..3.0, 0.1..3.0, 0.1..3.0],
            picks in prop::collection::vec((0usize..336, 0usize..3), 0..12),
        ) {
            let voxels: usize = shape.iter().product();
            let mut seeds = vec![Label::UNLABELED; voxels];
            for (at, class) in picks {
                seeds[at % voxels] = Label::of_class(class);
            }
            let found = nearest(&seeds, shape, spacing);
            for i in 0..voxels {
                let distance = |j: usize| -> f64 {
                    let (p, q) = (position(i, shape), position(j, shape));
                    (0..3).map(|a| (spacing[a] * p[a].abs_diff(q[a]) as f64).powi(2)).sum()
                };
                let all = (0..voxels).filter(|&j| seeds[j].is_annotated());
                let Some(best) = all.clone().map(distance).min_by(f64::total_cmp) else {
                    prop_assert_eq!(found.squared[i], f32::INFINITY);
                    prop_assert_eq!(found.labels[i], Label::UNLABELED);
                    continue;
                };
                let near = |d: f64| (d - best).abs() <= 1e-5 * (1.0 + best);
                prop_assert!(near(f64::from(found.squared[i])));
                prop_assert!(all.into_iter().any(|j| near(distance(j)) && seeds[j] == found.labels[i]));
            }
        }
    }
}
