//! Tiles chosen by memory: legal, within it, covering the volume, and large.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is a failed test"
)]

mod common;

use unet3d_kernels::Threads;
use unet3d_predict::{DEFAULT_MEMORY_BYTES, Model, Options, Tiling};
use unet3d_unet::{Network, Preset, UNetConfig};

/// Parameters stay empty: planning never looks at their values.
fn preset(preset: Preset) -> Model {
    let small = common::model(
        unet3d_unet::Padding::Same,
        unet3d_unet::Normalisation::None,
        common::two_levels(),
    );
    let config = UNetConfig::preset(preset, 1, 2);
    let mut pipeline = small.pipeline;
    pipeline.classes.truncate(2);
    Model {
        network: Network::new(config).unwrap(),
        parameters: small.parameters,
        pipeline,
    }
}

#[test]
fn of_every_preset_for_volumes_small_and_large() {
    let threads = Threads::new(2).unwrap();
    let mut failures = Vec::new();
    for name in Preset::ALL {
        let model = preset(name);
        for shape in [[1, 1, 1], [40, 300, 301], [512, 512, 512], [30, 4000, 3000]] {
            for memory in [DEFAULT_MEMORY_BYTES / 2, DEFAULT_MEMORY_BYTES * 2] {
                let options = Options {
                    memory_bytes: Some(memory),
                    ..Options::default()
                };
                let what = format!("{name}, {shape:?}, {memory} bytes");
                let tiling = match Tiling::new(&model, shape, &options, &threads) {
                    Ok(tiling) => tiling,
                    Err(e) => {
                        failures.push(format!("{what}: {e}"));
                        continue;
                    }
                };
                println!(
                    "{what}: {} tiles of {:?}, {} bytes",
                    tiling.count(),
                    tiling.input_shape(),
                    tiling.peak_bytes()
                );
                let decided: usize = tiling
                    .tiles()
                    .map(|t| t.keep_shape.iter().product::<usize>())
                    .sum();
                if decided != shape.iter().product::<usize>() {
                    failures.push(format!("{what}: {decided} voxels decided"));
                }
                if tiling.peak_bytes() > memory {
                    failures.push(format!("{what}: {} bytes", tiling.peak_bytes()));
                }
                if model.network.output_shape(tiling.input_shape()).unwrap()
                    != tiling.output_shape()
                {
                    failures.push(format!("{what}: illegal {:?}", tiling.input_shape()));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn a_2d_network_sees_as_many_slices_at_once_as_in_training() {
    let threads = Threads::new(1).unwrap();
    let mut model = preset(Preset::Twin2d);
    model.pipeline.patch = [1, 132, 132];
    let tiling = Tiling::new(&model, [7, 50, 60], &Options::default(), &threads).unwrap();
    assert_eq!((tiling.input_shape()[0], tiling.count()), (1, 7));
}
