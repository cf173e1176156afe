//! What cannot be predicted is refused before the first tile, in words that help.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is a failed test"
)]

mod common;

use std::ops::ControlFlow;

use common::{image, model, two_levels};
use unet3d_kernels::Threads;
use unet3d_predict::{Model, Options, check_fit, predict};
use unet3d_unet::{Normalisation, Padding};
use unet3d_volume::{Geometry, Image};

/// The message of the refusal; tells when nothing was refused.
fn refusal(model: &Model, image: &Image, options: &Options) -> String {
    let threads = Threads::new(1).unwrap();
    let mut began = false;
    let result = predict(model, image, options, &threads, &mut |_| {
        began = true;
        ControlFlow::Continue(())
    });
    assert!(!began, "work began");
    result
        .map(|_| "nothing was refused".to_owned())
        .unwrap_or_else(|e| e.to_string())
}

fn tile(tile: [usize; 3]) -> Options {
    Options {
        tile: Some(tile),
        ..Options::default()
    }
}

fn assert_says(message: &str, words: &[&str]) {
    for word in words {
        assert!(message.contains(word), "`{message}` lacks `{word}`");
    }
}

#[test]
fn images_that_are_none_for_this_model() {
    let model = model(Padding::Valid, Normalisation::None, two_levels());
    let options = Options::default();
    let says =
        |image: &Image, words: &[&str]| assert_says(&refusal(&model, image, &options), words);

    says(&image([4, 4, 4], 1), &["1 channel", "trained on 2"]);
    says(&image([4, 0, 4], 2), &["[4, 0, 4]", "at least 1"]);
    let mut short = image([4, 4, 4], 2);
    short.voxels.pop();
    says(&short, &["127", "128"]);
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut bad = image([3, 4, 5], 2);
        bad.voxels[((2 * 4 + 1) * 5 + 3) * 2 + 1] = value;
        says(&bad, &["[2, 1, 3]", "channel 1", &value.to_string()]);
    }
}

#[test]
fn an_overflow_inside_the_network_is_not_a_label() {
    let mut model = model(Padding::Valid, Normalisation::None, two_levels());
    let entries = &model.network.layout().entries;
    let score = entries.iter().find(|e| e.name == "score.weight").unwrap();
    // Every activation above 1 overflows.
    model.parameters.values[score.range.clone()].fill(f32::MAX);
    let threads = Threads::new(1).unwrap();
    let image = image([4, 4, 4], 2);
    let result = predict(&model, &image, &Options::default(), &threads, &mut |_| {
        ControlFlow::Continue(())
    });
    assert_says(&result.unwrap_err().to_string(), &["not finite"]);
}

#[test]
fn illegal_and_useless_tiles() {
    let valid = model(Padding::Valid, Normalisation::None, two_levels());
    let volume = image([9, 9, 9], 2);
    // Legal are the even sizes from 18.
    let message = refusal(&valid, &volume, &tile([20, 21, 20]));
    assert_says(&message, &["tile", "21", "20", "22"]);
    let message = refusal(&valid, &volume, &tile([20, 2, 20]));
    assert_says(&message, &["tile", "18"]);

    let same = model(Padding::Same, Normalisation::None, two_levels());
    let volume = image([4, 4, 60], 2);
    let message = refusal(&same, &volume, &tile([4, 4, 8]));
    assert_says(
        &message,
        &["size 8 along x", "60 voxels", "The smallest possible is"],
    );
    let named: usize = message
        .rsplit(' ')
        .next()
        .and_then(|n| n.parse().ok())
        .expect("the message ends with the size");
    assert_eq!(
        refusal_after(&same, &volume, &tile([4, 4, named])),
        None,
        "the size named must do"
    );
}

/// The message where even prediction itself refuses.
fn refusal_after(model: &Model, image: &Image, options: &Options) -> Option<String> {
    let threads = Threads::new(1).unwrap();
    predict(model, image, options, &threads, &mut |_| {
        ControlFlow::Continue(())
    })
    .err()
    .map(|e| e.to_string())
}

#[test]
fn too_little_memory_says_how_much_is_needed() {
    let model = model(Padding::Valid, Normalisation::None, two_levels());
    let volume = image([30, 30, 30], 2);
    let little = Options {
        memory_bytes: Some(1000),
        ..Options::default()
    };
    assert_says(
        &refusal(&model, &volume, &little),
        &["1,000 bytes given", "needs", "iB"],
    );
    // A tile asked for is not made smaller silently.
    let both = Options {
        tile: Some([46, 46, 46]),
        ..little
    };
    assert_says(
        &refusal(&model, &volume, &both),
        &["1,000 bytes given", "[46, 46, 46]"],
    );
}

#[test]
fn a_strange_spacing_is_a_warning() {
    let model = model(Padding::Valid, Normalisation::None, two_levels());
    let mut geometry = Geometry::of_shape([4, 4, 4]);
    assert!(check_fit(&model, 2, &geometry).unwrap().is_empty());
    geometry.spacing_mm = Some([2.0, 1.76, 1.8]);
    assert!(check_fit(&model, 2, &geometry).unwrap().is_empty());
    geometry.spacing_mm = Some([2.0, 1.76, 0.5]);
    let warnings = check_fit(&model, 2, &geometry).unwrap();
    assert_says(&warnings[0], &["3.52 along x", "resample"]);
    assert!(check_fit(&model, 3, &geometry).is_err());
}
