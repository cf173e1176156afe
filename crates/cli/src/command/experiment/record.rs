//! A finished run as a file: what was asked, what came of it.
//!
//! `runs/NAME.json` is written whole when a run ends, and read instead of running
//! it again. It holds the configuration; one that differs is refused, so that
//! numbers made under different settings never stand in one table.

use std::fs;
use std::path::Path;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use unet3d_metrics::{Report, Scores};
use unet3d_volume::read_file;

use super::method::Method;
use crate::output;

/// One finished run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Record {
    /// Everything that decides what the run computes.
    pub(super) configuration: Value,
    /// Name of the part.
    pub(super) part: String,
    /// The set-up, where the experiment has several.
    pub(super) setup: Option<String>,
    /// What was trained, if anything.
    pub(super) method: Method,
    /// Seed of a network.
    pub(super) seed: Option<u64>,
    /// The program that made it.
    pub(super) program: String,
    /// Instruction set and number of threads.
    pub(super) machine: String,
    /// Training steps.
    pub(super) iterations: u64,
    /// Duration of the training, where it is known.
    pub(super) training_s: Option<f64>,
    /// Duration of the predictions that were scored.
    pub(super) prediction_s: f64,
    /// Mean loss of the last tenth of the steps.
    pub(super) last_loss: Option<f64>,
    /// Share of the training volumes' voxels that were annotated.
    pub(super) annotated_share: f64,
    /// Scores of the part.
    pub(super) scores: Kept,
    /// Scores of each case of it.
    pub(super) cases: Vec<KeptCase>,
}

/// Scores, as far as tables need them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Kept {
    /// Over the classes that occur.
    pub(super) mean_iou: Option<f64>,
    /// Over the classes that occur.
    pub(super) mean_dice: Option<f64>,
    /// Voxels compared.
    pub(super) voxels: u64,
    /// In order of index.
    pub(super) classes: Vec<KeptClass>,
}

/// Scores of a class.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct KeptClass {
    /// Value in label files.
    pub(super) value: i64,
    /// Name for people.
    pub(super) name: String,
    /// `None` where it occurs in neither truth nor prediction.
    pub(super) iou: Option<f64>,
    /// The same.
    pub(super) dice: Option<f64>,
    /// Voxels of the class in the truth.
    pub(super) voxels: u64,
}

/// Scores of a case.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct KeptCase {
    /// Its name.
    pub(super) name: String,
    /// Its scores.
    pub(super) scores: Kept,
}

impl Record {
    /// Reads the run at `path`, `None` where there is none.
    ///
    /// # Errors
    /// Where it cannot be read, or was made under another configuration.
    pub(super) fn read(path: &Path, configuration: &Value) -> anyhow::Result<Option<Self>> {
        let bytes = match read_file(path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            read => read.with_context(|| format!("{}: cannot be read", path.display()))?,
        };
        let record: Self = serde_json::from_slice(&bytes).with_context(|| {
            format!(
                "{}: is no finished run. Remove it to have the run made again",
                path.display()
            )
        })?;
        same(path, &record.configuration, configuration)?;
        Ok(Some(record))
    }

    /// Writes it, whole or not at all.
    ///
    /// # Errors
    /// Where the disk refuses.
    pub(super) fn write(&self, path: &Path) -> anyhow::Result<()> {
        output::write_file(path, &serde_json::to_vec_pretty(self)?)
    }

    /// Mean IoU of the classes but the background; `None` where that is not known
    /// or no other class occurs.
    pub(super) fn foreground_iou(&self, background: Option<i64>) -> Option<f64> {
        let background = background?;
        let others = self.scores.classes.iter();
        let others = others.filter(|class| class.value != background);
        mean(others.filter_map(|class| class.iou))
    }
}

impl Kept {
    /// What a table needs of scores.
    pub(super) fn of(scores: &Scores) -> Self {
        let classes = scores.classes.iter().map(|c| KeptClass {
            value: c.value,
            name: c.name.clone(),
            iou: c.iou,
            dice: c.dice,
            voxels: c.voxels,
        });
        Self {
            mean_iou: scores.mean_iou,
            mean_dice: scores.mean_dice,
            voxels: scores.voxels,
            classes: classes.collect(),
        }
    }

