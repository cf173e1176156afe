//! The loop as a whole: it learns, it resumes, and threads change nothing.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use unet3d_kernels::Threads;
use unet3d_predict::Model;
use unet3d_train::augment::AugmentConfig;
use unet3d_train::run::{RunData, Sitting, config_of, run};
use unet3d_train::validate::HeldOut;
use unet3d_train::{
    Budget, Case, Error, FillConfig, Needs, Observer, OptimizerConfig, Progress, StepRecord,
    TrainConfig, Validation, fill,
};
use unet3d_unet::{Biases, Level, Normalisation, Preset, UNetConfig};
use unet3d_volume::{Class, Geometry, Image, Label, Labels, Samples, Volume};

const SHAPE: [usize; 3] = [16; 3];

/// A bright ball in noise; every second z slice is annotated.
fn ball() -> (Volume, Labels) {
    let geometry = Geometry::of_shape(SHAPE);
    let mut samples = Vec::new();
    let mut voxels = Vec::new();
    for i in 0..geometry.voxels() {
        let (z, y, x) = (i / 256, i / 16 % 16, i % 16);
        let inside = is_inside(z, y, x);
        // A hash as noise: no two runs of this test differ.
        let noise = (i as u32).wrapping_mul(2_654_435_761) >> 26;
        samples.push(if inside { 150 + noise } else { 60 + noise } as u8);
        voxels.push(match z % 2 {
            0 => Label::of_class(usize::from(inside)),
            _ => Label::UNLABELED,
        });
    }
    let class = |value, name: &str| Class {
        value,
        name: name.into(),
    };
    let volume = Volume::new(geometry.clone(), 1, Samples::U8(samples)).unwrap();
    let labels = Labels {
        geometry,
        classes: vec![class(0, "outside"), class(1, "ball")],
        voxels,
    };
    (volume, labels)
}

fn is_inside(z: usize, y: usize, x: usize) -> bool {
    let square = |v: usize, centre: usize| v.abs_diff(centre).pow(2);
    square(z, 8) + square(y, 7) + square(x, 9) < 25
}

/// Two levels, few channels, running statistics and dropout, so that all that a
/// resumed run could lose is there.
fn tiny() -> TrainConfig {
    let level = |channels: usize| Level {
        down: [channels; 2],
        up: [channels; 3],
        kernel: [3; 3],
        pool: [2; 3],
    };
    let network = UNetConfig {
        levels: vec![level(4), level(8)],
        normalisation: Normalisation::BatchRunning,
        biases: Biases {
            first: true,
            convolutions: true,
            up_convolutions: true,
            score: true,
        },
        dropout: 0.1,
        ..UNetConfig::preset(Preset::Small, 1, 2)
    };
    TrainConfig {
        seed: 3,
        network: Some(network),
        patch: Some([8, 12, 12]),
        batch: Some(2),
        budget: Budget::iterations(12),
        validate_every: 5,
        checkpoint_every: 3,
        clip_norm: Some(5.0),
        ..TrainConfig::default()
    }
}

fn data() -> RunData {
    let (volume, labels) = ball();
    let image = Image::from_volume(&volume, &Default::default()).unwrap();
    let mut training = vec![Case::new("ball", image, labels).unwrap()];
    let held_out = HeldOut::slices_of(&mut training).unwrap();
    assert!(!held_out.is_empty());
    RunData {
        training,
        held_out,
        record: serde_json::json!({"name": "ball"}),
        split: Vec::new(),
    }
}

fn in_folder(folder: &Path, resume: bool) -> Sitting {
    Sitting {
        folder: Some(folder.to_path_buf()),
        resume,
        ..Sitting::default()
    }
}

/// Stops after some number of steps, as Ctrl-C does.
struct StopAfter(u64);

