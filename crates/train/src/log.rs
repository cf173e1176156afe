//! The log of a run: one JSON line a step and a validation.
//!
//! Lines hold nothing that depends on the clock, and on resuming the lines
//! after the checkpoint are dropped, so the log of a run that was killed is that
//! of one that was not. A line that cannot be read (torn by a kill, or by a disk)
//! costs nothing but itself: the checkpoint alone decides whether a run goes on.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use unet3d_volume::atomic::write_bytes;
use unet3d_volume::read_file;

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

/// What a log holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lines {
    /// The steps and validations, in the order of the file.
    pub lines: Vec<Line>,
    /// How many lines could not be read, a torn last one left out.
    pub unreadable: usize,
}

/// The steps and validations of a log.
///
/// # Errors
/// When the file cannot be read. Lines that cannot are counted.
pub fn read(path: &Path) -> Result<Lines, Error> {
    let bytes = read_file(path).map_err(Error::reading(path))?;
    let mut found = Lines::default();
    let mut lines = bytes.split(|byte| *byte == b'\n').peekable();
    while let Some(line) = lines.next() {
        match serde_json::from_slice(line) {
            Ok(line) => found.lines.push(line),
            // What a kill leaves, or the end of the last line.
            Err(_) if lines.peek().is_none() => {}
            Err(_) => found.unreadable += 1,
        }
    }
    Ok(found)
}

/// A log being written.
pub(crate) struct Log {
    path: PathBuf,
    file: BufWriter<File>,
}

/// What there was of a log when its run was resumed.
pub(crate) struct Found {
    /// The steps before the checkpoint, as far as they could be read.
    pub(crate) curve: Vec<StepRecord>,
    /// What a person should know about it.
    pub(crate) note: Option<String>,
}

impl Found {
    /// Reads a log for a run that goes on after `steps` steps.
    pub(crate) fn read(path: &Path, steps: u64) -> Result<Self, Error> {
        let Lines { lines, unreadable } = match path.exists() {
            true => read(path)?,
            false => Lines::default(),
        };
        // Sorted, each step once: a repaired disk may give a block twice.
        let mut records = BTreeMap::new();
        for line in lines {
            if let Line::Step(record) = line
                && (1..=steps).contains(&record.step)
            {
                records.entry(record.step).or_insert(record);
            }
        }
        let curve: Vec<StepRecord> = records.into_values().collect();
        let lost = steps - curve.len() as u64;
        let lines = match unreadable {
            1 => "a line cannot be read and is left out".to_owned(),
            n => format!("{n} lines cannot be read and are left out"),
        };
        let steps = format!("{lost} of {steps} steps are missing, so the curve has a gap");
        let what = match (unreadable > 0, lost > 0) {
            (false, false) => None,
            (true, false) => Some(lines),
            (false, true) => Some(steps),
            (true, true) => Some(format!("{lines}; {steps}")),
        };
        let note = what.map(|what| {
            format!(
                "{}: {what}. The checkpoint is sound and the run goes on from it",
                path.display()
            )
        });
        Ok(Self { curve, note })
    }
}

