//! Thousands of damaged descriptions through every parser: configurations, models'
//! metadata, data sets, splits. Each is read or refused, never a panic, and what is
//! read is used as far as a small memory allows. Arithmetic is checked in tests, so
//! an overflow is a panic here.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::collections::HashMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use safetensors::SafeTensors;
use unet3d_kernels::Threads;
use unet3d_predict::{Model, Options, Pipeline, predict};
use unet3d_train::run::{RunData, Sitting, run};
use unet3d_train::validate::HeldOut;
use unet3d_train::{Case, Observer, Progress, StepRecord, TrainConfig, dataset};
use unet3d_unet::{Mode, Network, Plan};
use unet3d_volume::{Class, Geometry, Image, Label, Labels, Normalise};

/// What numbers become: the ends of all ranges, and what is no number.
const VALUES: [&str; 26] = [
    "0",
    "-1",
    "1",
    "3",
    "17",
    "255",
    "256",
    "65536",
    "65537",
    "2147483648",
    "4294967297",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551615",
    "99999999999999999999999",
    "1e308",
    "-1e-320",
    "1e999",
    "nan",
    "inf",
    "0.5",
    "true",
    "\"a\"",
    "[]",
    "[[0, 1], {}]",
    "null",
];

/// What texts become.
const TEXTS: [&str; 5] = [
    "\"\"",
    "\"\\u0000\\u001b[31m\\n\"",
    "\"z\"",
    "7",
    "\"\u{202e}\u{1F600}\"",
];

/// Changed texts: each number, each text, each line, cut short, flipped, nested.
fn mutations(text: &str) -> Vec<String> {
    let mut all = Vec::new();
    for (start, end) in numbers(text) {
        for value in VALUES {
            all.push(format!("{}{value}{}", &text[..start], &text[end..]));
        }
    }
    let quotes: Vec<usize> = text.match_indices('"').map(|(at, _)| at).collect();
    let long = format!("\"{}\"", "x".repeat(1 << 16));
    for pair in quotes.chunks_exact(2) {
        for value in TEXTS.into_iter().chain([&*long]) {
            all.push(format!(
                "{}{value}{}",
                &text[..pair[0]],
                &text[pair[1] + 1..]
            ));
        }
    }
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    for i in 0..lines.len() {
        let mut changed = lines.clone();
        let line = changed.remove(i);
        all.push(changed.concat());
        changed.insert(i / 2, line);
        all.push(changed.concat());
        changed.insert(i, line);
        all.push(changed.concat());
    }
    for end in (0..text.len()).step_by(11) {
        if text.is_char_boundary(end) {
            all.push(text[..end].to_owned());
        }
    }
    // Marsaglia's xorshift: the same on every machine.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..300 {
        let mut bytes = text.as_bytes().to_vec();
        for _ in 0..3 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let at = (state % bytes.len() as u64) as usize;
            bytes[at] = (state >> 40) as u8;
        }
        all.push(String::from_utf8_lossy(&bytes).into_owned());
    }
    for nested in ["[", "{\"a\":", "a = [", "[a.", "'''", "\"", "\u{feff}"] {
        all.push(nested.repeat(50_000));
        all.push(format!("{text}{}", nested.repeat(50_000)));
    }
    all
}

/// Where numbers stand in a text.
fn numbers(text: &str) -> Vec<(usize, usize)> {
    let bytes = text.as_bytes();
    let is_part = |b: u8| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'+' | b'e');
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let before = at.checked_sub(1).map_or(b' ', |i| bytes[i]);
        if bytes[at].is_ascii_digit() && !before.is_ascii_alphanumeric() && before != b'_' {
            let end = (at..bytes.len()).find(|&i| !is_part(bytes[i]));
            let end = end.unwrap_or(bytes.len());
            found.push((at, end));
            at = end;
        }
        at += 1;
    }
    found
}

