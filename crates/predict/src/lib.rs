//! A trained model and an image in, a label for every voxel out.
//!
//! In the order in which a voxel passes: a [`Model`] holds the network, its
//! parameters and the [`Pipeline`] around it, and goes to and from the bytes of
//! one file (`bytes`). [`check_fit`] says whether an image suits a model.
//! [`Tiling`] cuts the volume into overlapping tiles that fit into the memory
//! given (`axis` does one axis, `tiles` the three together), `mirror` fetches a tile with its context from the
//! volume, `stitch` puts its output back (`uncertainty`: how doubtful it is; `channels`: in
//! the order of files), and [`predict()`] is the loop around them. From the doubts, [`mod@suggest`]
//! says what to annotate next. No file is touched here.

mod model;

mod bytes;

pub mod checksum;

mod fit;

mod axis;

mod tiles;

mod mirror;

mod uncertainty;

mod stitch;

mod channels;

mod predict;

pub mod suggest;

mod error;

pub use unet3d_volume::Padding;

pub use bytes::FORMAT_VERSION;
pub use channels::channels_first;
pub use error::{Error, ModelError};
pub use fit::{check_fit, turn_for};
pub use model::{Model, Pipeline};
pub use predict::{Options, Prediction, Progress, Witness, predict, predict_before};
pub use tiles::{DEFAULT_MEMORY_BYTES, Tile, Tiling};
