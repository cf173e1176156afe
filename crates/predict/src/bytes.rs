//! A model to the bytes of a safetensors file and back.
//!
//! Tensors lie under their names in the order other frameworks use (`o, i, kd,
//! kh, kw`), so that other tools can read them. Everything else is one JSON
//! text under the single metadata key `unet3d`: the container keeps metadata in
//! a hash map, and one key has only one order, so the same model is always the
//! same bytes. A checksum over all of it stands in that text.

use std::collections::HashMap;

use safetensors::tensor::{Dtype, SafeTensorError, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use unet3d_unet::{Layout, Network, Parameters, UNetConfig};
use unet3d_volume::words::counted;

use crate::checksum::{self, Verdict};
use crate::{Model, ModelError, Pipeline};

/// Version of the file format that is written, and the latest that is read.
/// Raise it when a reader of the version before would misread a new file.
pub const FORMAT_VERSION: u64 = 1;

/// Marks the file as ours and holds [`Metadata`] as JSON.
const METADATA_KEY: &str = "unet3d";

#[derive(Serialize, Deserialize)]
struct Metadata {
    format_version: u64,
    network: UNetConfig,
    pipeline: Pipeline,
}

impl Model {
    /// The model as the bytes of a safetensors file; equal models give equal
    /// bytes.
    ///
    /// # Errors
    /// When parts of the model contradict each other or a parameter is not
    /// finite.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ModelError> {
        self.check()?;
        let metadata = Metadata {
            format_version: FORMAT_VERSION,
            network: self.network.config().clone(),
            pipeline: self.pipeline.clone(),
        };

        let mut tensors = Vec::new();
        for (layout, values) in parts(&self.network, &self.parameters) {
            for entry in &layout.entries {
                let tensor = layout.tensor(entry, values);
                refuse_not_finite(&entry.name, &tensor)?;
                let bytes: Vec<u8> = tensor.iter().flat_map(|v| v.to_le_bytes()).collect();
                tensors.push((entry.name.as_str(), entry.shape.clone(), bytes));
            }
        }
        let content = tensors.iter().map(|(name, _, bytes)| (*name, &bytes[..]));
        let json = checksum::sign(&metadata, content)
            .map_err(|e| ModelError::Unwritable(e.to_string()))?;
        let views = tensors
            .iter()
            .map(|(name, shape, bytes)| {
                Ok((*name, TensorView::new(Dtype::F32, shape.clone(), bytes)?))
            })
            .collect::<Result<Vec<_>, SafeTensorError>>()
            .map_err(|e| ModelError::Unwritable(e.to_string()))?;
        let metadata = HashMap::from([(METADATA_KEY.to_owned(), json)]);
        safetensors::serialize(views, Some(metadata))
            .map_err(|e| ModelError::Unwritable(e.to_string()))
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    /// When the bytes are truncated, no safetensors, another program's, of a
    /// newer format, when a tensor is missing, too many, of another shape or not
    /// finite, or when anything is not what was written.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ModelError> {
        let file = SafeTensors::deserialize(bytes).map_err(|e| explain(&e, bytes))?;
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| explain(&e, bytes))?;
        let json = header
            .metadata()
            .as_ref()
            .and_then(|map| map.get(METADATA_KEY))
            .ok_or(ModelError::OtherProgram)?;
        let (metadata, value) = parse_metadata(json)?;
        let Metadata {
            network, pipeline, ..
        } = metadata;

        let network = Network::new(network)?;
        // Every tensor is there with its shape before anything is allocated
        // for it: a description alone must not be able to ask for terabytes.
        for layout in [network.layout(), network.running_layout()] {
            for entry in &layout.entries {
                check_tensor(&file, &entry.name, &entry.shape)?;
            }
        }
        let mut known = [network.layout(), network.running_layout()]
            .into_iter()
            .flat_map(|layout| layout.entries.iter().map(|e| e.name.as_str()))
            .collect::<Vec<_>>();
        known.sort_unstable();
        let mut found: Vec<&str> = file.names().into_iter().collect();
        found.sort_unstable();
        if let Some(name) = found.iter().find(|n| known.binary_search(n).is_err()) {
            return Err(ModelError::UnknownTensor {
                name: (*name).to_owned(),
            });
        }

        // As many numbers as the file holds.
        let mut parameters = Parameters {
            values: vec![0.0; network.parameter_count()],
            running: vec![0.0; network.running_count()],
        };
        fill(&file, network.layout(), &mut parameters.values)?;
        fill(&file, network.running_layout(), &mut parameters.running)?;
        let model = Self {
            network,
            parameters,
            pipeline,
        };
        model.check()?;
        // Last: what is wrong with a field says more than that something is.
        let content = file.iter().map(|(name, tensor)| (name, tensor.data()));
        match checksum::verify(&value, content) {
            Verdict::Differs { written, found } => Err(ModelError::Damaged { written, found }),
            Verdict::Sound | Verdict::Unknown => Ok(model),
        }
    }
}

