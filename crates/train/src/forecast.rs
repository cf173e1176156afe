//! What a run will need, computed before anything large is allocated.
//!
//! Comes in: the settled configuration, the network, the cases, and what will
//! be predicted in validations and after the training. Leaves: the memory at
//! the peak and how validations choose their tiles, or the refusal of a run that
//! could not come to its end: better now than after hours of training.

use unet3d_kernels::{Threads, is_obtainable};
use unet3d_predict::{Model, Options, Pipeline, Tiling};
use unet3d_unet::{Engine, Mode, NOMINAL_THREADS, Network, Parameters, Plan};

use crate::patch::DEFAULT_MEMORY_BYTES;
use crate::trainer::BATCHES_AHEAD;
use crate::validate::HeldOut;
use crate::{Case, Error, Needs, TrainConfig};

/// What is known before the first step.
pub(crate) struct Forecast {
    /// Memory at the peak.
    pub(crate) needs: Needs,
    /// How validations predict.
    pub(crate) validation: Options,
}

/// How a run is carried out, whatever it computes.
#[derive(Clone, Copy)]
pub(crate) struct Means<'a> {
    /// Whether checkpoints are written.
    pub(crate) keeps_files: bool,
    /// How the network is run.
    pub(crate) engine: Engine,
    /// On how many threads.
    pub(crate) threads: &'a Threads,
}

/// Forecasts a run. `afterwards` says how the first case is predicted once the
/// training is over.
///
/// # Errors
/// When training or a prediction does not fit the memory given, or the
/// computer's.
pub(crate) fn forecast(
    config: &TrainConfig,
    network: &Network,
    cases: &[Case],
    held_out: &HeldOut,
    afterwards: Option<&Options>,
    means: Means<'_>,
) -> Result<Forecast, Error> {
    let Means {
        keeps_files,
        engine,
        threads,
    } = means;
    let needs = training(
        config,
        network,
        cases,
        held_out,
        keeps_files,
        engine,
        threads.count(),
    )?;
    let needed = needs.peak_bytes();
    if let Some(given) = config.memory_bytes.filter(|given| *given < needed) {
        return Err(refusal(
            given,
            format!(
                "training on patches of {:?} voxels in batches of {} needs {}",
                config.patch.unwrap_or_default(),
                config.batch.unwrap_or_default(),
                mib(needed),
            ),
        ));
    }
    // Before anything of the network's size is made. The data are there already.
    obtainable(needed - needs.data_bytes)?;
    let model = stand_in(config, network, &cases[0]);
    let mut forecast = Forecast {
        needs,
        validation: Options::default(),
    };
    let mut prediction_bytes = 0;
    if !held_out.is_empty() {
        // Choosing must not depend on the number of threads, as everywhere.
        let nominal = training(
            config,
            network,
            cases,
            held_out,
            keeps_files,
            engine,
            NOMINAL_THREADS,
        )?;
        let (tile_bytes, options) = validation(
            config.memory_bytes,
            nominal.peak_bytes().max(needs.peak_bytes()),
            &model,
            cases,
            held_out,
            engine,
            threads,
        )?;
        prediction_bytes = tile_bytes;
        forecast.validation = options;
    }
    if let Some(options) = afterwards {
        let shape = cases[0].image.geometry.shape;
        // By then the training has given its memory back.
        let tiling = match (
            Tiling::new(&model, shape, options, threads),
            config.memory_bytes,
        ) {
            (Err(unet3d_predict::Error::Memory { needed, .. }), Some(given)) => {
                let problem = format!(
                    "predicting the whole volume after the training needs {}",
                    mib(needs.data_bytes + needed)
                );
                return Err(refusal(given, problem));
            }
            (tiling, _) => tiling?,
        };
        let bytes = needs.data_bytes + tiling.peak_bytes();
        prediction_bytes = prediction_bytes.max(bytes.saturating_sub(needed));
    }
    forecast.needs.prediction_bytes = prediction_bytes;
    obtainable(forecast.needs.peak_bytes() - needs.data_bytes)?;
    Ok(forecast)
}