impl Observer for StopAfter {
    fn step(&mut self, step: &StepRecord, _: &Progress) -> ControlFlow<()> {
        match step.step >= self.0 {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }
}

const KEPT: [&str; 4] = [
    "last.unet3d.safetensors",
    "best.unet3d.safetensors",
    "log.jsonl",
    "checkpoint.safetensors",
];

fn assert_same_files(a: &Path, b: &Path) {
    for name in KEPT {
        let same = fs::read(a.join(name)).unwrap() == fs::read(b.join(name)).unwrap();
        assert!(same, "{name} differs");
    }
}

#[test]
fn stopped_and_resumed_is_the_same_as_undisturbed() {
    let threads = Threads::new(2).unwrap();
    let whole = tempfile::tempdir().unwrap();
    let config = tiny();
    let outcome = run(
        &config,
        data(),
        &in_folder(whole.path(), false),
        &threads,
        &mut (),
    )
    .unwrap();
    assert!(!outcome.stopped);
    assert_eq!(outcome.steps, 12);
    let steps: Vec<u64> = outcome.validations.iter().map(|v| v.step).collect();
    assert_eq!(steps, [5, 10, 12]);

    let parts = tempfile::tempdir().unwrap();
    for (sitting, stop) in [1, 5, 8, 100].into_iter().enumerate() {
        let how = in_folder(parts.path(), sitting > 0);
        // On one thread: neither may matter.
        let threads = Threads::new(1).unwrap();
        let outcome = run(&config, data(), &how, &threads, &mut StopAfter(stop)).unwrap();
        assert_eq!(outcome.stopped, stop != 100);
        assert_eq!(outcome.curve.len(), stop.min(12) as usize);
        Model::from_bytes(&fs::read(parts.path().join(KEPT[0])).unwrap()).unwrap();
    }
    assert_same_files(whole.path(), parts.path());
    assert_eq!(config_of(parts.path()).unwrap(), config);
}

/// A computer that is busy with something else after the first step.
struct Slow;

impl Observer for Slow {
    fn step(&mut self, step: &StepRecord, _: &Progress) -> ControlFlow<()> {
        if step.step == 1 {
            std::thread::sleep(std::time::Duration::from_secs(3));
        }
        ControlFlow::Continue(())
    }
}

#[test]
fn the_clock_has_no_say_where_steps_are_given() {
    let threads = Threads::new(1).unwrap();
    let config = TrainConfig {
        budget: Budget {
            iterations: Some(6),
            // The delay is a quarter of it, more than one step in six.
            minutes: Some(0.2),
        },
        ..tiny()
    };
    let run_in = |observer: &mut dyn Observer| {
        let folder = tempfile::tempdir().unwrap();
        let how = in_folder(folder.path(), false);
        let outcome = run(&config, data(), &how, &threads, observer).unwrap();
        assert_eq!(outcome.steps, 6);
        [KEPT[0], KEPT[1], KEPT[2]].map(|name| fs::read(folder.path().join(name)).unwrap())
    };
    assert!(run_in(&mut ()) == run_in(&mut Slow));
}

#[test]
fn killed_between_checkpoints_is_the_same_as_undisturbed() {
    let threads = Threads::new(1).unwrap();
    let whole = tempfile::tempdir().unwrap();
    let config = tiny();
    run(
        &config,
        data(),
        &in_folder(whole.path(), false),
        &threads,
        &mut (),
    )
    .unwrap();

    // What a kill after step 5 leaves: the checkpoint of step 3, a log that is
    // ahead of it with a torn last line, a best model from step 5, a temporary file.
    let killed = tempfile::tempdir().unwrap();
    let stop = &mut StopAfter(3);
    run(
        &config,
        data(),
        &in_folder(killed.path(), false),
        &threads,
        stop,
    )
    .unwrap();
    let log = fs::read(whole.path().join("log.jsonl")).unwrap();
    fs::write(killed.path().join("log.jsonl"), &log[..log.len() / 2]).unwrap();
    fs::copy(whole.path().join(KEPT[1]), killed.path().join(KEPT[1])).unwrap();
    fs::write(killed.path().join(".last.unet3d.safetensors.part"), "x").unwrap();
    run(
        &config,
        data(),
        &in_folder(killed.path(), true),
        &threads,
        &mut (),
    )
    .unwrap();
    assert_same_files(whole.path(), killed.path());
}

/// Keeps the folder as a kill right after the first validation leaves it.
struct KillAtValidation<'a>(&'a Path, &'a Path);

impl Observer for KillAtValidation<'_> {
    fn validated(&mut self, _: &Validation) -> ControlFlow<()> {
        for file in fs::read_dir(self.0).unwrap() {
            let path = file.unwrap().path();
            let copy = self.1.join(path.file_name().unwrap());
            fs::copy(&path, copy).unwrap();
        }
        ControlFlow::Break(())
    }
}