impl Log {
    /// A log that holds what is known so far, in place of what stands there.
    pub(crate) fn create(
        path: &Path,
        curve: &[StepRecord],
        validations: &[Validation],
    ) -> Result<Self, Error> {
        write_bytes(path, &text(curve, validations)?)?;
        let file = OpenOptions::new().append(true).open(path);
        Ok(Self {
            path: path.to_path_buf(),
            file: BufWriter::new(file.map_err(Error::writing(path))?),
        })
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

/// All lines as the run wrote them: a validation follows the step that it is of.
fn text(curve: &[StepRecord], validations: &[Validation]) -> Result<Vec<u8>, Error> {
    let mut text = Vec::new();
    let mut validations = validations.iter().peekable();
    for record in curve {
        while let Some(validation) = validations.next_if(|v| v.step < record.step) {
            text.extend(json(&Line::Validation(validation.clone()))?);
        }
        text.extend(json(&Line::Step(record.clone()))?);
    }
    for validation in validations {
        text.extend(json(&Line::Validation(validation.clone()))?);
    }
    Ok(text)
}

fn json(line: &Line) -> Result<Vec<u8>, Error> {
    let mut text = serde_json::to_vec(line).map_err(|e| Error::Data(format!("log: {e}")))?;
    text.push(b'\n');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(step: u64) -> StepRecord {
        StepRecord {
            step,
            loss: crate::LossValue::default(),
            rate: 0.5,
            gradient_norm: 0.25,
        }
    }

    fn validation(step: u64) -> Validation {
        Validation {
            step,
            mean_iou: Some(0.5),
            mean_dice: None,
            iou: vec![None],
            dice: vec![Some(0.5)],
            voxels: 9,
            best: true,
        }
    }

    /// Steps 1 to 9 with validations after 3, 6 and 9.
    fn whole() -> (Vec<StepRecord>, Vec<Validation>) {
        (
            (1..10).map(step).collect(),
            [3, 6, 9].map(validation).to_vec(),
        )
    }

    #[test]
    fn what_is_known_is_written_as_it_came() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl");
        let (curve, validations) = whole();
        let mut log = Log::create(&path, &[], &[]).unwrap();
        for record in &curve {
            log.append(&Line::Step(record.clone())).unwrap();
            if let Some(v) = validations.iter().find(|v| v.step == record.step) {
                log.append(&Line::Validation(v.clone())).unwrap();
            }
        }
        log.sync().unwrap();
        let written = std::fs::read(&path).unwrap();
        Log::create(&path, &curve, &validations).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), written);
        let lines = read(&path).unwrap();
        assert_eq!((lines.lines.len(), lines.unreadable), (12, 0));
    }

    #[test]
    fn bad_lines_cost_only_themselves() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl");
        let (curve, validations) = whole();
        Log::create(&path, &curve, &validations).unwrap();
        let sound = std::fs::read(&path).unwrap();
        let lines: Vec<&[u8]> = sound.split_inclusive(|b| *b == b'\n').collect();
        let long = vec![b'x'; 1 << 20];
        let deep = [vec![b'['; 100_000], b"\n".to_vec()].concat();
        let garbage: [&[u8]; 7] = [
            b"garbage\n",
            b"\n",
            b"\xff\xfe\0\n",
            &[0; 4096],
            b"{\"kind\":\"step\",\"step\":-1}\n",
            &long,
            &deep,
        ];
        for (i, bad) in garbage.iter().enumerate() {
            for at in [0, 1, 6, lines.len() - 1] {
                let mut damaged = lines.clone();
                damaged[at] = bad;
                std::fs::write(&path, damaged.concat()).unwrap();
                let found = Found::read(&path, 9).unwrap();
                assert!(found.curve.len() >= 7, "{i} at {at}: {}", found.curve.len());
                assert!(found.curve.is_sorted_by_key(|r| r.step));
                assert!(found.note.is_some() || found.curve.len() == 9);
            }
        }
        // Lines twice, in another order, of steps that never were.
        let mut mixed: Vec<u8> = lines.iter().rev().copied().flatten().copied().collect();
        mixed.extend(&sound);
        for line in [step(0), step(10), step(u64::MAX)] {
            mixed.extend(json(&Line::Step(line)).unwrap());
        }
        std::fs::write(&path, mixed).unwrap();
        let found = Found::read(&path, 9).unwrap();
        assert_eq!((found.curve, found.note), (curve.clone(), None));
        // None at all.
        std::fs::remove_file(&path).unwrap();
        let found = Found::read(&path, 9).unwrap();
        assert!(found.curve.is_empty() && found.note.unwrap().contains("9 of 9"));
        assert_eq!(Found::read(&path, 0).unwrap().note, None);
    }
}
