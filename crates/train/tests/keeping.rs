//! What is learned stays, whatever happens to the folder of the run: it vanishes,
//! fills up, is taken by another run, or is damaged while nobody looks.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use unet3d_kernels::Threads;
use unet3d_predict::Model;
use unet3d_train::checkpoint::Checkpoint;
use unet3d_train::run::{Outcome, RunData, Sitting, config_of, run};
use unet3d_train::validate::HeldOut;
use unet3d_train::{
    Budget, Case, Error, Observer, Progress, StepRecord, TrainConfig, Validation, log,
};
use unet3d_unet::{Level, Preset, UNetConfig};
use unet3d_volume::{Class, Geometry, Image, Label, Labels};

const FILES: [&str; 5] = [
    "config.toml",
    "log.jsonl",
    "best.unet3d.safetensors",
    "last.unet3d.safetensors",
    "checkpoint.safetensors",
];

/// Nine steps of a tiny network, with checkpoints at 2, 4, ... and validations at
/// 3, 6, 9.
fn config() -> TrainConfig {
    let level = |channels: usize| Level {
        down: [channels; 2],
        up: [channels; 3],
        kernel: [3; 3],
        pool: [2; 3],
    };
    TrainConfig {
        network: Some(UNetConfig {
            levels: vec![level(2), level(3)],
            ..UNetConfig::preset(Preset::Small, 1, 2)
        }),
        patch: Some([8; 3]),
        batch: Some(1),
        budget: Budget::iterations(9),
        validate_every: 3,
        checkpoint_every: 2,
        ..TrainConfig::default()
    }
}

fn data() -> RunData {
    let geometry = Geometry::of_shape([12; 3]);
    let n = geometry.voxels();
    let class = |value, name: &str| Class {
        value,
        name: name.into(),
    };
    let inside = |i: usize| i / 12 % 12 > 5;
    let image = Image {
        geometry: geometry.clone(),
        channels: 1,
        voxels: (0..n)
            .map(|i| f32::from(u8::from(inside(i))) + (i % 5) as f32 / 5.0)
            .collect(),
    };
    let labels = Labels {
        geometry,
        classes: vec![class(0, "outside"), class(1, "inside")],
        voxels: (0..n)
            .map(|i| match i / 144 % 2 {
                0 => Label::of_class(usize::from(inside(i))),
                _ => Label::UNLABELED,
            })
            .collect(),
    };
    let mut training = vec![Case::new("case", image, labels).unwrap()];
    RunData {
        held_out: HeldOut::slices_of(&mut training).unwrap(),
        training,
        record: serde_json::json!({"name": "case"}),
        split: Vec::new(),
    }
}

fn go(folder: &Path, resume: bool, observer: &mut dyn Observer) -> Result<Outcome, Error> {
    let sitting = Sitting {
        folder: Some(folder.to_path_buf()),
        resume,
        ..Sitting::default()
    };
    run(
        &config(),
        data(),
        &sitting,
        &Threads::new(1).unwrap(),
        observer,
    )
}

/// Does something after some steps, and keeps what is noted.
#[derive(Default)]
struct At<'a> {
    todo: Vec<(u64, Box<dyn FnMut() + 'a>)>,
    stop: Option<u64>,
    notes: Vec<String>,
}

impl<'a> At<'a> {
    fn step(step: u64, todo: impl FnMut() + 'a) -> Self {
        Self::default().and(step, todo)
    }

    fn and(mut self, step: u64, todo: impl FnMut() + 'a) -> Self {
        self.todo.push((step, Box::new(todo)));
        self
    }

    fn noted(&self, words: &str) -> bool {
        self.notes.iter().any(|note| note.contains(words))
    }
}

impl Observer for At<'_> {
    fn noted(&mut self, what: &str) {
        self.notes.push(what.to_owned());
    }

    fn step(&mut self, step: &StepRecord, _: &Progress) -> ControlFlow<()> {
        for (at, todo) in &mut self.todo {
            if *at == step.step {
                todo();
            }
        }
        match self.stop == Some(step.step) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }
}

/// A run that nobody disturbed, and a folder for one that somebody will.
fn undisturbed() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let place = tempfile::tempdir().unwrap();
    let (whole, other) = (place.path().join("whole"), place.path().join("run"));
    let mut observer = At::default();
    go(&whole, false, &mut observer).unwrap();
    assert_eq!(observer.notes, Vec::<String>::new());
    let mut names = names(&whole);
    names.sort();
    let mut expected = FILES.map(str::to_owned).to_vec();
    expected.sort();
    assert_eq!(names, expected, "no lock and no temporary file is left");
    (place, whole, other)
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[track_caller]
fn assert_same(a: &Path, b: &Path, files: &[&str]) {
    for name in files {
        let (a, b) = (a.join(name), b.join(name));
        assert!(
            fs::read(&a).unwrap() == fs::read(&b).unwrap(),
            "{name} differs"
        );
    }
}

