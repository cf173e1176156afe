//! What a run needs to go on: written whole or not at all.
//!
//! A safetensors file with the tensors `parameters`, `running` and `optimizer`
//! and one metadata entry, a JSON object: steps done, configuration, data,
//! validations so far, and (only where the budget is one of minutes) the time
//! already spent.

use std::collections::HashMap;
use std::path::Path;

use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::{Deserialize, Serialize};
use unet3d_predict::checksum::{self, Verdict};
use unet3d_unet::Parameters;
use unet3d_volume::atomic::write_bytes;
use unet3d_volume::read_file;

use crate::trainer::State;
use crate::{Error, TrainConfig, Validation};

/// Name of the metadata entry.
const KEY: &str = "unet3d_checkpoint";

/// Raised when older programs can no longer read what is written.
const FORMAT_VERSION: u32 = 1;

/// A run at some step.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// What a step changes.
    pub state: State,
    /// Everything else.
    pub header: Header,
}

/// The part of a checkpoint that is not tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// Version of the format.
    pub format: u32,
    /// Steps done.
    pub steps: u64,
    /// Time spent, where the budget is one of minutes.
    pub elapsed_s: Option<f64>,
    /// The settled configuration.
    pub config: TrainConfig,
    /// The data, as their record says.
    pub data: serde_json::Value,
    /// Validations so far.
    pub validations: Vec<Validation>,
}

impl Checkpoint {
    /// A checkpoint of a state.
    pub fn new(
        state: State,
        config: TrainConfig,
        data: serde_json::Value,
        validations: Vec<Validation>,
        elapsed_s: f64,
    ) -> Self {
        let header = Header {
            format: FORMAT_VERSION,
            steps: state.steps,
            elapsed_s: config.budget.minutes.map(|_| elapsed_s),
            config,
            data,
            validations,
        };
        Self { state, header }
    }

    /// Writes the checkpoint.
    ///
    /// # Errors
    /// When the disk refuses; the previous checkpoint then stays.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        Ok(write_bytes(path, &self.clone().into_bytes()?)?)
    }

    /// The checkpoint as the bytes of a safetensors file. Gives the state's memory
    /// back on the way: a run has three copies of it in its forecast, no fourth.
    pub(crate) fn into_bytes(self) -> Result<Vec<u8>, Error> {
        let unwritable = |e: &dyn std::fmt::Display| Error::Data(format!("checkpoint: {e}"));
        let tensors = [
            ("parameters", bytes(self.state.parameters.values)),
            ("running", bytes(self.state.parameters.running)),
            ("optimizer", bytes(self.state.optimizer)),
        ];
        let mut views = Vec::with_capacity(tensors.len());
        for (name, bytes) in &tensors {
            let view = TensorView::new(Dtype::F32, vec![bytes.len() / 4], bytes);
            views.push((*name, view.map_err(|e| unwritable(&e))?));
        }
        let content = tensors.iter().map(|(name, bytes)| (*name, &bytes[..]));
        let header = checksum::sign(&self.header, content).map_err(|e| unwritable(&e))?;
        let metadata = HashMap::from([(KEY.to_owned(), header)]);
        safetensors::serialize(views, Some(metadata)).map_err(|e| unwritable(&e))
    }

    /// Reads a checkpoint.
    ///
    /// # Errors
    /// When the file is not one of this program's, damaged, or of a newer version.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let file = read_file(path).map_err(Error::reading(path))?;
        let damaged = |problem: String| {
            let problem = format!(
                "{problem}. The checkpoint is damaged or not one: copy it again if there is a copy. \
                 The models beside it may still be good"
            );
            Error::file(path, problem)
        };
        let (_, metadata) =
            SafeTensors::read_metadata(&file).map_err(|e| damaged(e.to_string()))?;
        let header = metadata
            .metadata()
            .as_ref()
            .and_then(|m| m.get(KEY))
            .ok_or_else(|| damaged(format!("metadata {KEY} is missing")))?;
        let version: serde_json::Value =
            serde_json::from_str(header).map_err(|e| damaged(e.to_string()))?;
        if let Some(version) = version["format"].as_u64()
            && version > u64::from(FORMAT_VERSION)
        {
            let problem = format!(
                "format version is {version}, this program reads up to {FORMAT_VERSION}. Update unet3d"
            );
            return Err(Error::file(path, problem));
        }
        let tensors = SafeTensors::deserialize(&file).map_err(|e| damaged(e.to_string()))?;
        let content = tensors.iter().map(|(name, tensor)| (name, tensor.data()));
        if let Verdict::Differs { written, found } = checksum::verify(&version, content) {
            return Err(damaged(format!(
                "its checksum is {written}, its content gives {found}: some bytes are not those that were written"
            )));
        }
        let header: Header = serde_json::from_value(version).map_err(|e| damaged(e.to_string()))?;
        let tensor = |name: &str| {
            let tensor = tensors.tensor(name).map_err(|e| damaged(e.to_string()))?;
            match tensor.dtype() {
                Dtype::F32 => Ok(values(tensor.data())),
                other => Err(damaged(format!("{name} is {other:?}, F32 is expected"))),
            }
        };
        Ok(Self {
            state: State {
                steps: header.steps,
                parameters: Parameters {
                    values: tensor("parameters")?,
                    running: tensor("running")?,
                },
                optimizer: tensor("optimizer")?,
            },
            header,
        })
    }
}

fn bytes(values: Vec<f32>) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

fn values(bytes: &[u8]) -> Vec<f32> {
    let (quads, _) = bytes.as_chunks::<4>();
    quads.iter().map(|quad| f32::from_le_bytes(*quad)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint() -> Checkpoint {
        let state = State {
            steps: 7,
            parameters: Parameters {
                values: vec![1.5, f32::MIN_POSITIVE, -0.0],
                running: Vec::new(),
            },
            optimizer: vec![0.1; 6],
        };
        let data = serde_json::json!({"name": "a"});
        Checkpoint::new(state, TrainConfig::default(), data, Vec::new(), 3.0)
    }

    #[test]
    fn comes_back_bit_by_bit_and_holds_no_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.safetensors");
        let checkpoint = checkpoint();
        checkpoint.write(&path).unwrap();
        assert_eq!(Checkpoint::read(&path).unwrap(), checkpoint);
        assert_eq!(checkpoint.header.elapsed_s, None);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn damage_and_newer_versions_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.safetensors");
        let mut checkpoint = checkpoint();
        checkpoint.write(&path).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for length in [0, 4, 100, whole.len() - 1] {
            std::fs::write(&path, &whole[..length]).unwrap();
            let error = Checkpoint::read(&path).unwrap_err().to_string();
            assert!(error.contains("damaged"), "{error}");
        }
        checkpoint.header.format = 99;
        checkpoint.write(&path).unwrap();
        let error = Checkpoint::read(&path).unwrap_err().to_string();
        assert!(error.contains("99"), "{error}");
    }
}