const CONFIG: &str = r#"seed = 1
preset = "small"
patch = [8, 12, 12]
batch = 1
validate_every = 4
checkpoint_every = 2
clip_norm = 5.0
running_momentum = 0.1
normalise = "z_score"
[budget]
iterations = 3
minutes = 1.0
[sampler]
centre = "ratio"
positive = 1.0
negative = 3.0
background = "outside"
[loss]
cross_entropy = 1.0
dice = 1.0
class_weights = { given = [1.0, 2.0] }
[optimizer]
kind = "sgd"
rate = 0.002
momentum = 0.9
weight_decay = 0.01
[schedule]
warm_up = 10
decay = { kind = "step", every = 3, factor = 0.5 }
[augment]
rotation_degrees = [[-5.0, 5.0], [-5.0, 5.0], [-5.0, 5.0]]
scaling = [0.9, 1.1]
mirror = [false, true, false]
border = "mirror"
[augment.elastic]
enabled = true
spacing_voxels = [8, 8, 8]
std_voxels = [4.0, 4.0, 4.0]
[augment.gray]
enabled = true
black = [-0.05, 0.05]
white = [0.95, 1.05]
slope = [0.8, 1.2]
insertions = 2
[network]
in_channels = 1
classes = 2
padding = "same"
normalisation = "batch_running"
activation = { leaky_relu = { slope = 0.1 } }
up_activation = false
dropout = 0.1
epsilon = 0.00001
[[network.levels]]
down = [2, 3]
up = [3, 2, 2]
kernel = [3, 3, 3]
pool = [1, 2, 2]
[[network.levels]]
down = [3, 3]
up = [1, 1, 1]
kernel = [3, 3, 1]
pool = [1, 1, 1]
[network.biases]
first = true
convolutions = true
up_convolutions = true
score = true
"#;

/// A small case of two classes.
fn case() -> Case {
    let geometry = Geometry::of_shape([9, 14, 13]);
    let voxels = geometry.voxels();
    let class = |value, name: &str| Class {
        value,
        name: name.into(),
    };
    let image = Image {
        geometry: geometry.clone(),
        channels: 1,
        voxels: (0..voxels).map(|i| (i % 7) as f32 - 3.0).collect(),
    };
    let labels = Labels {
        geometry,
        classes: vec![class(0, "outside"), class(1, "inside")],
        voxels: (0..voxels).map(|i| Label::of_class(i / 13 % 2)).collect(),
    };
    Case::new("case", image, labels).unwrap()
}

/// Stops at once.
struct Stop;

impl Observer for Stop {
    fn step(&mut self, _: &StepRecord, _: &Progress) -> ControlFlow<()> {
        ControlFlow::Break(())
    }
}

#[test]
fn configurations() {
    let threads = Threads::new(1).unwrap();
    let sound = TrainConfig::from_toml(CONFIG, "c.toml".as_ref()).unwrap();
    let (mut read, mut ran) = (0, 0);
    for text in [CONFIG.to_owned()].into_iter().chain(mutations(CONFIG)) {
        let Ok(config) = TrainConfig::from_toml(&text, "c.toml".as_ref()) else {
            continue;
        };
        read += 1;
        let _ = config.to_toml();
        if let Some(network) = &config.network
            && let Ok(network) = Network::new(network.clone())
        {
            let patch = config.patch.unwrap_or([16; 3]);
            let batch = config.batch.unwrap_or(1);
            let open = TrainConfig {
                batch: None,
                ..config.clone()
            };
            let _ = open.settle(&network, &[case()]);
            let _ = Plan::new(&network, batch, patch, Mode::Train, 16).map(|p| p.peak_bytes());
        }
        // Every second: a step takes longer than all else.
        if read % 2 == 0 || (config == sound && ran > 0) {
            continue;
        }
        let config = TrainConfig {
            memory_bytes: Some(config.memory_bytes.unwrap_or(u64::MAX).min(24 << 20)),
            ..config
        };
        let mut training = vec![case()];
        let data = RunData {
            held_out: HeldOut::slices_of(&mut training).unwrap(),
            training,
            record: serde_json::Value::Null,
            split: Vec::new(),
        };
        let outcome = run(&config, data, &Sitting::default(), &threads, &mut Stop);
        ran += usize::from(outcome.is_ok());
    }
    assert!(read > 500 && ran > 100, "{read} read, {ran} ran");
}

/// The bytes of a model whose metadata are this text.
fn model_file(json: &str, bytes: &[u8]) -> Vec<u8> {
    let file = SafeTensors::deserialize(bytes).unwrap();
    let metadata = HashMap::from([("unet3d".to_owned(), json.to_owned())]);
    safetensors::serialize(file.iter(), Some(metadata)).unwrap()
}

