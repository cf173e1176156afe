//! Tiny models and images for the tests of this crate.

#![allow(dead_code, reason = "each test file uses its part")]

use rand::RngExt;
use unet3d_kernels::random::{Stream, generator};
use unet3d_predict::{Model, Pipeline};
use unet3d_unet::config::{Biases, Level};
use unet3d_unet::{Network, Normalisation, Padding, Preset, UNetConfig};
use unet3d_volume::normalise::Normalise;
use unet3d_volume::{Class, Geometry, Image};

/// One level: kernel and pooling along z are given, along y and x 3 and 2.
pub(crate) fn level(channels: usize, kernel_z: usize, pool_z: usize) -> Level {
    Level {
        down: [channels, channels + 1],
        up: [channels + 1, channels, channels],
        kernel: [kernel_z, 3, 3],
        pool: [pool_z, 2, 2],
    }
}

/// Two isotropic levels: without padding input - 16, legal in steps of 2.
pub(crate) fn two_levels() -> Vec<Level> {
    vec![level(3, 3, 2), level(4, 3, 2)]
}

/// Flat first level, then isotropic: along z input - 8.
pub(crate) fn anisotropic() -> Vec<Level> {
    vec![level(3, 1, 1), level(4, 3, 1)]
}

/// A model with random parameters and running statistics, 2 channels, 3 classes.
pub(crate) fn model(padding: Padding, normalisation: Normalisation, levels: Vec<Level>) -> Model {
    let network = Network::new(UNetConfig {
        levels,
        padding,
        normalisation,
        up_activation: false,
        dropout: 0.0,
        biases: Biases {
            first: true,
            convolutions: true,
            up_convolutions: false,
            score: true,
        },
        ..UNetConfig::preset(Preset::Small, 2, 3)
    })
    .unwrap();
    let mut parameters = network.init(5);
    let mut random = generator(1, Stream::Test, 0);
    for entry in &network.running_layout().entries {
        let low = if entry.name.ends_with("running_var") {
            0.5
        } else {
            -0.5
        };
        for v in &mut parameters.running[entry.range.clone()] {
            *v = random.random_range(low..low + 1.0);
        }
    }
    let class = |value, name: &str| Class {
        value,
        name: name.to_owned(),
    };
    Model {
        network,
        parameters,
        pipeline: Pipeline {
            normalise: Normalise::ZScore,
            padding: unet3d_volume::Padding::LeftOut,
            spacing_mm: Some([2.04, 1.76, 1.76]),
            orientation: None,
            classes: vec![class(0, "inside"), class(1, "tubule"), class(2, "outside")],
            patch: [20, 20, 20],
            calibration: None,
            record: serde_json::json!({ "iterations": 300, "data": ["a", "b"] }),
        },
    }
}

/// Noise that changes from voxel to voxel, so that no mistake in a coordinate
/// goes unseen.
pub(crate) fn image(shape: [usize; 3], channels: usize) -> Image {
    let geometry = Geometry::of_shape(shape);
    let mut random = generator(2, Stream::Test, 0);
    let voxels = (0..geometry.voxels() * channels)
        .map(|_| random.random_range(-1.5..1.5))
        .collect();
    Image {
        geometry,
        channels,
        voxels,
    }
}
