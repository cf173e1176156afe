//! Keeps a run on the disk, come what may.
//!
//! A checkpoint that cannot be written ends no training: the next one is tried,
//! and what is learned stays in memory. A folder that vanished is made again with
//! all that is known. Where even the last state finds no room in the folder, it
//! goes beside it, and the caller is told where.

use std::fs::{self, File};
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};

use unet3d_volume::atomic::write_bytes;

use crate::dataset::{CaseFiles, SPLIT_FILE, write_split};
use crate::folder::RunFolder;
use crate::log::{Line, Log};
use crate::{Error, Observer, StepRecord, Validation};

/// Where the last state of a run went, where its folder could not take it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rescued {
    /// A run folder with everything, to predict from or to go on in; `None` where
    /// no place was found.
    pub folder: Option<PathBuf>,
    /// What was wrong with the folder of the run.
    pub problem: String,
}

impl std::fmt::Display for Rescued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.folder {
            Some(folder) => write!(
                f,
                "{}; the whole run is in {} instead",
                self.problem,
                folder.display()
            ),
            None => write!(f, "{}; no other place takes the run either", self.problem),
        }
    }
}

/// The files of a run, and what they are made of.
pub(crate) struct Keeper {
    folder: RunFolder,
    /// `None` once a line could not be written: the log is then written as a whole.
    log: Option<Log>,
    /// The best model. Open, so that it outlives its folder.
    best: Option<File>,
    /// Text of `config.toml`.
    config: String,
    split: Vec<CaseFiles>,
    /// Steps of the last state on the disk.
    saved_steps: Option<u64>,
    is_failing: bool,
}

/// What is known of a run, to be kept.
pub(crate) struct State<'a> {
    pub(crate) steps: u64,
    /// Bytes of the model.
    pub(crate) model: &'a [u8],
    /// Bytes of the checkpoint.
    pub(crate) checkpoint: &'a [u8],
    pub(crate) curve: &'a [StepRecord],
    pub(crate) validations: &'a [Validation],
}

impl Keeper {
    /// Begins to keep a run in a folder.
    ///
    /// # Errors
    /// When the folder cannot be written: better now than later.
    pub(crate) fn new(
        folder: RunFolder,
        config: String,
        split: Vec<CaseFiles>,
        curve: &[StepRecord],
        validations: &[Validation],
    ) -> Result<Self, Error> {
        let mut keeper = Self {
            // A pipe would be waited for.
            best: (folder.best().is_file())
                .then(|| File::open(folder.best()).ok())
                .flatten(),
            folder,
            log: None,
            config,
            split,
            saved_steps: None,
            is_failing: false,
        };
        keeper.write_beginnings(curve, validations)?;
        Ok(keeper)
    }

    /// What a resumed run goes on from: its checkpoint is on the disk.
    pub(crate) fn has_saved(&mut self, steps: u64) {
        self.saved_steps = Some(steps);
    }

    /// Adds a line to the log.
    pub(crate) fn line(&mut self, line: &Line, observer: &mut dyn Observer) {
        if let Some(log) = &mut self.log
            && let Err(error) = log.append(line)
        {
            observer.noted(&format!(
                "{error}. Training goes on; the log is written whole with the next checkpoint"
            ));
            self.log = None;
        }
    }

    /// Writes the best model so far.
    pub(crate) fn best(&mut self, model: &[u8], observer: &mut dyn Observer) {
        let path = self.folder.best();
        let written = self.check_folder(observer).and_then(|()| {
            write_bytes(&path, model)?;
            File::open(&path).map_err(Error::reading(&path))
        });
        match written {
            Ok(file) => {
                self.best = Some(file);
                observer.saved(&path);
            }
            Err(error) => observer.noted(&format!(
                "{error}. Training goes on; this best model is not kept"
            )),
        }
    }

    /// Writes model and checkpoint, in this order: a checkpoint never speaks of
    /// files that are not there yet.
    ///
    /// # Errors
    /// When the disk refuses; what was saved last is then still there, where its
    /// folder is.
    pub(crate) fn save(
        &mut self,
        state: &State<'_>,
        observer: &mut dyn Observer,
    ) -> Result<(), Error> {
        self.check_folder(observer)?;
        match &mut self.log {
            Some(log) if self.folder.log().exists() => log.sync()?,
            _ => self.write_beginnings(state.curve, state.validations)?,
        }
        for (path, bytes) in [
            (self.folder.last(), state.model),
            (self.folder.checkpoint(), state.checkpoint),
        ] {
            write_bytes(&path, bytes)?;
            observer.saved(&path);
        }
        if self.is_failing {
            self.is_failing = false;
            observer.noted(&format!(
                "{}: the run is saved again, with all {} steps",
                self.folder.path().display(),
                state.steps
            ));
        }
        self.saved_steps = Some(state.steps);
        Ok(())
    }

