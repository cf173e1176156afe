//! One golden file: what PyTorch was given and what it computed.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;
use unet3d_unet::{Network, Parameters, UNetConfig};

/// The description that scripts/golden.py puts into a file's metadata.
#[derive(Deserialize)]
pub struct About {
    pub config: UNetConfig,
    /// First part of every name handed to [`numbers`].
    pub salt: String,
    /// Products in the longest sum of one output value.
    pub terms: usize,
    /// `[n, d, h, w, c]`, files of presets only.
    pub input: Option<[usize; 5]>,
    #[serde(default)]
    pub class_weights: Vec<f32>,
    pub sgd: Option<Sgd>,
    pub running_momentum: Option<f32>,
    #[serde(default)]
    pub gradients: BTreeMap<String, Scale>,
}

/// Settings of the ten steps.
#[derive(Clone, Copy, Deserialize)]
pub struct Sgd {
    pub rate: f32,
    pub momentum: f32,
    pub steps: usize,
}

/// How large the terms of a gradient are before they cancel, and their number.
#[derive(Clone, Copy, Deserialize)]
pub struct Scale {
    pub magnitude: f64,
    pub terms: usize,
}

/// A file, read.
pub struct Case {
    pub name: String,
    pub about: About,
    pub network: Network,
    bytes: Vec<u8>,
}

impl Case {
    pub fn read(name: &str) -> Self {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/{name}.safetensors"));
        let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
        let text = metadata.metadata().as_ref().unwrap()["golden"].clone();
        let about: About = serde_json::from_str(&text).unwrap();
        let network = Network::new(about.config.clone()).unwrap();
        Self {
            name: name.into(),
            about,
            network,
            bytes,
        }
    }

    /// Convolutions of any kind in sequence, each with its rounding.
    pub fn depth(&self) -> usize {
        self.network
            .layout()
            .entries
            .iter()
            .filter(|e| e.name.ends_with("weight"))
            .count()
    }

    /// Shape and values of a float32 tensor.
    pub fn tensor(&self, name: &str) -> (Vec<usize>, Vec<f32>) {
        let file = SafeTensors::deserialize(&self.bytes).unwrap();
        let view = file
            .tensor(name)
            .unwrap_or_else(|e| panic!("{} {name}: {e}", self.name));
        assert_eq!(view.dtype(), Dtype::F32, "{name}");
        let values = view
            .data()
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes(b.try_into().unwrap()));
        (view.shape().to_vec(), values.collect())
    }

    pub fn labels(&self) -> Vec<u8> {
        SafeTensors::deserialize(&self.bytes)
            .unwrap()
            .tensor("labels")
            .unwrap()
            .data()
            .to_vec()
    }

    pub fn losses(&self) -> Vec<f64> {
        let file = SafeTensors::deserialize(&self.bytes).unwrap();
        let data = file.tensor("losses").unwrap();
        data.data()
            .chunks_exact(8)
            .map(|b| f64::from_le_bytes(b.try_into().unwrap()))
            .collect()
    }

    /// Parameters and running statistics, each value from `source(kind, name, shape)`.
    fn parameters_from(&self, source: impl Fn(&str, &str, &[usize]) -> Vec<f32>) -> Parameters {
        // Not-a-number wherever nothing is set, so that nothing is missed.
        let mut parameters = self.network.init(0);
        parameters.values.fill(f32::NAN);
        parameters.running.fill(f32::NAN);
        for entry in &self.network.layout().entries {
            let values = source("parameter", &entry.name, &entry.shape);
            self.network
                .layout()
                .set_tensor(entry, &mut parameters.values, &values);
        }
        for entry in &self.network.running_layout().entries {
            let values = source("running", &entry.name, &entry.shape);
            self.network
                .running_layout()
                .set_tensor(entry, &mut parameters.running, &values);
        }
        parameters
    }

    /// As stored in the file; a tensor of another shape fails here.
    pub fn stored_parameters(&self) -> Parameters {
        self.parameters_from(|kind, name, shape| {
            let (stored, values) = self.tensor(&format!("{kind}/{name}"));
            assert_eq!(stored, shape, "{}: shape of {name}", self.name);
            values
        })
    }

    /// As the formula has them.
    pub fn computed_parameters(&self) -> Parameters {
        self.parameters_from(|_, name, shape| parameter(&self.about.salt, name, shape))
    }

    /// The formula's input of `count` values.
    pub fn computed_input(&self, count: usize) -> Vec<f32> {
        numbers(&format!("{}/input", self.about.salt), count)
            .map(|u| u as f32)
            .collect()
    }
}

/// `count` numbers in [-1, 1) that depend on `name` and position alone; the
/// formula is explained at `numbers` in scripts/golden.py.
fn numbers(name: &str, count: usize) -> impl Iterator<Item = f64> + use<> {
    let hash = name.bytes().fold(0x811C_9DC5u32, |h, byte| {
        (h ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    (0..count as u64).map(move |i| {
        let mut x = (u64::from(hash) << 32)
            .wrapping_add(i)
            .wrapping_add(0x9E37_79B9_7F4A_7C15);
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^= x >> 31;
        (x >> 40) as f64 / f64::from(1 << 23) - 1.0
    })
}

/// `fill` of scripts/golden.py: f64 throughout, rounded to f32 once at the end.
fn parameter(salt: &str, name: &str, shape: &[usize]) -> Vec<f32> {
    let fan_in: usize = shape[1..].iter().product();
    let value = |u: f64| match name {
        _ if shape.len() > 1 => u * (6.0 / fan_in as f64).sqrt(),
        _ if name.ends_with(".scale") => 1.0 + 0.25 * u,
        _ if name.ends_with(".running_var") => 1.0 + 0.5 * u,
        _ => 0.125 * u,
    };
    numbers(&format!("{salt}/{name}"), shape.iter().product())
        .map(|u| value(u) as f32)
        .collect()
}
