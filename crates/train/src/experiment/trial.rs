//! One network on one split: trained until its budget is spent, then scored.

use std::time::Instant;

use unet3d_kernels::Threads;
use unet3d_metrics::Confusion;
use unet3d_predict::{Options, Tiling};
use unet3d_unet::Engine;

use super::Split;
use crate::forecast::{Means, forecast, stand_in};
use crate::run::{Outcome, RunData, Sitting, run};
use crate::validate::{HeldOut, score};
use crate::{Error, Needs, Observer, TrainConfig};

/// What was compared with the truth, by case.
pub type Counts = Vec<(String, Confusion)>;

/// What a network did on a split.
#[derive(Clone, Debug)]
pub struct Trial {
    /// What was scored.
    pub counts: Counts,
    /// Training steps.
    pub steps: u64,
    /// Duration of the training, interruptions left out; `None` where it was
    /// resumed under a budget of steps, whose checkpoints hold no clock.
    pub training_s: Option<f64>,
    /// Duration of the predictions that were scored.
    pub prediction_s: f64,
    /// Mean loss of the last tenth of the steps.
    pub last_loss: f64,
}

/// Trains on a split and predicts every case of which something is scored.
/// `None` where the observer stopped it: with a folder in `sitting`, it can go
/// on from there.
///
/// # Errors
/// When training or prediction will not fit the memory (said before training
/// begins) or fails.
pub fn learn(
    config: &TrainConfig,
    split: Split,
    sitting: &Sitting,
    threads: &Threads,
    observer: &mut dyn Observer,
) -> Result<Option<Trial>, Error> {
    let keeps_files = sitting.folder.is_some();
    needs(config, &split, keeps_files, sitting.engine, threads)?;
    let Split { training, held_out } = split;
    let data_bytes = held_out.bytes() + bytes_of(&training);
    let options = prediction_options(config, data_bytes, sitting.engine);
    let data = RunData {
        training,
        held_out: HeldOut::default(),
        record: serde_json::Value::Null,
        split: Vec::new(),
    };
    let Outcome {
        model,
        cases,
        curve,
        steps,
        stopped,
        elapsed_s,
        rescued,
        ..
    } = run(config, data, sitting, threads, observer)?;
    if let Some(rescued) = &rescued {
        // The score counts here; what is rescued is for an interrupted run.
        observer.noted(&rescued.to_string());
    }
    if stopped {
        return Ok(None);
    }
    let started = Instant::now();
    let whole = held_out.cases.iter();
    let whole = whole.map(|case| (&case.name, &case.image, &case.labels));
    let slices = held_out.slices.iter();
    let slices = slices.map(|(index, truth)| (&cases[*index].name, &cases[*index].image, truth));
    let mut counts = Counts::new();
    for (name, image, truth) in whole.chain(slices) {
        match score(&model, image, truth, &options, threads, observer)? {
            Some(confusion) => counts.push((name.clone(), confusion)),
            None => return Ok(None),
        }
    }
    let last = &curve[curve.len() - curve.len().div_ceil(10)..];
    let losses = last.iter().map(|record| record.loss.total);
    Ok(Some(Trial {
        counts,
        steps,
        training_s: (!sitting.resume || config.budget.minutes.is_some()).then_some(elapsed_s),
        prediction_s: started.elapsed().as_secs_f64(),
        last_loss: losses.sum::<f64>() / last.len().max(1) as f64,
    }))
}

/// Memory that [`learn`] will hold at its peak on this engine; `keeps_files` where
/// it keeps checkpoints.
///
/// # Errors
/// When that is more than the memory given, or than the computer has.
pub fn needs(
    config: &TrainConfig,
    split: &Split,
    keeps_files: bool,
    engine: Engine,
    threads: &Threads,
) -> Result<Needs, Error> {
    let Split { training, held_out } = split;
    let [first, ..] = &training[..] else {
        return Err(Error::Data("there is no case to learn from".into()));
    };
    let classes = first.labels.classes.len();
    let network = config.network(first.image.channels, classes)?;
    let nothing = HeldOut::default();
    let plan = forecast(
        config,
        &network,
        training,
        &nothing,
        None,
        Means {
            keeps_files,
            engine,
            threads,
        },
    )?;
    let mut needs = plan.needs;
    needs.data_bytes += held_out.bytes();
    if let Some(given) = config.memory_bytes.filter(|g| *g < needs.peak_bytes()) {
        return Err(Error::config(
            "memory",
            format!("{} MiB", given >> 20),
            format!(
                "training and its data need {} MiB. Allow more memory, or take a smaller patch or batch",
                needs.peak_bytes().div_ceil(1 << 20)
            ),
        ));
    }
    let options = prediction_options(config, needs.data_bytes, engine);
    let model = stand_in(config, &network, first);
    let mut tile_bytes = 0;
    for shape in held_out.shapes(training) {
        let tiling = Tiling::new(&model, shape, &options, threads)?;
        tile_bytes = tile_bytes.max(tiling.peak_bytes());
    }
    // By then the training has given its memory back.
    let peak = needs.peak_bytes().max(needs.data_bytes + tile_bytes);
    needs.prediction_bytes = peak - needs.peak_bytes();
    Ok(needs)
}

/// How cases are predicted beside the data.
fn prediction_options(config: &TrainConfig, data_bytes: u64, engine: Engine) -> Options {
    let given = config.memory_bytes;
    Options {
        memory_bytes: given.map(|given| given.saturating_sub(data_bytes)),
        engine,
        ..Options::default()
    }
}