    /// Tells that a state could not be saved and that training goes on.
    pub(crate) fn put_off(&mut self, error: &Error, observer: &mut dyn Observer) {
        let last = match self.saved_steps {
            Some(steps) => format!("the state saved last is that of step {steps}"),
            None => "nothing is saved yet".to_owned(),
        };
        self.is_failing = true;
        self.log = None;
        observer.noted(&format!(
            "{}. Training goes on and saving is tried again later; {last}",
            error.to_string().trim_end_matches('.')
        ));
    }

    /// Keeps the last state somewhere else: beside the folder, in the current one,
    /// or among the temporary files, whichever takes it.
    pub(crate) fn rescue(
        mut self,
        state: &State<'_>,
        problem: &Error,
        observer: &mut dyn Observer,
    ) -> Rescued {
        let name = self.folder.path().file_name().unwrap_or_default();
        let name = format!("{}-rescued", name.to_string_lossy());
        let places = [
            self.folder.path().with_file_name(&name),
            PathBuf::from(&name),
            std::env::temp_dir().join(&name),
        ];
        let found = places.into_iter().find_map(|place| {
            let place = free(&place)?;
            // Made here, so that nobody else's folder is removed below.
            place.parent().map(fs::create_dir_all);
            fs::create_dir(&place).ok()?;
            let saved = self.move_to(&place).and_then(|()| {
                self.write_beginnings(state.curve, state.validations)?;
                self.save(state, observer)
            });
            if saved.is_err() {
                // What was made here for nothing; if this fails too, it stays.
                let _ = fs::remove_dir_all(&place);
            }
            saved.is_ok().then_some(place)
        });
        Rescued {
            folder: found,
            problem: problem.to_string().trim_end_matches('.').to_owned(),
        }
    }

    fn move_to(&mut self, place: &Path) -> Result<(), Error> {
        self.folder = RunFolder::create(place)?;
        self.log = None;
        self.is_failing = false;
        self.keep_best()
    }

    /// Makes the folder again where it has vanished.
    fn check_folder(&mut self, observer: &mut dyn Observer) -> Result<(), Error> {
        if self.folder.make_again()? {
            self.log = None;
            let best = match self.keep_best() {
                Ok(()) => "",
                Err(_) => " but the best model, which is lost",
            };
            observer.noted(&format!(
                "{}: the folder was gone. It is made again with all that is known{best}",
                self.folder.path().display()
            ));
        }
        Ok(())
    }

    /// Writes the best model into the folder of now, from the open file.
    fn keep_best(&mut self) -> Result<(), Error> {
        let path = self.folder.best();
        if let Some(file) = &mut self.best {
            let mut bytes = Vec::new();
            file.rewind()
                .and_then(|()| file.read_to_end(&mut bytes))
                .map_err(Error::reading(&path))?;
            write_bytes(&path, &bytes)?;
            self.best = File::open(&path).ok();
        }
        Ok(())
    }

    /// Writes what does not change with the steps, and the log as it should be.
    fn write_beginnings(
        &mut self,
        curve: &[StepRecord],
        validations: &[Validation],
    ) -> Result<(), Error> {
        write_bytes(&self.folder.config(), self.config.as_bytes())?;
        if !self.split.is_empty() {
            write_split(&self.split, &self.folder.path().join(SPLIT_FILE))?;
        }
        self.log = Some(Log::create(&self.folder.log(), curve, validations)?);
        Ok(())
    }
}

/// The place, or the first of its kind at which nothing stands.
fn free(place: &Path) -> Option<PathBuf> {
    let name = place.file_name()?.to_string_lossy().into_owned();
    (1..100)
        .map(|n| match n {
            1 => place.to_path_buf(),
            n => place.with_file_name(format!("{name}-{n}")),
        })
        .find(|place| place.symlink_metadata().is_err())
}
