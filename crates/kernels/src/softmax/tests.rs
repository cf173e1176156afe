//! Fast path against reference, reference against central differences, and the
//! promises about voxels that do not count.

use rand::RngExt;

use super::{Losses, Problem, TASK_VOXELS, UNLABELED, probabilities, reference, weighted_loss};
use crate::Threads;
use crate::random::{Stream, generator};

const WEIGHTS: [f32; 3] = [0.25, 3.0, 1.0];

fn problem(cross_entropy: f64, dice: f64) -> Problem<'static> {
    Problem {
        classes: 3,
        class_weights: &WEIGHTS,
        cross_entropy,
        dice,
    }
}

fn case(voxels: usize, step: u64) -> (Vec<f32>, Vec<u8>) {
    let mut rng = generator(11, Stream::Test, step);
    let logits = (0..voxels * 3)
        .map(|_| rng.random_range(-6.0..6.0))
        .collect();
    let labels = (0..voxels)
        .map(|_| match rng.random_range(0..4) {
            3 => UNLABELED,
            class => class,
        })
        .collect();
    (logits, labels)
}

fn fast(count: usize, problem: &Problem<'_>, logits: &[f32], labels: &[u8]) -> (Losses, Vec<f32>) {
    let mut d_logits = vec![f32::NAN; logits.len()];
    let mut scratch = vec![f64::NAN; problem.scratch_len(labels.len())];
    let threads = Threads::new(count).unwrap();
    let losses = weighted_loss(
        &threads,
        problem,
        logits,
        labels,
        &mut d_logits,
        &mut scratch,
    );
    (losses, d_logits)
}

#[test]
fn agrees_with_the_reference_at_task_edges() {
    for voxels in [
        0,
        1,
        2,
        63,
        TASK_VOXELS - 1,
        TASK_VOXELS,
        2 * TASK_VOXELS + 1,
    ] {
        let (logits, labels) = case(voxels, voxels as u64);
        let exact: Vec<f64> = logits.iter().map(|z| f64::from(*z)).collect();
        let problem = problem(1.0, 0.7);
        let (expected, d_expected) = reference::weighted_loss(&problem, &exact, &labels);
        let (losses, d_logits) = fast(1, &problem, &logits, &labels);
        assert_eq!(losses.voxels, expected.voxels, "{voxels} voxels");
        // Relative error of an f32 exponential and a division: a few eps each.
        let close = |a: f64, b: f64| (a - b).abs() <= 1e-6 * b.abs().max(1e-3);
        assert!(
            close(losses.cross_entropy, expected.cross_entropy),
            "{voxels}"
        );
        assert!(close(losses.dice, expected.dice), "{voxels}");
        // The gradient of a voxel is at most weight / weight sum.
        let scale = d_expected.iter().fold(0.0f64, |a, b| a.max(b.abs()));
        for (at, (d, e)) in d_logits.iter().zip(&d_expected).enumerate() {
            assert!(
                (f64::from(*d) - e).abs() <= 1e-6 * scale,
                "{voxels}: {at}: {d} {e}"
            );
        }
    }
}

#[test]
fn reference_gradient_is_the_central_difference() {
    let (logits, labels) = case(17, 5);
    for (cross_entropy, dice) in [(1.0, 0.0), (0.0, 1.0), (0.3, 2.0)] {
        let problem = problem(cross_entropy, dice);
        let logits: Vec<f64> = logits.iter().map(|z| f64::from(*z)).collect();
        let value = |z: &[f64]| {
            let (losses, _) = reference::weighted_loss(&problem, z, &labels);
            cross_entropy * losses.cross_entropy + dice * losses.dice
        };
        let (_, gradient) = reference::weighted_loss(&problem, &logits, &labels);
        assert!(gradient.iter().filter(|g| **g != 0.0).count() > 20);
        for at in 0..logits.len() {
            let (mut up, mut down) = (logits.clone(), logits.clone());
            // Truncation error h^2, rounding error eps / h: both near 1e-10.
            up[at] += 1e-5;
            down[at] -= 1e-5;
            let difference = (value(&up) - value(&down)) / 2e-5;
            assert!((difference - gradient[at]).abs() < 1e-8, "{at}");
        }
    }
}

#[test]
fn voxels_that_do_not_count_have_gradient_zero_and_no_say() {
    let (mut logits, labels) = case(5000, 1);
    let weights = [1.0, 0.0, 2.0];
    let problem = Problem {
        class_weights: &weights,
        ..problem(1.0, 1.0)
    };
    let (losses, d_logits) = fast(2, &problem, &logits, &labels);
    let silent = |v: usize| labels[v] == UNLABELED || labels[v] == 1;
    for v in 0..labels.len() {
        let zero = d_logits[v * 3..][..3].iter().all(|d| d.to_bits() == 0);
        assert_eq!(zero, silent(v), "voxel {v}");
        if silent(v) {
            logits[v * 3..][..3].copy_from_slice(&[f32::NAN, 1e30, -1e30]);
        }
    }
    let (again, d_again) = fast(2, &problem, &logits, &labels);
    assert_eq!(losses, again);
    assert_eq!(d_logits, d_again);
}

#[test]
fn nothing_annotated_is_loss_zero_and_gradient_zero() {
    let (logits, _) = case(100, 2);
    let (losses, d_logits) = fast(1, &problem(1.0, 1.0), &logits, &[UNLABELED; 100]);
    assert_eq!(losses, Losses::default());
    assert!(d_logits.iter().all(|d| d.to_bits() == 0));
}

#[test]
fn large_logits_stay_exact() {
    let logits = [1e4, -1e4, 0.0, -1e4, 1e4, 1e4];
    let (losses, d_logits) = fast(1, &problem(1.0, 0.0), &logits, &[1, 2]);
    // Voxel 0 is wrong by 2e4, voxel 1 right with probability one half.
    let expected = (3.0 * 2e4 + 1.0 * 2f64.ln()) / 4.0;
    assert!((losses.cross_entropy - expected).abs() < 1e-6 * expected);
    assert_eq!(d_logits, [0.75, -0.75, 0.0, 0.0, 0.125, -0.125]);
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let (logits, labels) = case(3 * TASK_VOXELS + 77, 3);
    let problem = problem(1.0, 1.0);
    let (losses, d_logits) = fast(1, &problem, &logits, &labels);
    for count in [2, 7] {
        let (other, d_other) = fast(count, &problem, &logits, &labels);
        assert_eq!(losses, other);
        assert_eq!(d_logits, d_other);
    }
}

#[test]
fn probabilities_sum_to_one() {
    let (logits, _) = case(1000, 4);
    let mut p = vec![0.0; logits.len()];
    probabilities(&Threads::new(2).unwrap(), 3, &logits, &mut p);
    for p in p.chunks_exact(3) {
        assert!((p.iter().sum::<f32>() - 1.0).abs() < 4.0 * f32::EPSILON);
    }
}
