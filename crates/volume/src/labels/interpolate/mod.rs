//! A class for every voxel from the annotation alone: the shapes between
//! annotated slices, without the image and without learning. What a network
//! must beat.
//!
//! Each annotated slice becomes one map a class: the distance of every pixel
//! from the border of the class, positive inside (`slices`). Raya and Udupa
//! (1990) and Herman, Zheng and Bucholtz (1992) interpolate such maps linearly
//! between the two slices around a voxel. Here up to six are around it, two
//! in each direction, and each votes for each class with
//!
//! `vote = s / sqrt(s² + d²) / d³`
//!
//! where `d` is the distance to the slice and `s` the map straight above,
//! below or beside the voxel. The first factor says how sure the slice can be:
//! a border that is near compared with the slice may well have moved past the
//! voxel. The second makes near slices count most. The class with most votes
//! wins; beyond the outermost slice of a direction, that slice alone votes.
//!
//! The linear rule itself would be `s / d`. Two departures from it, measured in
//! docs/experiments.md: a higher power, because what a far slice shows has little
//! to do with the voxel; and bounded distances, because else the middle of a large
//! background outvotes every small structure.

mod nearest;
mod slices;
mod tapers;

use self::nearest::{Nearest, nearest};
use self::slices::Slices;
use super::{Label, Labels, LabelsError};
use crate::Error;

/// What a stroke says of its surroundings, as if it were a structure that ends
/// this far from it, in units of the smallest spacing: nobody knows how far its
/// class goes on.
const STROKE: f32 = 1.0;

/// Where a class ends that one annotated slice shows and the next does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ends {
    /// About halfway between the two, by the votes of both.
    #[default]
    Halfway,
    /// Where its area would reach 0 if it went on to shrink as it did up to there, at
    /// most halfway, smaller and smaller on the way: for slices of which somebody said
    /// that they are empty (`tapers`).
    Tapering,
}

/// A class for every voxel: voxels that are annotated keep theirs, the others
/// get one from the annotated slices around them
/// ([`annotated_slices`](Labels::annotated_slices)), in all directions at once.
/// Annotated voxels on none of these, such as strokes, vote near themselves;
/// where there is no annotated slice at all, each voxel gets the class of the
/// annotated one nearest to it.
///
/// Takes 4 bytes a voxel beside what goes in and out, 9 where there are strokes,
/// and time by voxels times classes. Uses the spacing, or cubes where there is none.
///
/// # Errors
/// When no voxel is annotated.
pub fn interpolate(labels: &Labels) -> Result<Labels, Error> {
    interpolate_with(labels, Ends::Halfway)
}

/// The same, and what becomes of classes that an annotated slice does not show.
///
/// # Errors
/// When no voxel is annotated.
pub fn interpolate_with(labels: &Labels, ends: Ends) -> Result<Labels, Error> {
    let counts = labels.class_voxels();
    if counts.iter().all(|&n| n == 0) {
        return Err(LabelsError::NothingToInterpolate.into());
    }
    let mut out = labels.clone();
    if labels.voxels.iter().all(|l| l.is_annotated()) {
        return Ok(out);
    }
    // Only ratios of distances matter: in this unit none can overflow.
    let spacing = labels.geometry.spacing().unwrap_or([1.0; 3]);
    let smallest = spacing.into_iter().fold(f64::INFINITY, f64::min);
    let spacing = spacing.map(|s| s / smallest);

    let slices = Slices::of(labels, spacing, ends);
    let strokes = slices
        .strokes(labels)
        .map(|strokes| nearest(&strokes, labels.geometry.shape, spacing));
    let mut best = vec![f32::NEG_INFINITY; labels.voxels.len()];
    let mut votes = vec![0.0; labels.geometry.shape[2]];
    // Classes outermost: what is kept does not grow with their number.
    for class in (0..counts.len()).filter(|&c| counts[c] > 0) {
        let class = Label::of_class(class);
        let maps = slices.maps(class);
        for row in 0..labels.voxels.len() / votes.len() {
            let start = row * votes.len();
            votes.fill(0.0);
            maps.vote(row, &mut votes);
            if let Some(strokes) = &strokes {
                vote_of_strokes(strokes, class, start, &mut votes);
            }
            for (x, &votes) in votes.iter().enumerate() {
                if votes > best[start + x] {
                    best[start + x] = votes;
                    if !labels.voxels[start + x].is_annotated() {
                        out.voxels[start + x] = class;
                    }
                }
            }
        }
    }
    Ok(out)
}