#[test]
fn a_folder_that_vanishes_is_made_again_with_all_that_is_known() {
    let (_place, whole, folder) = undisturbed();
    // Before and after checkpoints and validations, and before the very end.
    for step in [1, 2, 3, 5, 8, 9] {
        let mut observer = At::step(step, || fs::remove_dir_all(&folder).unwrap());
        let outcome = go(&folder, false, &mut observer).unwrap();
        assert_eq!(outcome.rescued, None);
        assert!(observer.noted("made again"), "{:?}", observer.notes);
        assert_same(&whole, &folder, &FILES);
        assert_eq!(names(&folder).len(), FILES.len());
        fs::remove_dir_all(&folder).unwrap();
    }
}

#[test]
fn a_folder_that_was_moved_leaves_two_whole_runs_or_one() {
    let (place, whole, folder) = undisturbed();
    let moved = place.path().join("moved");
    let mut observer = At::step(7, || fs::rename(&folder, &moved).unwrap());
    go(&folder, false, &mut observer).unwrap();
    assert_same(&whole, &folder, &FILES);
    // What was moved goes on from where it was, its lock being that of a run that is over.
    go(&moved, true, &mut ()).unwrap();
    assert_same(&whole, &moved, &FILES);
}

#[test]
fn a_file_that_vanishes_is_written_again() {
    let (_place, whole, folder) = undisturbed();
    for name in FILES
        .into_iter()
        .filter(|name| *name != FILES[0] && *name != FILES[2])
    {
        let path = folder.join(name);
        let mut observer = At::step(5, || fs::remove_file(&path).unwrap());
        go(&folder, false, &mut observer).unwrap();
        assert_same(&whole, &folder, &FILES);
        fs::remove_dir_all(&folder).unwrap();
    }
}

#[test]
fn a_folder_that_cannot_be_made_again_is_replaced_by_one_beside_it() {
    let (place, whole, folder) = undisturbed();
    // A file in its place: no folder can be made there.
    let spoil = || {
        fs::remove_dir_all(&folder).unwrap();
        fs::write(&folder, "in the way").unwrap();
    };
    let mut observer = At::step(5, spoil);
    let outcome = go(&folder, false, &mut observer).unwrap();
    let rescued = outcome.rescued.unwrap();
    let beside = place.path().join("run-rescued");
    assert_eq!(rescued.folder.as_deref(), Some(&*beside));
    assert!(rescued.problem.contains("run"), "{}", rescued.problem);
    assert!(observer.noted("Training goes on"), "{:?}", observer.notes);
    assert_eq!(fs::read(&folder).unwrap(), b"in the way");
    assert_same(
        &whole,
        &beside,
        &[
            "log.jsonl",
            "last.unet3d.safetensors",
            "checkpoint.safetensors",
        ],
    );
    assert_eq!(outcome.steps, 9);

    // Stopped early, it goes on from there to the same end.
    fs::remove_file(&folder).unwrap();
    fs::remove_dir_all(&beside).unwrap();
    let mut observer = At {
        stop: Some(6),
        ..At::step(5, spoil)
    };
    let outcome = go(&folder, false, &mut observer).unwrap();
    assert_eq!(outcome.rescued.unwrap().folder, Some(beside.clone()));
    go(&beside, true, &mut ()).unwrap();
    assert_same(
        &whole,
        &beside,
        &[
            "log.jsonl",
            "last.unet3d.safetensors",
            "checkpoint.safetensors",
        ],
    );
}