/// The two parameter buffers, each with its layout.
fn parts<'a>(network: &'a Network, parameters: &'a Parameters) -> [(&'a Layout, &'a [f32]); 2] {
    [
        (network.layout(), &parameters.values),
        (network.running_layout(), &parameters.running),
    ]
}

/// The version first: what a newer version wrote may not parse at all.
fn parse_metadata(json: &str) -> Result<(Metadata, serde_json::Value), ModelError> {
    let wrong = |field: &str, reason: String| ModelError::Metadata {
        field: field.to_owned(),
        reason,
    };
    let value: serde_json::Value =
        serde_json::from_str(json).map_err(|e| wrong(METADATA_KEY, e.to_string()))?;
    let found = value
        .get("format_version")
        .and_then(serde_json::Value::as_u64)
        .filter(|v| *v >= 1)
        .ok_or_else(|| wrong("format_version", "must be a number from 1".to_owned()))?;
    if found > FORMAT_VERSION {
        return Err(ModelError::Newer {
            found,
            known: FORMAT_VERSION,
        });
    }
    let metadata =
        Metadata::deserialize(&value).map_err(|e| wrong("network or pipeline", e.to_string()))?;
    Ok((metadata, value))
}

fn check_tensor(file: &SafeTensors<'_>, name: &str, shape: &[usize]) -> Result<(), ModelError> {
    let tensor = file
        .tensor(name)
        .map_err(|_| ModelError::MissingTensor { name: name.into() })?;
    if tensor.dtype() != Dtype::F32 || tensor.shape() != shape {
        return Err(ModelError::WrongTensor {
            name: name.to_owned(),
            found: format!("{:?} {:?}", tensor.dtype(), tensor.shape()),
            expected: shape.to_vec(),
        });
    }
    Ok(())
}

/// Copies the tensors of one layout from the file into their buffer.
fn fill(file: &SafeTensors<'_>, layout: &Layout, buffer: &mut [f32]) -> Result<(), ModelError> {
    for entry in &layout.entries {
        let tensor = file
            .tensor(&entry.name)
            .map_err(|_| ModelError::MissingTensor {
                name: entry.name.clone(),
            })?;
        let values: Vec<f32> = tensor
            .data()
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .collect();
        refuse_not_finite(&entry.name, &values)?;
        layout.set_tensor(entry, buffer, &values);
    }
    Ok(())
}

fn refuse_not_finite(name: &str, values: &[f32]) -> Result<(), ModelError> {
    match values.iter().position(|v| !v.is_finite()) {
        Some(index) => Err(ModelError::NotFinite {
            name: name.to_owned(),
            index,
            value: values[index],
        }),
        None => Ok(()),
    }
}

/// What the container's reader found wrong, in our words.
fn explain(error: &SafeTensorError, bytes: &[u8]) -> ModelError {
    match (error, announced_bytes(bytes)) {
        (
            SafeTensorError::InvalidHeaderLength | SafeTensorError::MetadataIncompleteBuffer,
            Some(expected),
        ) if expected > bytes.len() as u64 => ModelError::Truncated {
            found: bytes.len(),
            expected,
        },
        _ => ModelError::NotSafetensors {
            reason: match bytes.len() {
                0 => "it is empty".to_owned(),
                n @ 1..8 => format!("{} cannot hold a header", counted(n, "byte")),
                _ => error.to_string(),
            },
        },
    }
}

/// How long the file must be at least, by its own header: the header's length
/// (8 bytes), the header (JSON), and the tensors up to where the last one ends.
/// `None` where there is no such header.
fn announced_bytes(bytes: &[u8]) -> Option<u64> {
    let (length, rest) = bytes.split_first_chunk()?;
    let length = u64::from_le_bytes(*length);
    if !matches!(rest.first(), None | Some(b'{')) {
        return None;
    }
    let end = length.checked_add(8)?;
    let Some(header) = rest.get(..usize::try_from(length).ok()?) else {
        return Some(end);
    };
    let header: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(header).ok()?;
    let last = header
        .values()
        .filter_map(|tensor| tensor.get("data_offsets")?.get(1)?.as_u64())
        .max();
    end.checked_add(last.unwrap_or(0))
}