/// What is said at distance `d` from a place that is `s` from the border of a
/// class, positive inside.
fn vote(s: f32, d: f32) -> f32 {
    s / ((s * s + d * d).sqrt() * (d * d * d))
}

/// Adds what the strokes nearest to a row of voxels say of a class.
fn vote_of_strokes(strokes: &Nearest, class: Label, start: usize, votes: &mut [f32]) {
    let near = strokes.squared[start..]
        .iter()
        .zip(&strokes.labels[start..]);
    for (votes, (&squared, &label)) in votes.iter_mut().zip(near) {
        let s = if label == class { STROKE } else { -STROKE };
        // At the stroke itself nobody asks: any distance does.
        *votes += vote(s, squared.sqrt().max(0.5));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::position;
    use crate::{Class, Geometry};

    /// Labels of which `class(position)` says the class.
    fn labels(shape: [usize; 3], class: impl Fn([usize; 3]) -> usize) -> Labels {
        let voxels: Vec<Label> = (0..shape.iter().product())
            .map(|i| Label::of_class(class(position(i, shape))))
            .collect();
        let classes = (0..3).map(|value| Class {
            value,
            name: value.to_string(),
        });
        Labels {
            geometry: Geometry::of_shape(shape),
            classes: classes.collect(),
            voxels,
        }
    }

    /// Share of voxels that are as in the truth.
    fn agreement(a: &Labels, b: &Labels) -> f64 {
        let equal = a.voxels.iter().zip(&b.voxels).filter(|(a, b)| a == b);
        equal.count() as f64 / a.voxels.len() as f64
    }

    fn ball(centre: [f64; 3], radius: f64) -> impl Fn([usize; 3]) -> bool {
        move |p| {
            let squares = (0..3).map(|a| (p[a] as f64 - centre[a]).powi(2));
            squares.sum::<f64>() < radius * radius
        }
    }

    #[test]
    fn a_slanted_column_is_found_between_two_slices() {
        // The disk moves by 4 between slices 0 and 8: in slice 4 it is half way.
        let truth = labels([9, 24, 24], |[z, y, x]| {
            usize::from(ball([0.0, 11.0, 8.0 + 0.5 * z as f64], 6.0)([0, y, x]))
        });
        let sparse = truth.hold_out(&[vec![0, 8], vec![], vec![]]).unwrap().1;
        let filled = interpolate(&sparse).unwrap();
        let middle = |l: &Labels| l.voxels[4 * 576..5 * 576].to_vec();
        let wrong = middle(&filled)
            .iter()
            .zip(&middle(&truth))
            .filter(|(a, b)| a != b)
            .count();
        // The disk has 113 voxels.
        assert!(wrong <= 10, "{wrong} of 576 voxels wrong half way");
    }

    #[test]
    fn three_directions_are_better_than_one_and_annotation_is_kept() {
        let truth = labels([30, 30, 30], |p| {
            if ball([14.0, 15.0, 13.0], 6.0)(p) {
                2
            } else {
                usize::from(ball([14.0, 15.0, 13.0], 11.0)(p))
            }
        });
        let score = |slices| {
            let sparse = truth.sparsify(slices);
            let filled = interpolate(&sparse).unwrap();
            assert!(filled.voxels.iter().all(|l| l.is_annotated()));
            let kept = sparse.voxels.iter().zip(&filled.voxels);
            assert!(kept.into_iter().all(|(s, f)| !s.is_annotated() || s == f));
            agreement(&filled, &truth)
        };
        let (one, three) = (score([3, 0, 0]), score([3, 3, 3]));
        assert!(three > one && three > 0.93, "{one} {three}");
    }

    #[test]
    fn spacing_says_which_slice_is_near() {
        // Slice z = 0 says 0, slice x = 9 says 1; the voxel is 4 from one, 5 from the other.
        let mut sparse = labels([10, 10, 10], |[z, _, _]| usize::from(z > 0));
        for i in 0..1000 {
            let [z, _, x] = position(i, [10; 3]);
            if z > 0 && x < 9 {
                sparse.voxels[i] = Label::UNLABELED;
            }
        }
        let at = |labels: &Labels| interpolate(labels).unwrap().voxels[4 * 100 + 50 + 4].class();
        assert_eq!(at(&sparse), Some(0));
        sparse.geometry.spacing_mm = Some([2e-3, 1e-3, 1e-3]);
        assert_eq!(at(&sparse), Some(1));
    }

    #[test]
    fn strokes_alone_give_the_class_of_the_nearest() {
        let mut sparse = labels([6, 20, 20], |[_, _, x]| usize::from(x > 10));
        for i in 0..sparse.voxels.len() {
            let [z, y, x] = position(i, [6, 20, 20]);
            if z != 2 || y != 7 || (x != 3 && x != 12) {
                sparse.voxels[i] = Label::UNLABELED;
            }
        }
        let filled = interpolate(&sparse).unwrap();
        let truth = labels([6, 20, 20], |[_, _, x]| usize::from(x > 7));
        assert_eq!(filled.voxels, truth.voxels);
    }

    #[test]
    fn a_stroke_far_from_all_slices_is_heard_beside_itself() {
        let mut sparse = labels([21, 20, 20], |_| 0).hold_out(&[vec![0, 20], vec![], vec![]]);
        let (_, sparse) = sparse.as_mut().unwrap();
        let at = |z: usize, y: usize, x: usize| (z * 20 + y) * 20 + x;
        sparse.voxels[at(10, 10, 10)] = Label::of_class(1);
        let filled = interpolate(sparse).unwrap();
        let class = |i: usize| filled.voxels[i].class();
        assert_eq!(class(at(10, 10, 10)), Some(1));
        assert_eq!(class(at(10, 10, 11)), Some(1));
        assert_eq!(class(at(2, 10, 10)), Some(0));
    }

    #[test]
    fn holes_in_a_slice_are_filled_from_the_slice() {
        let mut sparse = labels([9, 20, 20], |[_, y, _]| usize::from(y > 9))
            .hold_out(&[vec![4], vec![], vec![]])
            .unwrap()
            .1;
        for x in 0..20 {
            sparse.voxels[4 * 400 + 4 * 20 + x] = Label::UNLABELED;
        }
        let filled = interpolate(&sparse).unwrap();
        for i in 0..filled.voxels.len() {
            let [_, y, _] = position(i, [9, 20, 20]);
            assert_eq!(filled.voxels[i].class(), Some(usize::from(y > 9)), "{i}");
        }
    }

    /// A tumour of 31 of 59 slices whose middle lies `shift` slices behind the middle of
    /// the volume, in a body that fills most of each slice.
    fn tumour(shift: isize) -> Labels {
        let middle = (29 + shift) as f64;
        labels([59, 40, 40], |[z, y, x]| {
            let d = |v: usize, c: f64, r: f64| ((v as f64 - c) / r).powi(2);
            let r = d(z, middle, 15.5) + d(y, 21.0, 12.0) + d(x, 18.0, 9.0);
            // A core inside, as tumours have.
            usize::from(r < 1.0) + usize::from(r < 0.2)
        })
    }

    /// The slices that hold anything but background.
    fn held(labels: &Labels) -> Vec<usize> {
        let area = 40 * 40;
        let holds = |z: &usize| {
            let slice = &labels.voxels[z * area..(z + 1) * area];
            slice.iter().any(|l| l.class() != Some(0))
        };
        (0..59).filter(holds).collect()
    }

    #[test]
    fn a_tumour_ends_where_slices_were_said_to_be_empty() {
        for shift in -9..=7 {
            let truth = tumour(shift);
            let true_slices = held(&truth);
            assert_eq!(true_slices.len(), 31);
            let every_tenth: Vec<usize> = (0..59).step_by(10).collect();
            let (_, stated) = truth.hold_out(&[every_tenth, vec![], vec![]]).unwrap();
            let filled = interpolate_with(&stated, Ends::Tapering).unwrap();
            let slices = held(&filled);
            let (first, last) = (slices[0], slices[slices.len() - 1]);
            assert!(
                first + 2 >= true_slices[0] && last <= true_slices[30] + 2,
                "shifted by {shift}: {first} to {last}, true {true_slices:?}"
            );
            assert_eq!(slices.len(), last - first + 1, "shifted by {shift}: a gap");
            assert!(agreement(&filled, &truth) > 0.97, "shifted by {shift}");
            // Without the empty slices it goes on to both ends.
            let painted = held(&stated);
            let painted = painted.into_iter().filter(|z| {
                z % 10 == 0 && {
                    let slice = &truth.voxels[z * 1600..(z + 1) * 1600];
                    slice.iter().any(|l| l.class() != Some(0))
                }
            });
            let (_, painted) = truth
                .hold_out(&[painted.collect(), vec![], vec![]])
                .unwrap();
            assert_eq!(held(&interpolate(&painted).unwrap()).len(), 59);
        }
    }

    #[test]
    fn a_structure_of_one_slice_ends_between_it_and_the_empty_ones() {
        for axis in 0..3 {
            let truth = labels([21, 21, 21], |p| {
                let mut at = p;
                at.swap(0, axis);
                usize::from(ball([10.0, 10.0, 10.0], 4.5)(at))
            });
            let mut slices: [Vec<usize>; 3] = Default::default();
            slices[axis] = vec![0, 10, 20];
            let (_, stated) = truth.hold_out(&slices).unwrap();
            let filled = interpolate_with(&stated, Ends::Tapering).unwrap();
            let holds = |along: usize, at: usize| {
                let voxels = filled.voxels.iter().enumerate();
                let mut on = voxels.filter(|(i, _)| position(*i, [21; 3])[along] == at);
                on.any(|(_, l)| l.class() == Some(1))
            };
            let found: Vec<usize> = (0..21).filter(|at| holds(axis, *at)).collect();
            assert!(
                found.len() >= 5 && found.len() <= 9,
                "along {axis}: {found:?}"
            );
            assert_eq!((found[0] + found[found.len() - 1]) / 2, 10);
        }
    }

    #[test]
    fn ends_change_nothing_where_no_class_ends() {
        let truth = labels([30, 20, 20], |[z, y, x]| {
            usize::from(ball([0.0, 10.0, 6.0 + 0.2 * z as f64], 5.0)([0, y, x]))
        });
        let sparse = truth.sparsify([4, 2, 0]);
        assert_eq!(
            interpolate_with(&sparse, Ends::Tapering).unwrap(),
            interpolate(&sparse).unwrap()
        );
    }

    #[test]
    fn dense_labels_stay_and_empty_ones_are_refused() {
        let dense = labels([3, 4, 5], |[z, _, _]| z % 2);
        assert_eq!(interpolate(&dense).unwrap(), dense);
        let empty = dense.sparsify([0; 3]);
        let error = interpolate(&empty).unwrap_err().to_string();
        assert!(error.starts_with("no voxel is annotated"), "{error}");
        let one = dense.sparsify([1, 0, 0]);
        let filled = interpolate(&one).unwrap();
        assert!(filled.voxels.iter().all(|l| l.class() == Some(1)));
    }
}
