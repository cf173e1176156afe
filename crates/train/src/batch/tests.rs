//! Batches: the same whoever makes them and whenever, and no worker left behind.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use unet3d_volume::{Class, Geometry, Image, Labels};

use super::*;
use crate::Case;
use crate::sampler::{PatchShape, SamplerConfig};

fn recipe() -> Recipe {
    let cases = (0..2).map(|case| {
        let geometry = Geometry::of_shape([20, 18, 16 + case]);
        let voxels = geometry.voxels();
        Case {
            name: format!("case {case}"),
            subject: None,
            notes: Vec::new(),
            image: Image {
                channels: 2,
                voxels: (0..voxels * 2).map(|i| (i * 31 % 97) as f32).collect(),
                geometry: geometry.clone(),
            },
            labels: Labels {
                geometry,
                classes: vec![Class {
                    value: 0,
                    name: "all".into(),
                }],
                voxels: vec![Label::of_class(0); voxels],
            },
        }
    });
    let patch = PatchShape::new([12; 3], [8; 3]).unwrap();
    let sampler = Sampler::new(cases.collect(), patch, &SamplerConfig::Annotated).unwrap();
    Recipe::new(Arc::new(sampler), AugmentConfig::default(), 3, 11).unwrap()
}

#[test]
fn batches_do_not_depend_on_workers_or_on_where_a_run_starts() {
    let recipe = recipe();
    let mut augmenter = recipe.augmenter().unwrap();
    let expected: Vec<_> = (0..12)
        .map(|step| {
            let mut batch = Batch::default();
            recipe.make(&mut augmenter, step, &mut batch);
            batch
        })
        .collect();
    assert_eq!(expected[0].input.len(), 3 * 12 * 12 * 12 * 2);
    assert_eq!(expected[0].labels.len(), 3 * 8 * 8 * 8);
    assert_ne!(expected[0].input, expected[1].input);
    for workers in [0, 1, 2, 5] {
        for (ahead, first) in [(0, 0), (1, 0), (3, 7), (8, 0)] {
            let mut prefetcher = Prefetcher::new(&recipe, workers, ahead, first).unwrap();
            for step in first..12 {
                let batch = prefetcher.next().unwrap();
                assert_eq!(
                    *batch, expected[step as usize],
                    "{workers} workers, step {step}"
                );
            }
        }
    }
}

#[test]
fn memory_is_reused_and_known() {
    let recipe = recipe();
    assert_eq!(recipe.bytes(), 3 * (12 * 12 * 12 * 2 * 4 + 8 * 8 * 8));
    let mut prefetcher = Prefetcher::new(&recipe, 2, 4, 0).unwrap();
    assert_eq!(prefetcher.bytes(), 5 * recipe.bytes());
    let mut places = std::collections::HashSet::new();
    for _ in 0..40 {
        places.insert(prefetcher.next().unwrap().input.as_ptr());
    }
    assert_eq!(places.len(), 5, "every buffer is used, and no other");
}

/// Workers that count what they make and wait for nobody.
fn counting(
    workers: usize,
    made: &Arc<AtomicUsize>,
    fails_at: Option<u64>,
) -> Vec<impl FnMut(&mut Batch) + Send + 'static> {
    let makers = (0..workers as u64).map(|i| {
        let made = Arc::clone(made);
        let mut step = i;
        move |batch: &mut Batch| {
            if fails_at == Some(step) {
                panic!("no patch for step {step}");
            }
            // The later the worker, the faster: order must not follow speed.
            std::thread::sleep(Duration::from_millis(3 * (workers as u64 - i)));
            made.fetch_add(1, Ordering::SeqCst);
            batch.step = step;
            step += workers as u64;
        }
    });
    makers.collect()
}

#[test]
fn order_follows_the_step_not_the_speed_and_look_ahead_is_bounded() {
    let made = Arc::new(AtomicUsize::new(0));
    let mut prefetcher = Prefetcher::start(counting(3, &made, None), 6, 0).unwrap();
    for step in 0..20 {
        assert_eq!(prefetcher.next().unwrap().step, step);
    }
    // 20 taken, of which one is still lent out; of 7 buffers 6 can wait full.
    let ahead = || made.load(Ordering::SeqCst) - 20;
    let patience = Instant::now() + Duration::from_secs(20);
    while ahead() < 6 && Instant::now() < patience {
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(30));
    assert_eq!(ahead(), 6, "batches ahead");
}

#[test]
fn dropping_stops_the_workers_at_once() {
    let made = Arc::new(AtomicUsize::new(0));
    for taken in [0, 1, 5] {
        let mut prefetcher = Prefetcher::start(counting(2, &made, None), 50, 0).unwrap();
        for _ in 0..taken {
            prefetcher.next().unwrap();
        }
        let before = made.load(Ordering::SeqCst);
        drop(prefetcher);
        // Each worker finishes what it is making (and may just have begun).
        let after = made.load(Ordering::SeqCst);
        assert!(
            after - before <= 4,
            "{} made after dropping",
            after - before
        );
        assert_eq!(Arc::strong_count(&made), 1, "a worker lives on");
    }
}

#[test]
fn a_panic_reaches_the_consumer_in_its_turn_and_stays() {
    let made = Arc::new(AtomicUsize::new(0));
    let mut prefetcher = Prefetcher::start(counting(3, &made, Some(4)), 6, 0).unwrap();
    for step in 0..4 {
        assert_eq!(prefetcher.next().unwrap().step, step);
    }
    let message = prefetcher.next().unwrap_err().to_string();
    assert!(
        message.contains("step 4") && message.contains("no patch for step 4"),
        "{message}"
    );
    let message = prefetcher.next().unwrap_err().to_string();
    assert!(message.contains("step 4"), "{message}");
}

#[test]
fn recipes_are_checked() {
    let good = recipe();
    let sampler = || Arc::clone(&good.sampler);
    let none = AugmentConfig::none;
    assert!(matches!(
        Recipe::new(sampler(), none(), 0, 1),
        Err(BatchError::Empty)
    ));
    let mut spoilt = none();
    spoilt.scaling = [2.0, 1.0];
    let refused = Recipe::new(sampler(), spoilt, 1, 1);
    assert!(matches!(refused, Err(BatchError::Augment(_))));
    let mut cases = sampler().cases().to_vec();
    cases[1].image.channels = 1;
    cases[1].image.voxels.truncate(20 * 18 * 17);
    let mixed = Sampler::new(cases.into(), sampler().patch(), &SamplerConfig::Annotated).unwrap();
    let message = Recipe::new(Arc::new(mixed), none(), 1, 1)
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("case 1") && message.contains("1 channel,"),
        "{message}"
    );
}
