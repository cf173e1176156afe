//! What the tests of the program share: running it, and small volumes.

#![allow(dead_code, reason = "each test program uses its part")]
#![allow(clippy::panic, reason = "a test says so by panicking")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;
use unet3d_volume::{Geometry, Samples, Volume};

/// A folder that goes away with the test.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The path of `name` after writing a volume there.
    pub(crate) fn volume(&self, name: &str, volume: &Volume) -> PathBuf {
        let path = self.path(name);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).expect("a folder");
        }
        unet3d_volume::write(&path, volume).expect("written");
        path
    }

    /// The path of `name` after writing bytes there.
    pub(crate) fn bytes(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).expect("a folder");
        }
        std::fs::write(&path, bytes).expect("written");
        path
    }

    /// Names of all files in the folder and those below, sorted.
    pub(crate) fn files(&self) -> Vec<String> {
        fn walk(folder: &Path, root: &Path, out: &mut Vec<String>) {
            for entry in std::fs::read_dir(folder).expect("listed") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    walk(&path, root, out);
                } else {
                    let name = path.strip_prefix(root).expect("below");
                    out.push(name.display().to_string());
                }
            }
        }
        let mut out = Vec::new();
        walk(self.0.path(), self.0.path(), &mut out);
        out.sort();
        out
    }
}

/// Says that a test was not made, and why. Not by `eprintln`, which is shown
/// only where a test fails.
pub(crate) fn skipped(test: &str, why: &str) {
    let _ = writeln!(std::io::stderr(), "skipped {test}: {why}");
}

/// The program with these arguments.
pub(crate) fn program<A: AsRef<std::ffi::OsStr>>(arguments: &[A]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_unet3d"));
    command.args(arguments);
    // `cargo test` sets them; the program would say how `cargo run` is called.
    command.env_remove("CARGO").env_remove("CARGO_MANIFEST_DIR");
    command
}

/// What a run printed and how it ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn of(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }

    /// The one object on standard output.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }
}

/// Runs the program; `{name}` in arguments stands for a path in `folder`.
pub(crate) fn run(folder: &Folder, arguments: &str) -> Ran {
    let arguments: Vec<String> = arguments
        .split_whitespace()
        .map(|a| match a.strip_prefix('@') {
            Some(name) => folder.path(name).display().to_string(),
            None => a.to_owned(),
        })
        .collect();
    Ran::of(program(&arguments).output().expect("started"))
}

/// Runs the program, which must end well.
pub(crate) fn run_well(folder: &Folder, arguments: &str) -> Ran {
    let ran = run(folder, arguments);
    assert_eq!(ran.code, Some(0), "{arguments}: {ran:?}");
    ran
}

/// Blobs of two classes in an image that shows them: bright inside (class 1),
/// dark outside (class 2).
pub(crate) fn blobs(shape: [usize; 3], seed: usize) -> (Volume, Volume) {
    let [depth, height, width] = shape;
    let (mut gray, mut labels) = (Vec::new(), Vec::new());
    for z in 0..depth {
        for y in 0..height {
            for x in 0..width {
                let wave = |v: usize, f: f64| (v as f64 * f + seed as f64).sin();
                let value = wave(z, 0.45) + wave(y, 0.35) + wave(x, 0.4);
                let noise = ((x * 7919 + y * 104_729 + z * 1_299_709 + seed) % 97) as f64 / 97.0;
                gray.push((100.0 + 40.0 * value.signum() + 40.0 * noise) as u8);
                labels.push(if value > 0.0 { 1 } else { 2 });
            }
        }
    }
    let geometry = Geometry {
        spacing_mm: Some([2.0, 1.0, 1.0]),
        ..Geometry::of_shape(shape)
    };
    let volume = |samples| Volume {
        geometry: geometry.clone(),
        channels: 1,
        samples,
        scaling: None,
        notes: Vec::new(),
        placed: None,
    };
    (volume(Samples::U8(gray)), volume(Samples::U8(labels)))
}

/// Labels of which only every eighth z slice is annotated; 0 elsewhere.
pub(crate) fn sparse(labels: &Volume) -> Volume {
    let [_, height, width] = labels.geometry.shape;
    let Samples::U8(values) = &labels.samples else {
        panic!("u8 labels")
    };
    let kept = values
        .iter()
        .enumerate()
        .map(|(i, &v)| if i / (height * width) % 8 == 3 { v } else { 0 })
        .collect();
    Volume {
        samples: Samples::U8(kept),
        ..labels.clone()
    }
}

/// A model that was never trained, for images of `channels`.
pub(crate) fn model(channels: usize) -> unet3d_predict::Model {
    use unet3d_unet::{Network, Preset, UNetConfig};
    let network = Network::new(UNetConfig::preset(Preset::Small, channels, 2)).expect("a network");
    unet3d_predict::Model {
        parameters: network.init(0),
        network,
        pipeline: unet3d_predict::Pipeline {
            normalise: unet3d_volume::Normalise::ZScore,
            padding: unet3d_volume::Padding::LeftOut,
            spacing_mm: Some([2.0, 1.0, 1.0]),
            orientation: None,
            classes: [(1, "inside"), (2, "outside")]
                .map(|(value, name)| unet3d_volume::Class {
                    value,
                    name: name.into(),
                })
                .to_vec(),
            patch: [16, 16, 16],
            calibration: None,
            record: serde_json::json!({ "iterations": 0 }),
        },
    }
}
