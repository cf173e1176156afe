//! What became of each image: told as it happens, as a table at the end, and as JSON.

use serde_json::{Value, json};

use super::plan::Job;
use crate::command::End;
use crate::console::{self, Console, counted, shown};

/// The images of one call.
#[derive(Default)]
pub(super) struct Outcomes {
    /// What `--json` says of those predicted.
    pub(super) files: Vec<Value>,
    failures: Vec<Value>,
    /// Image, result, what went wrong.
    rows: Vec<[String; 3]>,
}

impl Outcomes {
    /// An image whose results are written.
    pub(super) fn done(&mut self, job: &Job, about: Value) {
        self.files.push(about);
        let out = shown(&job.out);
        self.rows.push([job.item.source(), out, String::new()]);
    }

    /// An image that was refused, or whose results could not be written.
    pub(super) fn failed(&mut self, job: &Job, error: &anyhow::Error, console: Console) {
        let error = crate::told(error);
        let source = job.item.source();
        console.note(format_args!("error: {error}"));
        self.failures.push(json!({
            "image": source,
            "out": shown(&job.out),
            "error": error,
        }));
        // The table has the path already.
        let reason = error.strip_prefix(&format!("{source}: ")).unwrap_or(&error);
        let reason = reason.lines().next().unwrap_or_default().to_owned();
        self.rows.push([source, "none".into(), reason]);
    }

    /// What `--json` says of the images that failed.
    pub(super) fn failures(&self) -> &[Value] {
        &self.failures
    }

    /// The images that failed, and why, in short.
    pub(super) fn reasons(&self) -> Vec<(String, String)> {
        let failed = self.rows.iter().filter(|[_, _, why]| !why.is_empty());
        failed
            .map(|[image, _, why]| (image.clone(), why.clone()))
            .collect()
    }

    /// The table, where there were several images.
    ///
    /// # Errors
    /// Where standard output cannot be written.
    pub(super) fn tell(&self, console: Console) -> anyhow::Result<End> {
        if self.rows.len() > 1 {
            let mut rows = vec![["image", "result", ""].map(String::from).to_vec()];
            rows.extend(self.rows.iter().map(|row| row.to_vec()));
            console.result(format_args!("\n{}", console::table(&rows, "<<<")))?;
        }
        if self.failures.is_empty() {
            return Ok(End::Done);
        }
        console.result(format_args!(
            "\n{} predicted, {} not.",
            counted(self.files.len(), "image"),
            self.failures.len()
        ))?;
        Ok(End::FoundErrors)
    }
}