/// Memory of training alone.
fn training(
    config: &TrainConfig,
    network: &Network,
    cases: &[Case],
    held_out: &HeldOut,
    keeps_files: bool,
    engine: Engine,
    threads: usize,
) -> Result<Needs, Error> {
    let patch = config.patch.unwrap_or_default();
    let patches = config.batch.unwrap_or_default();
    let plan = Plan::new(network, patches, patch, Mode::Train, threads)?;
    let plan = plan.with_method(network, engine.method);
    // A value and its gradient, and what the optimizer keeps.
    let per_parameter = 2 + config.optimizer.slots();
    let values = network.parameter_count() * per_parameter + network.running_count();
    // A checkpoint or model is copied once to be written.
    let copies = if keeps_files { 3 } else { 1 };
    let data: u64 = cases.iter().map(Case::bytes).sum();
    let voxels = |shape: [usize; 3]| shape.iter().product::<usize>();
    let input = voxels(patch) * cases[0].image.channels * size_of::<f32>();
    // Labels are a byte each.
    let batch = patches * (input + voxels(network.output_shape(patch)?));
    Ok(Needs {
        // The plan counts the gradient of the logits.
        plan_bytes: plan.peak_bytes(),
        parameter_bytes: (copies * values * size_of::<f32>()) as u64,
        data_bytes: data + held_out.bytes(),
        // One more than are waiting: the one in use.
        batch_bytes: ((BATCHES_AHEAD + 1) * batch) as u64,
        prediction_bytes: 0,
    })
}

/// Memory of the largest validation beside a training that has `taken` so many
/// bytes, and its options.
fn validation(
    given: Option<u64>,
    taken: u64,
    model: &Model,
    training: &[Case],
    held_out: &HeldOut,
    engine: Engine,
    threads: &Threads,
) -> Result<(u64, Options), Error> {
    let largest = |memory_bytes: Option<u64>| -> Result<(u64, Options), Error> {
        let options = Options {
            memory_bytes,
            engine,
            ..Options::default()
        };
        let mut bytes = 0;
        for shape in held_out.shapes(training) {
            bytes = bytes.max(Tiling::new(model, shape, &options, threads)?.peak_bytes());
        }
        Ok((bytes, options))
    };
    match given {
        // Nobody set a limit, so the usual one refuses nothing.
        None => {
            let left = DEFAULT_MEMORY_BYTES.saturating_sub(taken);
            largest(Some(left)).or_else(|_| largest(None))
        }
        Some(given) => largest(Some(given.saturating_sub(taken))).map_err(|error| {
            refusal(
                given,
                format!(
                    "training takes {} of it, and the rest is too little for validations ({error})",
                    mib(taken),
                ),
            )
        }),
    }
}

/// The network with parameters that are all 0: enough to choose tiles with.
pub(crate) fn stand_in(config: &TrainConfig, network: &Network, case: &Case) -> Model {
    Model {
        network: network.clone(),
        parameters: Parameters {
            values: vec![0.0; network.parameter_count()],
            running: vec![0.0; network.running_count()],
        },
        pipeline: Pipeline {
            normalise: config.normalise.clone(),
            padding: unet3d_volume::Padding::LeftOut,
            spacing_mm: case.image.geometry.spacing_mm,
            orientation: None,
            classes: case.labels.classes.clone(),
            patch: config.patch.unwrap_or_default(),
            calibration: None,
            record: serde_json::Value::Null,
        },
    }
}

/// Refuses what the system would refuse later on, when that ends the program.
fn obtainable(bytes: u64) -> Result<(), Error> {
    match is_obtainable(bytes) {
        true => Ok(()),
        false => Err(Error::Data(format!(
            "memory: the run needs {}, which this computer does not have. \
             Take a smaller patch, batch or network, or leave patch and batch out and give the memory that may be taken",
            mib(bytes)
        ))),
    }
}

fn refusal(given: u64, problem: String) -> Error {
    Error::config(
        "memory",
        mib(given),
        format!(
            "{problem}. Allow more memory, or take a smaller patch or batch, or leave these out so that they are chosen"
        ),
    )
}

fn mib(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}
