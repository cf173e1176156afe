//! Which file a file is, whatever its name: a name may lead to another one by the
//! time that it is used again.

use std::fs::{File, Metadata};
use std::path::Path;

/// Disk and number of a file or folder on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity(u64, u64);

impl Identity {
    /// The identity of a file or folder; `None` where the system does not tell.
    pub fn of(metadata: &Metadata) -> Option<Self> {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            Some(Self(metadata.dev(), metadata.ino()))
        }
        #[cfg(not(unix))]
        {
            let _ = metadata;
            None
        }
    }
}

/// Whether an open file is the one at a path; where the system does not tell,
/// whether there is one.
pub fn is_at(file: &File, path: &Path) -> bool {
    let (Ok(open), Ok(there)) = (file.metadata(), path.symlink_metadata()) else {
        return false;
    };
    Identity::of(&open) == Identity::of(&there)
}
