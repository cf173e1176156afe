//! Why a file could not be written, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

/// The operating system refused, or the disk failed.
#[derive(Debug, thiserror::Error)]
#[error("{}: {doing} failed: {source}. {}", .path.display(), advice(.source))]
pub struct WriteError {
    /// The file or folder that was to be written.
    pub path: PathBuf,
    /// What was being done, as in "creating".
    pub doing: &'static str,
    /// What the operating system says.
    pub source: io::Error,
}

impl WriteError {
    /// Turns an error of the operating system into one that names the path.
    pub fn while_(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self {
            path,
            doing,
            source,
        }
    }
}

fn advice(error: &io::Error) -> &'static str {
    use io::ErrorKind as Kind;
    match error.kind() {
        Kind::NotFound => "Does its folder exist? Check the spelling of the path.",
        Kind::NotADirectory => "A file stands where a folder should be: choose another path.",
        Kind::IsADirectory => "A folder stands there: choose another name.",
        Kind::PermissionDenied => "Check the permissions of the folder, or choose another one.",
        Kind::StorageFull | Kind::QuotaExceeded => {
            "The disk is full: free some space or choose another folder."
        }
        Kind::ReadOnlyFilesystem => "The disk is read-only: choose another folder.",
        Kind::InvalidFilename => {
            "The name is too long for this disk, most take 255 bytes: choose a shorter one."
        }
        Kind::Unsupported => "Give the name of a file.",
        _ => "Check the folder, its permissions and its disk.",
    }
}
