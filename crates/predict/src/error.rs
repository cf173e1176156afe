//! What can go wrong, told so that one can act on it. Paths are the caller's:
//! this crate sees bytes and volumes only.

use unet3d_unet::ConfigError;
use unet3d_unet::SizeError;
use unet3d_volume::place::Turn;
use unet3d_volume::words::{count, counted};

/// Why bytes are not a model that this program can use, or a model cannot
/// become bytes.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// Shorter than its own header says.
    #[error(
        "the model is truncated: {} found, its header announces at least {}. Copy or download it again", counted(*.found, "byte"), count(*.expected)
    )]
    Truncated {
        /// Bytes found.
        found: usize,
        /// Bytes that the header announces, at least.
        expected: u64,
    },
    /// Not the container format at all.
    #[error(
        "not a model file: {reason}. A model of unet3d is a safetensors file written by `unet3d train` or `unet3d fill`"
    )]
    NotSafetensors {
        /// What did not parse.
        reason: String,
    },
    /// The container without our metadata.
    #[error(
        "a safetensors file of another program: its metadata has no `unet3d` entry. Only models written by unet3d carry the network and the normalisation that prediction needs"
    )]
    OtherProgram,
    /// From a later version of this program.
    #[error("made by a newer unet3d: format {found}, this program reads up to {known}; update")]
    Newer {
        /// Format version of the file.
        found: u64,
        /// Latest version known here.
        known: u64,
    },
    /// The metadata does not say what it must.
    #[error("model metadata, {field}: {reason}. The file was changed by hand or is damaged")]
    Metadata {
        /// Which entry.
        field: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The network it describes is impossible.
    #[error("model metadata, network: {0}")]
    Config(#[from] ConfigError),
    /// Parts that contradict each other.
    #[error(
        "model, {field}: {found}, but {rule}. The model was put together wrongly or is damaged"
    )]
    Inconsistent {
        /// Which part.
        field: String,
        /// What it holds.
        found: String,
        /// What it should hold.
        rule: String,
    },
    /// A tensor of the network is not there.
    #[error(
        "the model has no tensor `{name}`, which its network needs. The file is damaged or incomplete"
    )]
    MissingTensor {
        /// Its name.
        name: String,
    },
    /// A tensor that the network does not have.
    #[error(
        "the model has a tensor `{name}` that its network does not. Its metadata and tensors are not of one model"
    )]
    UnknownTensor {
        /// Its name.
        name: String,
    },
    /// A tensor of another shape or type.
    #[error(
        "model tensor `{name}`: {found}, must be F32 {expected:?}. The file is damaged or was converted"
    )]
    WrongTensor {
        /// Its name.
        name: String,
        /// Type and shape found.
        found: String,
        /// Shape of the network.
        expected: Vec<usize>,
    },
    /// NaN or infinity.
    #[error(
        "model tensor `{name}`: element {index} is {value}, must be finite. Training diverged or the file is damaged"
    )]
    NotFinite {
        /// Tensor.
        name: String,
        /// Position in it, in the order of the file.
        index: usize,
        /// NaN or an infinity.
        value: f32,
    },
    /// Something is not what was written.
    #[error(
        "the model is damaged: its checksum is {written}, its content gives {found}, so some bytes are not those \
         that were written. Copy it again from where it came from, or train it again"
    )]
    Damaged {
        /// The checksum in the file.
        written: String,
        /// The one that its content gives.
        found: String,
    },
    /// The container could not be written.
    #[error("the model cannot be written: {0}")]
    Unwritable(String),
}

/// Why an image cannot be predicted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another number of channels than the model was trained on.
    #[error(
        "the image has {}, the model was trained on {model}. Give it images with the same channels in the same order", counted(*.image, "channel")
    )]
    Channels {
        /// Channels of the image.
        image: usize,
        /// Channels of the model.
        model: usize,
    },
    /// An axis without voxels, or samples that do not fill the shape.
    #[error(
        "the image has {}, its shape {shape:?} with {} needs {expected}, at least 1", counted(*.found, "sample"), counted(*.channels, "channel")
    )]
    Shape {
        /// Shape `[z, y, x]`.
        shape: [usize; 3],
        /// Channels.
        channels: usize,
        /// Samples found.
        found: usize,
        /// Samples that the shape asks for.
        expected: usize,
    },
    /// NaN or infinity in the image.
    #[error(
        "image, channel {channel} at z, y, x = {at:?}: {value}, must be finite. Normalise or repair the image"
    )]
    ImageNotFinite {
        /// Voxel `[z, y, x]`.
        at: [usize; 3],
        /// Channel.
        channel: usize,
        /// NaN or an infinity.
        value: f32,
    },
    /// The network's sums overflowed.
    #[error(
        "the network's output at z, y, x = {at:?} is not finite. The image's values are far outside those of training, or the model is damaged"
    )]
    OutputNotFinite {
        /// Voxel `[z, y, x]`.
        at: [usize; 3],
    },
    /// A tile that the network cannot take.
    #[error("tile: {0}")]
    Tile(#[from] SizeError),
    /// A tile so small that its borders meet.
    #[error(
        "tile: size {tile} along {axis} is too small for an axis of {voxels} voxels: a tile gives {lost} voxels to its neighbours as context and must advance. The smallest possible is {smallest}"
    )]
    TileTooSmall {
        /// `z`, `y` or `x`.
        axis: char,
        /// Voxels of the volume along it.
        voxels: usize,
        /// Size asked for.
        tile: usize,
        /// Voxels of a tile that only serve as context.
        lost: usize,
        /// Smallest that would do.
        smallest: usize,
    },
    /// Not enough memory for the smallest tile, or for the tile asked for.
    #[error(
        "memory: {} given, predicting this volume with tiles of {tile:?} needs {}. Allow more memory or give a smaller volume",
        human_bytes(*given), human_bytes(*needed)
    )]
    Memory {
        /// Bytes allowed.
        given: u64,
        /// Bytes needed.
        needed: u64,
        /// The smallest tile, or the one asked for, `[z, y, x]`.
        tile: [usize; 3],
    },
    /// More memory than the system gives.
    #[error(
        "memory: predicting this volume with tiles of {tile:?} needs {}, which this computer does not give. \
         Allow less memory or a smaller tile, so that smaller pieces are predicted, or give a smaller volume",
        human_bytes(*needed)
    )]
    NotObtainable {
        /// Bytes needed.
        needed: u64,
        /// The tile chosen, `[z, y, x]`.
        tile: [usize; 3],
    },
    /// The progress callback said stop.
    #[error("interrupted after {done} of {}", counted(*.total, "tile"))]
    Interrupted {
        /// Tiles finished.
        done: usize,
        /// Tiles in all.
        total: usize,
    },
}

impl Error {
    /// The same error of an image as it is stored, where it was found in the turned one.
    pub fn before_turn(self, turn: &Turn, stored_shape: [usize; 3]) -> Self {
        let stored = |at| turn.stored_position(at, stored_shape);
        match self {
            Self::ImageNotFinite { at, channel, value } => Self::ImageNotFinite {
                at: stored(at),
                channel,
                value,
            },
            Self::OutputNotFinite { at } => Self::OutputNotFinite { at: stored(at) },
            other => other,
        }
    }
}

/// `1.50 GiB` and the like.
fn human_bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return counted(bytes, "byte");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.2} {}", UNITS[unit])
}