    /// Of each case of a report.
    pub(super) fn cases(report: &Report) -> Vec<KeptCase> {
        let case = |case: &unet3d_metrics::CaseScores| KeptCase {
            name: case.name.clone(),
            scores: Self::of(&case.scores),
        };
        report.cases.iter().map(case).collect()
    }
}

/// The mean, `None` of nothing.
pub(super) fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, n) = values.fold((0.0, 0u32), |(sum, n), v| (sum + v, n + 1));
    (n > 0).then(|| sum / f64::from(n))
}

/// Name of the file that says which experiment a folder holds.
pub(super) const ABOUT: &str = "experiment.json";

/// Refuses a folder that holds another experiment than this one, or files under the
/// names of its `results` that no experiment made.
///
/// # Errors
/// Where its description cannot be read, or names another protocol or other data; where
/// there is none, but a result.
pub(super) fn check_folder(folder: &Path, about: &Value, results: &[&str]) -> anyhow::Result<()> {
    let path = &folder.join(ABOUT);
    let bytes = match read_file(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            let stands = |name: &&&str| fs::symlink_metadata(folder.join(name)).is_ok();
            if let Some(name) = results.iter().find(stands) {
                bail!(
                    "{}: holds {name}, but not of which experiment ({ABOUT} is missing), and it would be replaced. \
                     Give another folder (-o), or move the file elsewhere.",
                    folder.display()
                );
            }
            return Ok(());
        }
        read => read.with_context(|| format!("{}: cannot be read", path.display()))?,
    };
    let then: Value = serde_json::from_slice(&bytes).with_context(|| {
        format!(
            "{}: does not describe an experiment. Give another folder (-o)",
            path.display()
        )
    })?;
    same(path, &then, about)
}

/// Refuses a configuration that is not the one a file was made under.
fn same(path: &Path, then: &Value, now: &Value) -> anyhow::Result<()> {
    let Some(Difference { field, then, now }) = difference("", then, now) else {
        return Ok(());
    };
    let what = match field.as_str() {
        "data" | "about.data" => "from other volumes or labels than those given now".into(),
        field => format!("with {field} = {then}, now it is {now}"),
    };
    bail!(
        "{}: was made {what}. Results under different settings are not mixed: \
         give another folder (-o), or the settings of before.",
        path.display()
    )
}

/// A setting that two configurations have different values of.
struct Difference {
    field: String,
    then: Value,
    now: Value,
}

/// The first of them, by its path in the configuration.
fn difference(path: &str, then: &Value, now: &Value) -> Option<Difference> {
    if then == now {
        return None;
    }
    if let (Value::Object(a), Value::Object(b)) = (then, now) {
        let added = b.keys().filter(|key| !a.contains_key(*key));
        return a.keys().chain(added).find_map(|key| {
            let path = match path {
                "" => key.clone(),
                path => format!("{path}.{key}"),
            };
            let of = |map: &serde_json::Map<_, _>| map.get(key).cloned().unwrap_or_default();
            difference(&path, &of(a), &of(b))
        });
    }
    Some(Difference {
        field: path.to_owned(),
        then: then.clone(),
        now: now.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_setting_that_differs_is_named() {
        let then = json!({ "a": 1, "train": { "batch": 1, "budget": { "iterations": 5 } } });
        let mut now = then.clone();
        assert!(difference("", &then, &now).is_none());
        now["train"]["budget"]["iterations"] = json!(6);
        let found = difference("", &then, &now).unwrap();
        assert_eq!(found.field, "train.budget.iterations");
        assert_eq!((found.then, found.now), (json!(5), json!(6)));
        let more = json!({ "a": 1, "train": then["train"], "b": 2 });
        assert_eq!(difference("", &then, &more).unwrap().field, "b");
    }
}
