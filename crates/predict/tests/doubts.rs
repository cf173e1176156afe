//! Uncertainty, calibrated probabilities and mirror images.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is a failed test"
)]

mod common;

use std::ops::ControlFlow;

use common::{image, model, two_levels};
use unet3d_kernels::Threads;
use unet3d_metrics::Calibration;
use unet3d_predict::{Model, Options, Prediction, Witness, predict, predict_before};
use unet3d_unet::{Normalisation, Padding};
use unet3d_volume::Image;

fn options() -> Options {
    Options {
        probabilities: true,
        uncertainty: true,
        ..Options::default()
    }
}

fn run(model: &Model, image: &Image, options: &Options) -> Prediction {
    let threads = Threads::new(2).unwrap();
    predict(model, image, options, &threads, &mut |_| {
        ControlFlow::Continue(())
    })
    .unwrap()
}

#[test]
fn uncertainty_is_the_entropy_of_the_probabilities() {
    let model = model(Padding::Same, Normalisation::None, two_levels());
    let found = run(&model, &image([12, 16, 16], 2), &options());
    let probabilities = found.probabilities.unwrap();
    let uncertainty = found.uncertainty.unwrap();
    for (p, u) in probabilities.chunks(3).zip(&uncertainty) {
        let entropy: f32 = p.iter().map(|p| -p * p.max(1e-30).ln()).sum();
        assert!((entropy / 3f32.ln() - u).abs() < 1e-5, "{p:?}: {u}");
    }
    let (low, high) = uncertainty
        .iter()
        .fold((1f32, 0f32), |(l, h), u| (l.min(*u), h.max(*u)));
    assert!(high - low > 0.05, "{low} to {high}");
}

#[test]
fn a_temperature_softens_probabilities_and_leaves_labels() {
    let mut model = model(Padding::Same, Normalisation::None, two_levels());
    let image = image([12, 16, 16], 2);
    let plain = run(&model, &image, &options());
    model.pipeline.calibration = Some(Calibration {
        temperature: 2.0,
        ece_before: 0.1,
        ece_after: 0.01,
        mirrored: false,
    });
    let soft = run(&model, &image, &options());
    assert_eq!(plain.labels, soft.labels);
    let rows = plain.probabilities.as_ref().unwrap().chunks(3);
    for (p, q) in rows.zip(soft.probabilities.as_ref().unwrap().chunks(3)) {
        let roots: f32 = p.iter().map(|p| p.sqrt()).sum();
        assert!(
            p.iter()
                .zip(q)
                .all(|(p, q)| (p.sqrt() / roots - q).abs() < 1e-5)
        );
    }
    let mean = |p: &Prediction| p.uncertainty.as_ref().unwrap().iter().sum::<f32>();
    assert!(mean(&soft) > mean(&plain));
    // The calibration travels in the file.
    let back = Model::from_bytes(&model.to_bytes().unwrap()).unwrap();
    assert_eq!(back.pipeline, model.pipeline);
    model.pipeline.calibration = Some(Calibration {
        temperature: 0.0,
        ece_before: 0.0,
        ece_after: 0.0,
        mirrored: false,
    });
    let error = model.to_bytes().unwrap_err().to_string();
    assert!(error.contains("pipeline.calibration"), "{error}");
}

#[test]
fn a_temperature_is_for_predictions_as_mirrored_as_those_it_was_fitted_on() {
    let mut model = model(Padding::Same, Normalisation::None, two_levels());
    let image = image([12, 16, 16], 2);
    for fitted_on in [false, true] {
        for mirrored in [false, true] {
            let options = Options {
                mirrored,
                ..options()
            };
            model.pipeline.calibration = None;
            let plain = run(&model, &image, &options);
            model.pipeline.calibration = Some(Calibration {
                temperature: 2.0,
                ece_before: 0.1,
                ece_after: 0.01,
                mirrored: fitted_on,
            });
            let found = run(&model, &image, &options);
            let is_used = plain.probabilities != found.probabilities;
            assert_eq!(is_used, fitted_on == mirrored);
            let warned = found.warnings.iter().any(|w| w.contains("calibrated for"));
            assert_eq!(warned, fitted_on != mirrored, "{:?}", found.warnings);
            let labels_only = Options {
                mirrored,
                ..Options::default()
            };
            assert!(run(&model, &image, &labels_only).warnings.is_empty());
        }
    }
    // Files written before say nothing of it: they are taken to be of plain ones.
    let old = r#"{"temperature":2.0,"ece_before":0.1,"ece_after":0.0}"#;
    let old: Calibration = serde_json::from_str(old).unwrap();
    assert!(!old.mirrored);
}

/// The image with x reversed.
fn reversed(image: &Image) -> Image {
    let mut out = image.clone();
    let row = image.geometry.shape[2] * image.channels;
    for row in out.voxels.chunks_mut(row) {
        let voxels: Vec<f32> = row.chunks(2).rev().flatten().copied().collect();
        row.copy_from_slice(&voxels);
    }
    out
}

#[test]
fn mirrored_says_the_same_of_a_mirror_image() {
    for padding in [Padding::Same, Padding::Valid] {
        let model = model(padding, Normalisation::None, two_levels());
        let image = image([12, 20, 24], 2);
        let mirrored = Options {
            mirrored: true,
            ..options()
        };
        let differences = |options: &Options| -> f32 {
            let a = run(&model, &image, options).probabilities.unwrap();
            let b = run(&model, &reversed(&image), options)
                .probabilities
                .unwrap();
            let rows = a.chunks(24 * 3).zip(b.chunks(24 * 3));
            let voxels = rows.flat_map(|(a, b)| a.chunks(3).zip(b.chunks(3).rev()));
            voxels.map(|(a, b)| (a[0] - b[0]).abs()).fold(0.0, f32::max)
        };
        // Sums of eight in another order.
        assert!(differences(&mirrored) < 1e-5, "{padding:?}");
        assert!(differences(&options()) > 1e-2, "{padding:?}");
        let bytes = |options: &Options| run(&model, &image, options).peak_bytes;
        assert!(bytes(&mirrored) > bytes(&options()));
        let without = Options {
            uncertainty: false,
            ..options()
        };
        assert_eq!(bytes(&options()) - bytes(&without), 4 * 12 * 20 * 24);
    }
}

/// Counts how often each voxel was seen.
struct Seen(Vec<u8>);

impl Witness for Seen {
    fn row(&mut self, first: usize, logits: &[f32]) {
        self.0[first..first + logits.len() / 3]
            .iter_mut()
            .for_each(|n| *n += 1);
    }
}

#[test]
fn a_witness_sees_every_voxel_once_whatever_the_tiles() {
    let model = model(Padding::Valid, Normalisation::None, two_levels());
    let image = image([12, 20, 24], 2);
    let threads = Threads::new(2).unwrap();
    for tile in [None, Some([20, 24, 26])] {
        let options = Options {
            tile,
            ..Options::default()
        };
        let mut seen = Seen(vec![0; 12 * 20 * 24]);
        let mut go = |_| ControlFlow::Continue(());
        predict_before(&model, &image, &options, &threads, &mut go, &mut seen).unwrap();
        assert!(seen.0.iter().all(|n| *n == 1), "{tile:?}");
    }
}