#[test]
fn a_validation_killed_after_its_checkpoint_is_logged_once() {
    let threads = Threads::new(1).unwrap();
    let config = TrainConfig {
        validate_every: 5,
        checkpoint_every: 5,
        ..tiny()
    };
    let folders = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let [whole, stopped, killed] = folders.each_ref().map(|f| f.path());
    let go = |folder: &Path, resume: bool, observer: &mut dyn Observer| {
        run(
            &config,
            data(),
            &in_folder(folder, resume),
            &threads,
            observer,
        )
        .unwrap()
    };
    go(whole, false, &mut ());
    go(stopped, false, &mut KillAtValidation(stopped, killed));
    let log = fs::read_to_string(killed.join("log.jsonl")).unwrap();
    assert_eq!(log.matches("validation").count(), 1);
    go(killed, true, &mut ());
    assert_same_files(whole, killed);
}

#[test]
fn resuming_refuses_another_run() {
    let threads = Threads::new(1).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let config = tiny();
    let stop = &mut StopAfter(1);
    run(
        &config,
        data(),
        &in_folder(folder.path(), false),
        &threads,
        stop,
    )
    .unwrap();
    let go = |config: &TrainConfig, data: RunData, resume: bool| {
        let outcome = run(
            config,
            data,
            &in_folder(folder.path(), resume),
            &threads,
            &mut (),
        );
        outcome.err().map_or(String::new(), |e| e.to_string())
    };
    let error = go(&config, data(), false);
    assert!(error.contains("holds a run already"), "{error}");
    let error = go(&TrainConfig { seed: 4, ..tiny() }, data(), true);
    assert!(error.contains("seed = 3"), "{error}");
    let other = RunData {
        record: serde_json::json!({"name": "cube"}),
        ..data()
    };
    let error = go(&config, other, true);
    assert!(error.contains("other data"), "{error}");
    // Of the same name, but with other voxels.
    let mut other = data();
    other.training[0].image.voxels[7] += 0.5;
    assert!(go(&config, other, true).contains("other data"));
    let mut other = data();
    other.training[0].labels.classes[1].name = "cube".into();
    assert!(go(&config, other, true).contains("other data"));
    assert_eq!(go(&config, data(), true), "");
    let empty = tempfile::tempdir().unwrap();
    let error = run(
        &config,
        data(),
        &in_folder(empty.path(), true),
        &threads,
        &mut (),
    );
    assert!(matches!(error, Err(Error::File { .. })));
}

#[test]
fn it_learns_and_fills_a_small_volume() {
    let (volume, mut labels) = ball();
    // Even and odd slices: an up-convolution has weights of its own for each, and
    // with patches as large as the volume those of the odd ones would never learn.
    let is_annotated = |z: usize| matches!(z % 4, 0 | 3);
    for (i, label) in labels.voxels.iter_mut().enumerate() {
        let (z, y, x) = (i / 256, i / 16 % 16, i % 16);
        *label = match is_annotated(z) {
            true => Label::of_class(usize::from(is_inside(z, y, x))),
            false => Label::UNLABELED,
        };
    }
    let threads = Threads::new(2).unwrap();
    let mut train = TrainConfig {
        budget: Budget::iterations(60),
        augment: AugmentConfig::none(),
        validate_every: 0,
        batch: Some(1),
        optimizer: OptimizerConfig::Adam {
            rate: 1e-2,
            betas: [0.9, 0.999],
            weight_decay: 0.0,
        },
        ..tiny()
    };
    train.network = train.network.map(|network| UNetConfig {
        dropout: 0.0,
        normalisation: Normalisation::Instance,
        ..network
    });
    let config = FillConfig {
        train,
        probabilities: true,
        ..FillConfig::default()
    };
    let result = fill(&volume, &labels, &config, &threads, &mut ()).unwrap();
    let loss = |r: &StepRecord| r.loss.total;
    // Batches are of one small patch, so single losses jump.
    let last = result.curve[50..].iter().map(loss).sum::<f64>() / 10.0;
    assert!(last < 0.25 * loss(&result.curve[0]), "{last}");
    let expected = result.expected.unwrap();
    // Against the truth where nobody annotated.
    let (mut both, mut either) = ([0.0; 2], [0.0; 2]);
    for (i, label) in result.labels.voxels.iter().enumerate() {
        let (z, y, x) = (i / 256, i / 16 % 16, i % 16);
        if !is_annotated(z) {
            let truth = usize::from(is_inside(z, y, x));
            let found = label.class().unwrap();
            both[truth] += f64::from(u8::from(found == truth));
            either[truth] += 1.0;
            either[found] += f64::from(u8::from(found != truth));
        }
    }
    let truth = f64::midpoint(both[0] / either[0], both[1] / either[1]);
    let [low, high] = expected.interval.unwrap();
    let mean = expected.scores.mean_iou.unwrap();
    assert!(
        truth > 0.8 && low <= truth && truth <= high,
        "{low} to {high}: {truth}"
    );
    assert!(low < mean && mean < high);
    assert_eq!(expected.scores.voxels, 8 * 256);
    // Two of eight.
    assert_eq!(result.held_out, [vec![4, 12], vec![], vec![]]);
    assert_eq!(result.labels.annotated_voxels(), 16 * 16 * 16);
    assert_eq!(result.probabilities.unwrap().len(), 2 * 16 * 16 * 16);

    // An annotation of one class teaches nothing.
    let mut one = labels.clone();
    one.voxels.iter_mut().for_each(|v| {
        if *v != Label::UNLABELED {
            *v = Label::of_class(0);
        }
    });
    assert!(fill(&volume, &one, &config, &threads, &mut ()).is_err());
}

