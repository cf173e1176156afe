//! A run folder: its files, and whether a run can begin or go on there.
//!
//! | file | what |
//! |---|---|
//! | `config.toml` | the whole configuration, patch and batch settled |
//! | `split.tsv` | of a data set: which cases were held out |
//! | `log.jsonl` | one line a step and a validation; nothing that depends on the clock |
//! | `checkpoint.safetensors` | what resuming needs |
//! | `best.unet3d.safetensors` | the model with the best validation |
//! | `last.unet3d.safetensors` | the model at the last checkpoint or the end |
//! | `.lock` | while a run is writing: keeps others out |

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::Error;
use crate::lock::Lock;

/// The files of a run, locked for whoever holds this.
#[derive(Debug)]
pub(crate) struct RunFolder {
    path: PathBuf,
    lock: Lock,
}

impl RunFolder {
    /// A new run in `path`, which is made where it is missing.
    pub(crate) fn create(path: &Path) -> Result<Self, Error> {
        refuse_file(path)?;
        let folder = Self {
            path: path.to_path_buf(),
            lock: Lock::take(path)?,
        };
        if holds_a_run(path) {
            return Err(Error::file(
                path,
                "the folder holds a run already. Resume it, or choose another folder",
            ));
        }
        Ok(folder)
    }

    /// The run in `path`.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        check_resumable(path)?;
        Ok(Self {
            path: path.to_path_buf(),
            lock: Lock::take(path)?,
        })
    }

    /// Makes the folder again where it has vanished. True where it had: then
    /// nothing that is in it now is this run's.
    pub(crate) fn make_again(&mut self) -> Result<bool, Error> {
        if self.lock.holds() {
            return Ok(false);
        }
        let is_same = self.lock.is_same_folder();
        let lock = Lock::take(&self.path)?;
        if !is_same && holds_a_run(&self.path) {
            return Err(Error::file(
                &self.path,
                "the folder was taken away, and another run is there now. It is left alone",
            ));
        }
        self.lock = lock;
        Ok(!is_same)
    }

    pub(crate) fn lock(&self) -> &Lock {
        &self.lock
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn config(&self) -> PathBuf {
        config(&self.path)
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.path.join("log.jsonl")
    }

    pub(crate) fn checkpoint(&self) -> PathBuf {
        checkpoint(&self.path)
    }

    pub(crate) fn best(&self) -> PathBuf {
        self.path.join("best.unet3d.safetensors")
    }

    pub(crate) fn last(&self) -> PathBuf {
        self.path.join("last.unet3d.safetensors")
    }
}

pub(crate) fn config(run: &Path) -> PathBuf {
    run.join("config.toml")
}

pub(crate) fn checkpoint(run: &Path) -> PathBuf {
    run.join("checkpoint.safetensors")
}

/// Whether a folder holds a run that has saved anything.
pub fn holds_a_run(folder: &Path) -> bool {
    // Also a link that leads nowhere: it stands for a run elsewhere.
    checkpoint(folder).symlink_metadata().is_ok()
}

/// Refuses a folder in which there is nothing to go on with, for the reason that
/// there is.
///
/// # Errors
/// Names the folder, what is there instead, and what to do.
pub fn check_resumable(folder: &Path) -> Result<(), Error> {
    let found = match fs::metadata(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let problem =
                "there is no such folder, so there is no run to resume. Check the spelling";
            return Err(Error::file(folder, problem));
        }
        found => found.map_err(Error::reading(folder))?,
    };
    if !found.is_dir() {
        let problem = "this is a file, a run to resume is a folder. Give the folder of the run";
        return Err(Error::file(folder, problem));
    }
    let mut entries = fs::read_dir(folder).map_err(Error::reading(folder))?;
    if [config(folder), checkpoint(folder)]
        .iter()
        .any(|file| file.symlink_metadata().is_ok())
    {
        return Ok(());
    }
    let problem = match entries.next() {
        None => {
            "the folder is empty, there is no run to resume. \
             Begin one there without resuming, or check the spelling"
        }
        Some(_) => {
            "there is no run to resume: the folder has neither config.toml nor checkpoint.safetensors. \
             Was the folder named rightly?"
        }
    };
    Err(Error::file(folder, problem))
}

/// A run needs a folder.
fn refuse_file(path: &Path) -> Result<(), Error> {
    match fs::metadata(path) {
        Ok(found) if !found.is_dir() => Err(Error::file(
            path,
            "a file stands there, a run needs a folder. Choose another name",
        )),
        _ => Ok(()),
    }
}