#[test]
fn metadata_of_models() {
    let threads = Threads::new(1).unwrap();
    let case = case();
    let config = TrainConfig::from_toml(CONFIG, "c.toml".as_ref()).unwrap();
    let network = config.network(1, 2).unwrap();
    let model = Model {
        parameters: network.init(0),
        network,
        pipeline: Pipeline {
            normalise: Normalise::Range {
                low: 0.0,
                high: 200.0,
            },
            padding: Default::default(),
            spacing_mm: Some([2.0, 1.0, 1.0]),
            orientation: serde_json::from_str("\"RAS\"").unwrap(),
            classes: case.labels.classes.clone(),
            patch: [8, 12, 12],
            calibration: Some(unet3d_metrics::Calibration {
                temperature: 1.5,
                ece_before: 0.1,
                ece_after: 0.05,
                mirrored: false,
            }),
            record: serde_json::json!({ "steps": 3 }),
        },
    };
    let bytes = model.to_bytes().unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let mut json: serde_json::Value =
        serde_json::from_str(&header.metadata().as_ref().unwrap()["unet3d"]).unwrap();
    // As before there were checksums, so that a change is not found by that alone.
    json.as_object_mut()
        .unwrap()
        .shift_remove("checksum")
        .unwrap();
    let json = serde_json::to_string_pretty(&json).unwrap();
    let options = Options {
        memory_bytes: Some(24 << 20),
        probabilities: true,
        uncertainty: true,
        ..Options::default()
    };
    let mut read = 0;
    for text in [json.clone()].into_iter().chain(mutations(&json)) {
        if let Ok(model) = Model::from_bytes(&model_file(&text, &bytes)) {
            read += 1;
            let _ = model.to_bytes();
            let mut go = |_| ControlFlow::Continue(());
            let _ = predict(&model, &case.image, &options, &threads, &mut go);
        }
    }
    assert!(read > 100, "{read}");
}

/// A data set folder with two files for each case; none is opened here.
fn data_set() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a", "b", "c", "d"] {
        for (place, suffix) in [("imagesTr", "_0000"), ("labelsTr", "")] {
            let place = folder.path().join(place);
            fs::create_dir_all(&place).unwrap();
            fs::write(place.join(format!("{name}{suffix}.nii.gz")), "").unwrap();
        }
    }
    folder
}

/// Looks for the data set at `path` with the file `changed` in all variants.
fn find_all(path: &Path, changed: &Path, sound: &str) {
    fs::write(changed, sound).unwrap();
    dataset::find(path, None).unwrap();
    for text in mutations(sound) {
        fs::write(changed, text).unwrap();
        let _ = dataset::find(path, None).map(|mut set| set.settle_classes());
    }
}

#[test]
fn descriptions_of_data_sets() {
    const DESCRIPTION: &str = r#"{
  "name": "a set", "channel_names": {"0": "CT"}, "file_ending": ".nii.gz", "numTraining": 4,
  "labels": {"background": 0, "tumour": 1, "ignore": 2},
  "training": [
    {"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz"},
    {"image": "./imagesTr/b.nii.gz", "label": "./labelsTr/b.nii.gz"}
  ]
}
"#;
    let folder = data_set();
    find_all(
        folder.path(),
        &folder.path().join("dataset.json"),
        DESCRIPTION,
    );
}

#[test]
fn lists_of_cases() {
    const LIST: &str = r#"name = "a list"
[labels]
unlabeled = 3
classes = [{ value = 0, name = "inside" }, { value = 1, name = "tubule" }]
[[case]]
image = "imagesTr/a_0000.nii.gz"
labels = "labelsTr/a.nii.gz"
subject = "one"
split = "train"
[[case]]
name = "second"
image = ["imagesTr/b_0000.nii.gz"]
labels = "labelsTr/b.nii.gz"
split = "validate"
"#;
    let folder = data_set();
    let list = folder.path().join("list.toml");
    find_all(&list, &list, LIST);
}

#[test]
fn splits() {
    const SPLIT: &str =
        "case\tsubject\tsplit\na\t1\ttrain\nb\t1\ttrain\nc\t2\tvalidate\nd\t\ttest\n";
    let folder = data_set();
    fs::write(
        folder.path().join("dataset.json"),
        r#"{"labels": {"background": 0, "tumour": 1}}"#,
    )
    .unwrap();
    find_all(folder.path(), &folder.path().join("split.tsv"), SPLIT);
}