/// Counts steps and keeps what was planned.
#[derive(Default)]
struct Count {
    steps: usize,
    planned: Option<u64>,
}

impl Observer for Count {
    fn planned(&mut self, needs: &Needs) {
        self.planned = Some(needs.peak_bytes());
    }

    fn step(&mut self, _: &StepRecord, _: &Progress) -> ControlFlow<()> {
        self.steps += 1;
        ControlFlow::Continue(())
    }
}

#[test]
fn what_does_not_fit_the_memory_is_refused_before_the_first_step() {
    // Long along x, so that results outweigh a training step.
    let geometry = Geometry::of_shape([16, 16, 4000]);
    let samples = (0..geometry.voxels()).map(|i| (i % 251) as u8).collect();
    let volume = Volume::new(geometry.clone(), 1, Samples::U8(samples)).unwrap();
    let (_, ball) = ball();
    let voxels = (0..geometry.voxels()).map(|i| Label::of_class(i % 2));
    let labels = Labels {
        voxels: voxels.collect(),
        classes: ball.classes,
        geometry,
    };
    let threads = Threads::new(1).unwrap();
    let (mut refused, mut kib) = (Vec::new(), 500_u64);
    loop {
        let config = FillConfig {
            train: TrainConfig {
                budget: Budget::iterations(1),
                memory_bytes: Some(kib << 10),
                validate_every: 0,
                ..tiny()
            },
            hold_out: false,
            probabilities: true,
            ..FillConfig::default()
        };
        let mut count = Count::default();
        match fill(&volume, &labels, &config, &threads, &mut count) {
            Ok(_) => {
                assert!(count.planned.unwrap() <= kib << 10);
                break;
            }
            Err(error) => {
                assert_eq!((count.steps, count.planned), (0, None), "{error}");
                refused.push(error.to_string());
            }
        }
        kib = kib * 5 / 4;
    }
    assert!(refused[0].contains("training on patches"), "{}", refused[0]);
    let last = refused.last().unwrap();
    assert!(last.contains("predicting the whole volume"), "{last}");
}

#[test]
fn a_diverging_run_says_so() {
    let config = TrainConfig {
        optimizer: OptimizerConfig::Sgd {
            rate: 1e30,
            momentum: 0.9,
            form: Default::default(),
            weight_decay: 0.0,
        },
        clip_norm: None,
        ..tiny()
    };
    let threads = Threads::new(1).unwrap();
    let outcome = run(&config, data(), &Sitting::default(), &threads, &mut ());
    let error = outcome.err().map_or(String::new(), |e| e.to_string());
    assert!(error.contains("learning rate"), "{error}");
}
