//! The log of a run: one JSON line a step and a validation.
//!
//! Lines hold nothing that depends on the clock, and on resuming the lines
//! after the checkpoint are dropped, so the log of a run that was killed is that
//! of one that was not.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::folder::write_atomically;
use crate::{Error, StepRecord, Validation};

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Line {
    /// A training step.
    Step(StepRecord),
    /// A validation.
    Validation(Validation),
}

impl Line {
    /// Whether a checkpoint of so many steps and these validations knows of it.
    fn is_known(&self, steps: u64, validations: &[Validation]) -> bool {
        match self {
            Self::Step(record) => record.step <= steps,
            // One at the checkpoint's own step may have come after it, and is
            // then done again.
            Self::Validation(line) => validations.iter().any(|v| v.step == line.step),
        }
    }
}

/// The steps and validations of a log.
///
/// # Errors
/// When the file cannot be read. A torn last line is left out.
pub fn read(path: &Path) -> Result<Vec<Line>, Error> {
    let text = std::fs::read_to_string(path).map_err(Error::reading(path))?;
    let lines: Vec<&str> = text.lines().collect();
    let mut parsed = Vec::with_capacity(lines.len());
    for (i, line) in lines.iter().enumerate() {
        match serde_json::from_str(line) {
            Ok(line) => parsed.push(line),
            Err(_) if i + 1 == lines.len() => {}
            Err(e) => {
                let problem = format!("line {} is not a line of a log: {e}", i + 1);
                return Err(Error::file(path, problem));
            }
        }
    }
    Ok(parsed)
}

/// A log being written.
pub(crate) struct Log {
    path: PathBuf,
    file: BufWriter<File>,
}

impl Log {
    /// Opens a log, keeping the lines of `steps` steps and of `validations`.
    pub(crate) fn open(
        path: &Path,
        steps: u64,
        validations: &[Validation],
    ) -> Result<(Self, Vec<Line>), Error> {
        let kept: Vec<Line> = match path.exists() {
            true => read(path)?,
            false => Vec::new(),
        };
        let kept = kept.into_iter().filter(|l| l.is_known(steps, validations));
        let kept: Vec<Line> = kept.collect();
        let mut text = Vec::new();
        for line in &kept {
            text.extend(json(line)?);
        }
        write_atomically(path, &text)?;
        let file = OpenOptions::new()
            .append(true)
            .open(path)
            .map_err(Error::writing(path))?;
        let log = Self {
            path: path.to_path_buf(),
            file: BufWriter::new(file),
        };
        Ok((log, kept))
    }

    /// Adds a line. It reaches the file at once, the disk at [`sync`](Self::sync).
    pub(crate) fn append(&mut self, line: &Line) -> Result<(), Error> {
        let text = json(line)?;
        self.file
            .write_all(&text)
            .and_then(|()| self.file.flush())
            .map_err(Error::writing(&self.path))
    }

    /// Has all lines on the disk.
    pub(crate) fn sync(&mut self) -> Result<(), Error> {
        let synced = self
            .file
            .flush()
            .and_then(|()| self.file.get_ref().sync_all());
        synced.map_err(Error::writing(&self.path))
    }
}

fn json(line: &Line) -> Result<Vec<u8>, Error> {
    let mut text = serde_json::to_vec(line).map_err(|e| Error::Data(format!("log: {e}")))?;
    text.push(b'\n');
    Ok(text)
}
