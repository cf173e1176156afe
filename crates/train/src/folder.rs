//! A run folder, and files that are there whole or not at all.
//!
//! | file | what |
//! |---|---|
//! | `config.toml` | the whole configuration, patch and batch settled |
//! | `split.tsv` | of a data set: which cases were held out |
//! | `log.jsonl` | one line a step and a validation; nothing that depends on the clock |
//! | `checkpoint.safetensors` | what resuming needs |
//! | `best.unet3d.safetensors` | the model with the best validation |
//! | `last.unet3d.safetensors` | the model at the last checkpoint or the end |

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::Error;

/// The files of a run.
#[derive(Clone, Debug)]
pub(crate) struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// A new run in `path`, which is made where it is missing.
    pub(crate) fn create(path: &Path) -> Result<Self, Error> {
        fs::create_dir_all(path).map_err(Error::writing(path))?;
        let folder = Self {
            path: path.to_path_buf(),
        };
        if folder.checkpoint().exists() {
            return Err(Error::file(
                path,
                "the folder holds a run already. Resume it, or choose another folder",
            ));
        }
        Ok(folder)
    }

    /// The run in `path`.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let folder = Self {
            path: path.to_path_buf(),
        };
        if !folder.config().is_file() {
            return Err(Error::file(
                path,
                "there is no run to resume: config.toml is missing. Was the folder named rightly?",
            ));
        }
        Ok(folder)
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path.join("config.toml")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.path.join("log.jsonl")
    }

    pub(crate) fn checkpoint(&self) -> PathBuf {
        self.path.join("checkpoint.safetensors")
    }

    pub(crate) fn best(&self) -> PathBuf {
        self.path.join("best.unet3d.safetensors")
    }

    pub(crate) fn last(&self) -> PathBuf {
        self.path.join("last.unet3d.safetensors")
    }
}

/// Writes a file under another name, has it on the disk, then renames it: after
/// a power failure the file is the old one or the new one.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.part"));
    let write = || {
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        sync_folder(path.parent().unwrap_or(Path::new("")))
    };
    write().map_err(|source| {
        // Nothing half-written stays; if removing fails too, the first error counts.
        let _ = fs::remove_file(&temporary);
        Error::writing(path)(source)
    })
}

/// Has the new name on the disk as well.
#[cfg(unix)]
fn sync_folder(folder: &Path) -> std::io::Result<()> {
    let folder = match folder.as_os_str().is_empty() {
        true => Path::new("."),
        false => folder,
    };
    File::open(folder)?.sync_all()
}

/// Elsewhere folders cannot be opened as files; renaming is as safe as the
/// system makes it.
#[cfg(not(unix))]
fn sync_folder(_: &Path) -> std::io::Result<()> {
    Ok(())
}
