//! What can be wrong with a volume or its file.
//!
//! Every message names the path, the field, the value found and the rule it
//! breaks, then the likely cause and what to do.

use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::Scaling;

/// Why a volume could not be read, written or interpreted.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused, or the disk failed.
    #[error("{}: {doing} failed: {source}. {}", .path.display(), likely_cause(.source))]
    Io {
        /// File or folder.
        path: PathBuf,
        /// What was being done, as in "opening".
        doing: &'static str,
        /// What the operating system says.
        source: io::Error,
    },

    /// A file or folder could not be written.
    #[error(transparent)]
    Write(#[from] crate::atomic::WriteError),

    /// A file says something that is wrong, or that is not supported.
    #[error("{}: {field} is {found}, {rule}. {advice}", .path.display())]
    Field {
        /// File or folder.
        path: PathBuf,
        /// Field of the format, as in `dim[3]`.
        field: String,
        /// What stands there.
        found: String,
        /// What should.
        rule: String,
        /// Likely cause and what to do: whole sentences.
        advice: String,
    },

    /// Neither the content nor the name of a file is that of a known format.
    #[error(
        "{}: the format is unknown: neither the content nor the name is that of {known}. \
         Convert the file to one of these, or check that it is not damaged.", .path.display()
    )]
    UnknownFormat {
        /// File.
        path: PathBuf,
        /// The formats that there are.
        known: String,
    },

    /// A file of a format that is known by its first bytes, and not read.
    #[error(
        "{}: this is {name}, which this program does not read (it reads NIfTI-1, TIFF, NPY, and \
         folders of PNG or TIFF slices). {way_out}", .path.display()
    )]
    OtherFormat {
        /// File or folder.
        path: PathBuf,
        /// What it is.
        name: String,
        /// What makes a readable file of it: whole sentences.
        way_out: &'static str,
    },

    /// A volume whose parts contradict each other.
    #[error("{field} is {found}, {rule}.")]
    Inconsistent {
        /// Which part.
        field: &'static str,
        /// What stands there.
        found: String,
        /// What should.
        rule: String,
    },

    /// Two volumes that do not lie on one grid.
    #[error(transparent)]
    Apart(Box<crate::place::Apart>),

    /// A label image, or the scheme it is read under.
    #[error(transparent)]
    Labels(#[from] crate::labels::LabelsError),

    /// An image, or the numbers it is normalised by.
    #[error(transparent)]
    Normalise(#[from] crate::normalise::NormaliseError),

    /// A label image holds a sample that is not a whole number.
    #[error(
        "the sample at channel {channel}, z {}, y {}, x {} is {value}, label values must be \
         whole numbers from -2^63 to 2^63 - 1. The file may be an image or probabilities instead \
         of labels, or it was resampled with interpolation: resample labels with nearest neighbour.{}",
        .at[0], .at[1], .at[2], of_scaling(.scaling.as_ref())
    )]
    NotWhole {
        /// The value found.
        value: String,
        /// Channel of the voxel.
        channel: usize,
        /// `[z, y, x]` of the voxel.
        at: [usize; 3],
        /// The scaling of the file's header.
        scaling: Option<Scaling>,
    },
}

/// What a scaling has to do with a value that is not whole; empty where there is none.
pub(crate) fn of_scaling(scaling: Option<&Scaling>) -> String {
    scaling.map_or_else(String::new, |scaling| {
        format!(
            " Its header scales what is stored ({scaling}); the value is further from a whole number \
             than this scaling rounds. Where that was not meant, store labels without scaling."
        )
    })
}

impl Error {
    /// A wrong or unsupported field of a file.
    pub(crate) fn field(
        path: &Path,
        field: impl Display,
        found: impl Display,
        rule: impl Display,
        advice: impl Display,
    ) -> Self {
        Self::Field {
            path: path.to_owned(),
            field: field.to_string(),
            found: found.to_string(),
            rule: rule.to_string(),
            advice: advice.to_string(),
        }
    }

    /// Turns an error of the operating system into one that names the path.
    pub(crate) fn io(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io {
            path,
            doing,
            source,
        }
    }
}

impl Error {
    /// The same error of the volume as it is stored, where it was found in the turned
    /// one: the positions that it names are those of the file.
    pub fn before_turn(self, turn: &crate::place::Turn, stored_shape: [usize; 3]) -> Self {
        use crate::normalise::NormaliseError;
        match self {
            Self::Normalise(NormaliseError::NotFinite {
                value,
                channel,
                position,
                count,
            }) => Self::Normalise(NormaliseError::NotFinite {
                value,
                channel,
                position: turn.stored_position(position, stored_shape),
                count,
            }),
            other => other,
        }
    }
}

fn likely_cause(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "Check the spelling of the path.",
        io::ErrorKind::PermissionDenied => "Check the permissions of the file and its folder.",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "The disk is full: free some space or choose another folder."
        }
        io::ErrorKind::UnexpectedEof => "The file is shorter than it should be: copy it again.",
        io::ErrorKind::OutOfMemory => "Close other programs, or cut the volume into smaller parts.",
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
            "The file may be damaged: copy it again from its origin."
        }
        io::ErrorKind::ReadOnlyFilesystem => "The disk is read-only: choose another folder.",
        _ => "Check that the path is a readable file on a working disk.",
    }
}
