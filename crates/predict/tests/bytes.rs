//! Models to bytes and back, and bytes that are no model.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is a failed test"
)]

mod common;

use std::collections::HashMap;

use common::{anisotropic, model};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use unet3d_predict::{FORMAT_VERSION, Model};
use unet3d_unet::{Normalisation, Padding};
use unet3d_volume::words::count;

fn example() -> Model {
    model(Padding::Same, Normalisation::BatchRunning, anisotropic())
}

/// A file in parts that a test may change.
struct Parts {
    metadata: HashMap<String, String>,
    tensors: Vec<(String, Dtype, Vec<usize>, Vec<u8>)>,
}

impl Parts {
    fn of(bytes: &[u8]) -> Self {
        let file = SafeTensors::deserialize(bytes).unwrap();
        let (_, header) = SafeTensors::read_metadata(bytes).unwrap();
        let tensors = file
            .tensors()
            .into_iter()
            .map(|(name, t)| (name, t.dtype(), t.shape().to_vec(), t.data().to_vec()));
        Self {
            metadata: header.metadata().clone().unwrap(),
            tensors: tensors.collect(),
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let views = self.tensors.iter().map(|(name, dtype, shape, data)| {
            (
                name.as_str(),
                TensorView::new(*dtype, shape.clone(), data).unwrap(),
            )
        });
        safetensors::serialize(views, Some(self.metadata.clone())).unwrap()
    }

    fn tensor(&mut self, name: &str) -> &mut (String, Dtype, Vec<usize>, Vec<u8>) {
        self.tensors.iter_mut().find(|t| t.0 == name).unwrap()
    }

    fn json(&mut self, change: impl FnOnce(&mut serde_json::Value)) {
        let json = self.metadata.get_mut("unet3d").unwrap();
        let mut value = serde_json::from_str(json).unwrap();
        change(&mut value);
        *json = value.to_string();
    }
}

#[track_caller]
fn assert_refused(bytes: &[u8], words: &[&str]) {
    let message = match Model::from_bytes(bytes) {
        Ok(_) => panic!("read without complaint"),
        Err(e) => e.to_string(),
    };
    for word in words {
        assert!(message.contains(word), "`{message}` lacks `{word}`");
    }
}

#[track_caller]
fn assert_change_refused(change: impl FnOnce(&mut Parts), words: &[&str]) {
    let mut parts = Parts::of(&example().to_bytes().unwrap());
    change(&mut parts);
    assert_refused(&parts.bytes(), words);
}

#[test]
fn back_and_forth_keeps_everything_and_every_bit() {
    for normalisation in [
        Normalisation::None,
        Normalisation::BatchCurrent,
        Normalisation::BatchRunning,
        Normalisation::Instance,
    ] {
        let model = model(Padding::Valid, normalisation, anisotropic());
        let bytes = model.to_bytes().unwrap();
        let back = Model::from_bytes(&bytes).unwrap();
        assert_eq!(back.pipeline, model.pipeline);
        assert_eq!(back.network.config(), model.network.config());
        assert_eq!(back.parameters.values, model.parameters.values);
        assert_eq!(back.parameters.running, model.parameters.running);
        assert_eq!(back.to_bytes().unwrap(), bytes);
        // Hash maps order anew for each value: repeating would tell.
        for _ in 0..8 {
            assert_eq!(model.clone().to_bytes().unwrap(), bytes);
        }
    }
}

#[test]
fn other_tools_find_tensors_by_name_in_their_own_order() {
    let bytes = example().to_bytes().unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let shape = |name: &str| file.tensor(name).unwrap().shape().to_vec();
    // o, i, kd, kh, kw; up-convolutions i, o, kd, kh, kw.
    assert_eq!(shape("down0.conv0.weight"), [3, 2, 1, 3, 3]);
    assert_eq!(shape("down1.conv1.weight"), [5, 4, 3, 3, 3]);
    assert_eq!(shape("up0.upconv.weight"), [5, 4, 1, 2, 2]);
    assert_eq!(shape("score.weight"), [3, 3, 1, 1, 1]);
    assert_eq!(shape("down0.norm0.running_mean"), [3]);
}

#[test]
fn every_truncation_is_refused() {
    let bytes = example().to_bytes().unwrap();
    for length in 0..bytes.len() {
        // All of the header, and of the tensors every 97th: the rest is alike.
        if length < 2048 || length % 97 == 0 {
            let words: &[&str] = match length {
                0 => &["it is empty"],
                1..8 => &["cannot hold a header"],
                _ => &["truncated", &count(length as u64), "again"],
            };
            assert_refused(&bytes[..length], words);
        }
    }
    let mut longer = bytes;
    longer.push(0);
    assert_refused(&longer, &["not a model file"]);
}

#[test]
fn other_files() {
    assert_refused(
        b"PK\x03\x04 some archive or other ....",
        &["not a model file"],
    );
    assert_refused(&[0xff; 64], &["not a model file"]);
    assert_refused(b"\x04\0\0\0\0\0\0\0{]}x", &["not a model file"]);
    let foreign = |p: &mut Parts| {
        p.metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    };
    assert_change_refused(foreign, &["another program"]);
}

#[test]
fn versions_and_metadata() {
    let version =
        |v: serde_json::Value| move |p: &mut Parts| p.json(|json| json["format_version"] = v);
    let newer = FORMAT_VERSION + 2;
    assert_change_refused(
        version(newer.into()),
        &[&format!(
            "made by a newer unet3d: format {newer}, this program reads up to {FORMAT_VERSION}; update"
        )],
    );
    // A newer file may describe networks that do not parse here; the version is what counts.
    assert_change_refused(
        |p| p.json(|json| *json = serde_json::json!({ "format_version": 9, "network": "?" })),
        &["newer"],
    );
    for bad in [0.into(), "1".into(), serde_json::Value::Null, (-1).into()] {
        assert_change_refused(version(bad), &["format_version"]);
    }
    assert_change_refused(
        |p| p.json(|json| json["network"] = 3.into()),
        &["metadata", "network"],
    );
    assert_change_refused(
        |p| p.json(|json| json["network"]["levels"] = serde_json::json!([])),
        &["network"],
    );
    assert_change_refused(
        |p| p.json(|json| json["pipeline"]["spacing_mm"][1] = 0.into()),
        &["spacing_mm", "positive"],
    );
    assert_change_refused(
        |p| p.json(|json| json["pipeline"]["classes"][1]["value"] = 0.into()),
        &["classes", "value 0 twice"],
    );
    assert_change_refused(
        |p| {
            p.json(|json| {
                json["pipeline"]["classes"].as_array_mut().unwrap().pop();
            })
        },
        &["2 classes", "3 outputs"],
    );
    let broken = |p: &mut Parts| {
        p.metadata.insert("unet3d".to_owned(), "{".to_owned());
    };
    assert_change_refused(broken, &["metadata"]);
}

#[test]
fn tensors() {
    const NAME: &str = "down1.conv0.weight";
    assert_change_refused(|p| p.tensors.retain(|t| t.0 != NAME), &["no tensor", NAME]);
    assert_change_refused(
        |p| p.tensors.retain(|t| t.0 != "down0.norm1.running_var"),
        &["no tensor", "down0.norm1.running_var"],
    );
    assert_change_refused(|p| p.tensor(NAME).2.swap(0, 2), &[NAME, "[4, 4, 3, 3, 3]"]);
    assert_change_refused(|p| p.tensor(NAME).1 = Dtype::I32, &[NAME, "I32", "F32"]);
    assert_change_refused(
        |p| {
            p.tensors
                .push(("momentum".to_owned(), Dtype::F32, vec![1], vec![0; 4]))
        },
        &["momentum"],
    );
    for value in [f32::NAN, f32::NEG_INFINITY] {
        assert_change_refused(
            |p| p.tensor(NAME).3[40..44].copy_from_slice(&value.to_le_bytes()),
            &[NAME, "element 10", &value.to_string()],
        );
    }
}

#[test]
fn models_that_contradict_themselves_are_not_written() {
    let refused = |change: fn(&mut Model), words: &str| {
        let mut model = example();
        change(&mut model);
        let message = model.to_bytes().unwrap_err().to_string();
        assert!(message.contains(words), "`{message}` lacks `{words}`");
    };
    refused(|m| m.parameters.values[7] = f32::NAN, "NaN");
    refused(|m| m.parameters.values.truncate(9), "9 numbers");
    refused(|m| m.parameters.running.clear(), "parameters.running");
    refused(|m| m.pipeline.classes.clear(), "0 classes");
    refused(
        |m| m.pipeline.spacing_mm = Some([f64::NAN, 1.0, 1.0]),
        "spacing",
    );
}

/// What is wrong with changed bytes: nothing only where the change means nothing.
fn is_refused(bytes: &[u8]) -> bool {
    Model::from_bytes(bytes).is_err()
}

#[test]
fn every_byte_counts() {
    let bytes = example().to_bytes().unwrap();
    let length = u64::from_le_bytes(*bytes.first_chunk().unwrap()) as usize;
    let header_end = 8 + length;
    for at in 0..bytes.len() {
        // Of the tensors a sample: they are alike.
        if at > header_end && at % 13 != 0 {
            continue;
        }
        for flip in [1, 0x20, 0x80] {
            let mut changed = bytes.clone();
            changed[at] ^= flip;
            let same = || Model::from_bytes(&changed).is_ok_and(|m| m.to_bytes().unwrap() == bytes);
            assert!(is_refused(&changed) || same(), "byte {at}, {flip:#x}");
        }
        let mut zeroed = bytes.clone();
        let end = (at + 100).min(zeroed.len());
        zeroed[at..end].fill(0);
        assert!(zeroed == bytes || is_refused(&zeroed), "zeros from {at}");
    }
    assert_refused(
        &{
            let mut changed = bytes.clone();
            changed[header_end + 40] ^= 1;
            changed
        },
        &["damaged", "crc32:", "again"],
    );
}

#[test]
fn models_without_a_checksum_are_read() {
    let mut parts = Parts::of(&example().to_bytes().unwrap());
    parts.json(|json| {
        let removed = json.as_object_mut().unwrap().shift_remove("checksum");
        assert!(removed.unwrap().as_str().unwrap().starts_with("crc32:"));
    });
    assert!(Model::from_bytes(&parts.bytes()).is_ok());
    // Other tools may order the container anew: what it means is the same.
    let mut parts = Parts::of(&example().to_bytes().unwrap());
    parts.tensors.reverse();
    assert!(Model::from_bytes(&parts.bytes()).is_ok());
}