#[test]
fn a_disk_that_refuses_for_a_while_ends_no_training() {
    let (_place, whole, folder) = undisturbed();
    // A folder with something in it stands where the model goes: as a full disk
    // does, it refuses the last step of writing.
    let obstacle = folder.join("last.unet3d.safetensors");
    let put = || {
        fs::remove_file(&obstacle).unwrap();
        fs::create_dir_all(obstacle.join("x")).unwrap();
    };
    let take = || fs::remove_dir_all(&obstacle).unwrap();
    let mut observer = At::step(3, put).and(7, take);
    let outcome = go(&folder, false, &mut observer).unwrap();
    assert_eq!(outcome.rescued, None);
    for words in ["that of step 2", "saved again"] {
        assert!(observer.noted(words), "{words}: {:?}", observer.notes);
    }
    assert_same(&whole, &folder, &FILES);
    // In between, what was saved last was whole.
    fs::remove_dir_all(&folder).unwrap();
    let mut steps = 0;
    let look = || {
        steps = Checkpoint::read(&folder.join(FILES[4]))
            .unwrap()
            .state
            .steps
    };
    let mut observer = At::step(3, put).and(6, look).and(7, take);
    go(&folder, false, &mut observer).unwrap();
    drop(observer);
    assert_eq!(steps, 2);
}

#[test]
fn a_second_run_in_the_folder_is_refused_and_the_first_loses_nothing() {
    let (_place, whole, folder) = undisturbed();
    // At once, before and after there is a checkpoint, anew and resumed.
    let mut errors = Vec::new();
    for step in [1, 4] {
        let mut second = || {
            for resume in [false, true] {
                errors.push(go(&folder, resume, &mut ()).err().unwrap().to_string());
            }
            errors.push(config_of(&folder).unwrap_err().to_string());
        };
        let mut observer = At::step(step, &mut second);
        go(&folder, false, &mut observer).unwrap();
        drop(observer);
        assert_same(&whole, &folder, &FILES);
        fs::remove_dir_all(&folder).unwrap();
    }
    let process = format!("process {}", std::process::id());
    for error in &errors {
        let named = error.contains(folder.to_str().unwrap()) && error.contains(&process);
        assert!(named && error.contains("another run"), "{error}");
    }
    assert_eq!(errors.len(), 6);
}

#[test]
fn a_folder_taken_over_by_another_run_is_left_to_it() {
    let (place, whole, folder) = undisturbed();
    // Over by the time the first saves again: its lock is free, its files are there.
    let take_over = || {
        fs::remove_dir_all(&folder).unwrap();
        let mut other = At {
            stop: Some(1),
            ..At::default()
        };
        go(&folder, false, &mut other).unwrap();
    };
    let mut observer = At::step(5, take_over);
    let outcome = go(&folder, false, &mut observer).unwrap();
    let beside = place.path().join("run-rescued");
    assert_eq!(outcome.rescued.unwrap().folder, Some(beside.clone()));
    assert_same(&whole, &beside, &[FILES[1], FILES[3], FILES[4]]);
    let other = Checkpoint::read(&folder.join(FILES[4])).unwrap();
    assert_eq!(other.state.steps, 1);

    // Without its lock alone, the folder is still this run's.
    fs::remove_dir_all(&folder).unwrap();
    let lock = folder.join(".lock");
    let mut observer = At::step(5, || fs::remove_file(&lock).unwrap());
    go(&folder, false, &mut observer).unwrap();
    assert_eq!(observer.notes, Vec::<String>::new());
    assert_same(&whole, &folder, &FILES);
}

/// A run of nine steps stopped after six, its log at `lines` given to `damage`.
fn with_damaged_log(folder: &Path, damage: impl FnOnce(&mut Vec<Vec<u8>>)) -> At<'static> {
    let mut observer = At {
        stop: Some(6),
        ..At::default()
    };
    go(folder, false, &mut observer).unwrap();
    let path = folder.join("log.jsonl");
    let text = fs::read(&path).unwrap();
    let mut lines: Vec<Vec<u8>> = text
        .split_inclusive(|b| *b == b'\n')
        .map(<[u8]>::to_vec)
        .collect();
    damage(&mut lines);
    fs::write(&path, lines.concat()).unwrap();
    At::default()
}

#[test]
fn a_bad_line_in_the_log_forbids_nothing() {
    let (_place, whole, folder) = undisturbed();
    let models = [FILES[2], FILES[3], FILES[4]];
    type Damage = fn(&mut Vec<Vec<u8>>);
    let damages: [(Damage, bool); 6] = [
        // What only a validation said is in the checkpoint too.
        (|lines| lines[3] = b"\xff\xfe garbage\n".to_vec(), true),
        (|lines| lines.insert(2, b"not a line\n".to_vec()), true),
        (
            |lines| lines.push(b"{\"kind\":\"step\",\"st".to_vec()),
            true,
        ),
        (|lines| lines[1] = vec![0; 100], false),
        (|lines| lines.remove(0).clear(), false),
        (Vec::clear, false),
    ];
    for (damage, is_whole) in damages {
        let mut observer = with_damaged_log(&folder, damage);
        let outcome = go(&folder, true, &mut observer).unwrap();
        assert_eq!((outcome.steps, outcome.validations.len()), (9, 3));
        assert_same(&whole, &folder, &models);
        match is_whole {
            true => assert_same(&whole, &folder, &["log.jsonl"]),
            false => assert!(observer.noted("log.jsonl"), "{:?}", observer.notes),
        }
        let lines = log::read(&folder.join("log.jsonl")).unwrap();
        assert_eq!(lines.unreadable, 0, "the log is repaired");
        fs::remove_dir_all(&folder).unwrap();
    }
}