fn bytes_of(cases: &[crate::Case]) -> u64 {
    cases.iter().map(crate::Case::bytes).sum()
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use super::super::protocol::testing::{dense, sparse};
    use super::super::{Comparison, Protocol, SlicesCv, Volumes};
    use super::*;
    use crate::{Budget, Case, Progress, StepRecord};
    use unet3d_kernels::conv3d::Method;
    use unet3d_unet::{Padding, Preset, UNetConfig};

    fn cases() -> Vec<Case> {
        vec![
            sparse("a", [16, 16, 20], [2, 2, 0]),
            sparse("b", [12, 16, 16], [2, 2, 2]),
        ]
    }

    fn config(network: Comparison) -> TrainConfig {
        let base = TrainConfig {
            patch: Some([8, 16, 16]),
            batch: Some(1),
            budget: Budget::iterations(3),
            ..TrainConfig::default()
        };
        network.configure(&base, &cases()).unwrap()
    }

    #[test]
    fn every_network_learns_and_is_scored_on_what_was_held_out() {
        let threads = Threads::new(2).unwrap();
        let cases = cases();
        let protocol = SlicesCv::new(&cases, 3).unwrap();
        for network in Comparison::ALL {
            let split = protocol.split(&cases, 0).unwrap();
            let held: Vec<u64> = split
                .held_out
                .slices
                .iter()
                .map(|(_, l)| l.annotated_voxels() as u64)
                .collect();
            let config = config(network);
            let needed = needs(&config, &split, false, Engine::default(), &threads).unwrap();
            assert!(needed.peak_bytes() > needed.plan_bytes);
            let trial = learn(&config, split, &Sitting::default(), &threads, &mut ());
            let trial = trial.unwrap().unwrap();
            assert_eq!(trial.steps, 3);
            assert!(trial.last_loss.is_finite());
            let scored: Vec<u64> = trial.counts.iter().map(|(_, c)| c.voxels()).collect();
            assert_eq!(scored, held);
            let names: Vec<_> = trial.counts.iter().map(|(n, _)| n.as_str()).collect();
            assert_eq!(names, ["a", "b"]);
        }
    }

    /// Stops after the first step.
    struct Impatient;

    impl Observer for Impatient {
        fn step(&mut self, _: &StepRecord, _: &Progress) -> ControlFlow<()> {
            ControlFlow::Break(())
        }
    }

    #[test]
    fn a_stopped_trial_goes_on_to_the_same_scores() {
        let threads = Threads::new(1).unwrap();
        let cases = cases();
        let protocol = SlicesCv::new(&cases, 3).unwrap();
        let split = || protocol.split(&cases, 1).unwrap();
        let config = config(Comparison::Normalised3d);
        let folder = tempfile::tempdir().unwrap();
        let sitting = |resume| Sitting {
            folder: Some(folder.path().join("run")),
            resume,
            ..Sitting::default()
        };
        let stopped = learn(&config, split(), &sitting(false), &threads, &mut Impatient);
        assert!(stopped.unwrap().is_none());
        let resumed = learn(&config, split(), &sitting(true), &threads, &mut ());
        let resumed = resumed.unwrap().unwrap();
        let whole = learn(&config, split(), &Sitting::default(), &threads, &mut ());
        assert_eq!(resumed.counts, whole.unwrap().unwrap().counts);
        // Trained to its end, only the prediction is made again.
        let again = learn(&config, split(), &sitting(true), &threads, &mut ());
        assert_eq!(again.unwrap().unwrap().counts, resumed.counts);
    }

    #[test]
    fn the_memory_told_is_that_of_the_kernels_that_will_run() {
        let threads = Threads::new(1).unwrap();
        // A prediction of these volumes takes far more than a step of small patches.
        let cases = ["a", "b"].map(|name| dense(name, [24, 200, 240]));
        let groups = ["a", "b"].map(String::from);
        let protocol = Volumes::leave_out(&groups, None, None).unwrap();
        let split = protocol.split(&cases, 0).unwrap();
        let mut network = UNetConfig::preset(Preset::Small, 1, 2);
        network.padding = Padding::Valid;
        let config = TrainConfig {
            network: Some(network),
            patch: Some([92; 3]),
            batch: Some(1),
            ..TrainConfig::default()
        };
        let config = Comparison::Plain3d.configure(&config, &cases).unwrap();
        let told = |method| {
            let engine = Engine {
                method,
                ..Engine::default()
            };
            let needed = needs(&config, &split, false, engine, &threads).unwrap();
            let network = config.network(1, 2).unwrap();
            let model = stand_in(&config, &network, &cases[0]);
            let options = prediction_options(&config, needed.data_bytes, engine);
            let tiling = Tiling::new(&model, [24, 200, 240], &options, &threads).unwrap();
            assert!(needed.peak_bytes() >= needed.data_bytes + tiling.peak_bytes());
            needed.peak_bytes()
        };
        assert!(told(Method::Direct) > told(Method::Fastest));
    }

    #[test]
    fn too_little_memory_is_refused_before_training() {
        let threads = Threads::new(1).unwrap();
        let cases = cases();
        let split = SlicesCv::new(&cases, 3).unwrap().split(&cases, 0).unwrap();
        let config = TrainConfig {
            memory_bytes: Some(1 << 20),
            ..config(Comparison::Plain3d)
        };
        let error = needs(&config, &split, false, Engine::default(), &threads)
            .unwrap_err()
            .to_string();
        assert!(error.contains("memory is 1 MiB"), "{error}");
    }
}
