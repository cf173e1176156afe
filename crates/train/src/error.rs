//! What can go wrong between a data set and a model, said so that the person
//! who caused it can mend it.

use std::io;
use std::path::{Path, PathBuf};

/// Anything that training or filling refuses.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder of a data set or a run.
    #[error("{}: {problem}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Field, value found, rule, likely cause.
        problem: String,
    },
    /// A setting.
    #[error("{field} is {found}, {rule}")]
    Setting {
        /// Name of the setting as in a configuration file.
        field: &'static str,
        /// Its value.
        found: String,
        /// What it must be, and what to do.
        rule: String,
    },
    /// The data do not allow what was asked.
    #[error("{0}")]
    Data(String),
    /// A data set whose labels nobody explained: the caller can show the values
    /// of this label image and ask.
    #[error(
        "{}: the data set does not say which voxels are annotated, a label scheme is needed. \
         Name an `ignore` label in dataset.json, add a [labels] section to the list, or use a flag",
        labels.display()
    )]
    NoScheme {
        /// The first label image of the data set.
        labels: PathBuf,
    },
    /// A volume.
    #[error(transparent)]
    Volume(Box<unet3d_volume::Error>),
    /// A volume of a data set.
    #[error("case {case}: {source}")]
    Case {
        /// Name of the case.
        case: String,
        /// What is wrong with it.
        source: Box<unet3d_volume::Error>,
    },
    /// The network's configuration.
    #[error(transparent)]
    Network(#[from] unet3d_unet::ConfigError),
    /// A patch that the network cannot have as its input.
    #[error("patch: {0}")]
    Patch(#[from] unet3d_unet::SizeError),
    /// Cases and sampling do not go together.
    #[error(transparent)]
    Sampler(#[from] crate::sampler::SamplerError),
    /// Batches cannot be made.
    #[error(transparent)]
    Batch(#[from] crate::batch::BatchError),
    /// A prediction failed.
    #[error(transparent)]
    Predict(#[from] unet3d_predict::Error),
    /// A model cannot be written or read.
    #[error(transparent)]
    Model(#[from] unet3d_predict::ModelError),
    /// Training left the range of numbers.
    #[error(
        "the loss of step {step} is {loss}, training diverged. \
         Likely cause: the learning rate ({rate:e}) is too high; try a tenth of it, or set clip_norm = 1"
    )]
    Diverged {
        /// The step.
        step: u64,
        /// NaN or an infinity.
        loss: f64,
        /// Learning rate of the step.
        rate: f64,
    },
    /// The network has learned, its volume could not be predicted. The caller may keep
    /// the model, which is all that was learned.
    #[error("after the training, the volume could not be segmented: {source}")]
    NotFilled {
        /// What was learned.
        model: Box<unet3d_predict::Model>,
        /// Why it could not.
        source: Box<Error>,
    },
    /// A file cannot be written.
    #[error(transparent)]
    Write(#[from] unet3d_volume::atomic::WriteError),
    /// Reading or writing failed.
    #[error("{}: {source}. {advice}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
        /// What to do.
        advice: &'static str,
    },
}

impl From<unet3d_volume::Error> for Error {
    fn from(error: unet3d_volume::Error) -> Self {
        Self::Volume(Box::new(error))
    }
}

impl Error {
    pub(crate) fn file(path: &Path, problem: impl Into<String>) -> Self {
        Self::File {
            path: path.to_path_buf(),
            problem: problem.into(),
        }
    }

    pub(crate) fn config(
        field: &'static str,
        found: impl ToString,
        rule: impl Into<String>,
    ) -> Self {
        Self::Setting {
            field,
            found: found.to_string(),
            rule: rule.into(),
        }
    }

    /// Whether it is about a file or folder that the message names.
    pub fn names_its_file(&self) -> bool {
        matches!(self, Self::File { .. } | Self::Io { .. } | Self::Write(_))
    }

    pub(crate) fn reading(path: &Path) -> impl FnOnce(io::Error) -> Self {
        Self::io(path, |error| match error.kind() {
            io::ErrorKind::NotFound => "Check the spelling of the path",
            io::ErrorKind::PermissionDenied => "Check its permissions and those of its folder",
            io::ErrorKind::IsADirectory | io::ErrorKind::Unsupported => "Give the name of a file",
            io::ErrorKind::InvalidData => "Save it as UTF-8 text",
            io::ErrorKind::OutOfMemory => "It is larger than the memory: is it the right file?",
            _ => "Check the path and the disk",
        })
    }

    pub(crate) fn writing(path: &Path) -> impl FnOnce(io::Error) -> Self {
        Self::io(path, |error| match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                "The disk is full: free some space or choose another folder"
            }
            io::ErrorKind::PermissionDenied => {
                "Check the permissions of the folder, or choose another one"
            }
            io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
                "A file stands where a folder should be: choose another path"
            }
            _ => "Does the folder exist, may you write there, is the disk full?",
        })
    }

    fn io(path: &Path, advice: fn(&io::Error) -> &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io {
            path,
            advice: advice(&source),
            source,
        }
    }
}