#[test]
fn a_hundred_zeroed_bytes_of_a_checkpoint_or_model_are_found() {
    let (_place, whole, _) = undisturbed();
    for name in [FILES[2], FILES[4]] {
        let path = whole.join(name);
        let sound = fs::read(&path).unwrap();
        let mut refused = 0;
        for at in (0..sound.len()).step_by(37) {
            let mut damaged = sound.clone();
            let end = (at + 100).min(sound.len());
            damaged[at..end].fill(0);
            if damaged == sound {
                continue;
            }
            refused += 1;
            fs::write(&path, &damaged).unwrap();
            let message = match name {
                "checkpoint.safetensors" => {
                    let error = Checkpoint::read(&path).err().map(|e| e.to_string());
                    let error = error.unwrap_or_else(|| panic!("zeros from {at} are not found"));
                    assert!(error.contains(path.to_str().unwrap()), "{error}");
                    if refused % 16 == 1 {
                        assert!(go(&whole, true, &mut ()).is_err());
                    }
                    error
                }
                _ => match Model::from_bytes(&damaged) {
                    Ok(_) => panic!("zeros from {at} are not found"),
                    Err(error) => error.to_string(),
                },
            };
            assert!(
                message.contains("damaged") || message.contains("not a model"),
                "{message}"
            );
        }
        assert!(refused > 20);
        fs::write(&path, &sound).unwrap();
    }
    go(&whole, true, &mut ()).unwrap();
}

#[test]
fn every_folder_in_which_no_run_can_go_on_says_why() {
    let (place, whole, folder) = undisturbed();
    let error = |path: &Path| config_of(path).unwrap_err().to_string();
    assert!(error(&place.path().join("nothing")).contains("no such folder"));
    fs::write(&folder, "").unwrap();
    assert!(error(&folder).contains("this is a file"));
    assert!(
        go(&folder, false, &mut ())
            .err()
            .unwrap()
            .to_string()
            .contains("a file stands there")
    );
    fs::remove_file(&folder).unwrap();
    fs::create_dir(&folder).unwrap();
    assert!(error(&folder).contains("is empty"));
    fs::write(folder.join("notes.txt"), "").unwrap();
    assert!(error(&folder).contains("neither config.toml nor checkpoint"));
    // The checkpoint holds the configuration too.
    fs::remove_file(whole.join(FILES[0])).unwrap();
    assert_eq!(config_of(&whole).unwrap(), config());
    go(&whole, true, &mut ()).unwrap();
    fs::write(whole.join(FILES[0]), "patch = 7").unwrap();
    let told = error(&whole);
    assert!(
        told.contains("patch") && told.contains("remove config.toml"),
        "{told}"
    );
    assert!(
        go(&whole, false, &mut ())
            .err()
            .unwrap()
            .to_string()
            .contains("Resume it")
    );
    assert_eq!(names(&whole).len(), FILES.len());
}

/// A validation is scored, so the best model is one of the files.
#[test]
fn the_best_model_outlives_its_folder() {
    let (_place, whole, folder) = undisturbed();
    struct Watch(Vec<(u64, bool)>);
    impl Observer for Watch {
        fn validated(&mut self, validation: &Validation) -> ControlFlow<()> {
            self.0.push((validation.step, validation.best));
            ControlFlow::Continue(())
        }
    }
    let mut watch = Watch(Vec::new());
    go(&folder, false, &mut watch).unwrap();
    let (step, _) = watch.0.iter().rev().find(|(_, best)| *best).unwrap();
    assert!(
        *step < 9,
        "the best must not come last, or this test shows nothing: {:?}",
        watch.0
    );
    fs::remove_dir_all(&folder).unwrap();
    let mut observer = At::step(step + 1, || fs::remove_dir_all(&folder).unwrap());
    go(&folder, false, &mut observer).unwrap();
    assert_same(&whole, &folder, &[FILES[2]]);
}
