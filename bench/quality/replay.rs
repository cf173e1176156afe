//! What a training run computes on, written down so that another program can
//! repeat it: normalised images, labels, start values, and the place of every
//! patch.
//!
//! In come a run folder (its `config.toml`) and the data set that it learned
//! from; out goes a folder with
//!
//! | file | what |
//! |---|---|
//! | `replay.safetensors` | `image/I` f32 `d h w c` and `labels/I` u8 `d h w` (255: nobody annotated it) of training case `I`; `order` i32 `steps, batch, 4`: case and first voxel `z, y, x` of every patch, which may lie outside: the volume is mirrored at its outermost voxels; `class_weights` f32. Metadata `replay`: configuration, shape of the patch, classes as JSON |
//! | `initial.unet3d.safetensors` | the model before the first step |
//!
//! `peer.py` reads both. Only runs without augmentation can be written down.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Parser;
use safetensors::{Dtype, tensor::TensorView};
use unet3d_predict::{Model, Padding, Pipeline};
use unet3d_train::augment::AugmentConfig;
use unet3d_train::dataset::{self, Split};
use unet3d_train::run::config_of;
use unet3d_train::sampler::{PatchShape, Sampler};
use unet3d_train::validate::HeldOut;
use unet3d_train::{Case, TrainConfig};
use unet3d_unet::Network;

/// Write down what a training run computes on
#[derive(Parser)]
struct Arguments {
    /// Folder of a run of `unet3d train`
    run: PathBuf,

    /// The data set that it learned from
    data: PathBuf,

    /// Steps to write down
    #[arg(long)]
    steps: u64,

    /// Folder to write into
    #[arg(short, long)]
    out: PathBuf,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let config = config_of(&arguments.run)?;
    if config.augment != AugmentConfig::none() {
        bail!(
            "{}: the run augments its patches, which cannot be written down. Begin one with --augment none.",
            arguments.run.display()
        );
    }
    let cases = training_cases(&arguments.data, &config)?;
    let classes = cases[0].labels.classes.len();
    let network = config.network(cases[0].image.channels, classes)?;
    let input = config.patch.context("the run has settled no patch yet")?;
    let shape = PatchShape::new(input, network.output_shape(input)?)?;
    let sampler = Sampler::new(cases, shape, &config.sampler)?;

    std::fs::create_dir_all(&arguments.out)?;
    let replay = replay(&sampler, &config, arguments.steps)?;
    write(&arguments.out.join("replay.safetensors"), &replay)?;
    let initial = initial(network, &config, &sampler.cases()[0]).to_bytes()?;
    write(&arguments.out.join("initial.unet3d.safetensors"), &initial)
}

/// The training cases as `unet3d train` has them.
fn training_cases(data: &Path, config: &TrainConfig) -> anyhow::Result<Arc<[Case]>> {
    let mut data_set = dataset::find(data, config.labels.as_ref())?;
    data_set.settle_classes()?;
    let mut training = data_set.load(Split::Train, &config.normalise)?;
    if data_set.of(Split::Validate).next().is_none() {
        HeldOut::slices_of(&mut training)?;
    }
    Ok(training.into())
}

/// The bytes of `replay.safetensors`.
fn replay(sampler: &Sampler, config: &TrainConfig, steps: u64) -> anyhow::Result<Vec<u8>> {
    let mut tensors: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = Vec::new();
    for (index, case) in sampler.cases().iter().enumerate() {
        let [d, h, w] = case.image.geometry.shape;
        let image = case.image.voxels.iter().flat_map(|v| v.to_le_bytes());
        let labels = case.labels.voxels.iter().map(|label| label.class());
        let labels = labels.map(|class| class.map_or(u8::MAX, |class| class as u8));
        let with_channels = vec![d, h, w, case.image.channels];
        tensors.push((
            format!("image/{index}"),
            Dtype::F32,
            with_channels,
            image.collect(),
        ));
        tensors.push((
            format!("labels/{index}"),
            Dtype::U8,
            vec![d, h, w],
            labels.collect(),
        ));
    }

    let (patch, batch) = (sampler.patch(), config.batch.unwrap_or(1));
    let mut order = Vec::new();
    for step in 0..steps {
        for index in 0..batch as u64 {
            let location = sampler.draw(config.seed, step, index);
            order.extend((location.case as i32).to_le_bytes());
            for axis in 0..3 {
                let first = location.centre[axis] as i32 - (patch.input[axis] / 2) as i32;
                order.extend(first.to_le_bytes());
            }
        }
    }
    tensors.push((
        "order".into(),
        Dtype::I32,
        vec![steps as usize, batch, 4],
        order,
    ));

    let classes = &sampler.cases()[0].labels.classes;
    let weights = config
        .loss
        .class_weights
        .resolve(sampler.cases(), classes.len())?;
    let weights = weights.iter().flat_map(|w| w.to_le_bytes()).collect();
    tensors.push((
        "class_weights".into(),
        Dtype::F32,
        vec![classes.len()],
        weights,
    ));

    let about = serde_json::json!({
        "config": config, "patch": patch, "margin": patch.margin(), "classes": classes,
    });
    let views = tensors.iter().map(|(name, kind, shape, bytes)| {
        Ok((name, TensorView::new(*kind, shape.clone(), bytes)?))
    });
    let views: anyhow::Result<Vec<_>> = views.collect();
    let metadata = HashMap::from([("replay".to_owned(), about.to_string())]);
    Ok(safetensors::serialize(views?, Some(metadata))?)
}

/// The model before the first step.
fn initial(network: Network, config: &TrainConfig, case: &Case) -> Model {
    Model {
        parameters: network.init(config.seed),
        network,
        pipeline: Pipeline {
            normalise: config.normalise.clone(),
            padding: Padding::LeftOut,
            spacing_mm: case.image.geometry.spacing_mm,
            orientation: None,
            classes: case.labels.classes.clone(),
            patch: config.patch.unwrap_or_default(),
            calibration: None,
            record: serde_json::Value::Null,
        },
    }
}

fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    std::fs::write(path, bytes).with_context(|| path.display().to_string())
}
