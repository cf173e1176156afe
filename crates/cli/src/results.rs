//! Writing what a long computation made, so that no failure loses it.
//!
//! Comes in: one result after the other, the one that matters most first, each with
//! the path where it is wanted. Leaves: files, what was written where, and an error in
//! the end that names what was not. The folder of a result that vanished meanwhile is
//! made again; what cannot be replaced goes elsewhere rather than nowhere.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::bail;

use crate::console::Console;
use crate::output;

/// The results of one command.
pub(crate) struct Results {
    console: Console,
    /// Paths where nothing could be written.
    missing: Vec<PathBuf>,
    /// What went wrong, a sentence or two each.
    failures: Vec<String>,
    written: usize,
}

impl Results {
    /// Nothing written so far.
    pub(crate) fn new(console: Console) -> Self {
        Self {
            console,
            missing: Vec::new(),
            failures: Vec::new(),
            written: 0,
        }
    }

    /// Writes what took long to make, at `path` or, where that fails, elsewhere; gives
    /// the path where it is now.
    pub(crate) fn keep(
        &mut self,
        path: &Path,
        write: impl Fn(&Path) -> anyhow::Result<()>,
    ) -> PathBuf {
        let Err(error) = self.at(path, &write) else {
            return path.to_owned();
        };
        let elsewhere = places(path).into_iter().find(|other| {
            // Nothing that exists is replaced by a file in the wrong place.
            fs::symlink_metadata(other).is_err() && write(other).is_ok()
        });
        match elsewhere {
            Some(other) => {
                self.written += 1;
                self.failures.push(format!(
                    "{} It was written as {} instead.",
                    sentence(&error),
                    other.display()
                ));
                other
            }
            None => self.miss(path, &error),
        }
    }

    /// Writes what can be made again; where that fails, the other results go on.
    pub(crate) fn add(&mut self, path: &Path, write: impl Fn(&Path) -> anyhow::Result<()>) {
        if let Err(error) = self.at(path, &write) {
            self.miss(path, &error);
        }
    }

    /// Whether this path holds a result.
    pub(crate) fn holds(&self, path: &Path) -> bool {
        !self.missing.iter().any(|missing| missing == path)
    }

    /// Paths where a result was wanted and none is.
    pub(crate) fn missing(&self) -> &[PathBuf] {
        &self.missing
    }

    /// The error of what could not be written, said when all else is done.
    ///
    /// # Errors
    /// Where something could not.
    pub(crate) fn finish(self) -> anyhow::Result<()> {
        if self.failures.is_empty() {
            return Ok(());
        }
        let others = match self.written {
            0 => "",
            _ => "\nAll other results were written whole.",
        };
        bail!("{}{others}", self.failures.join("\n"))
    }

    /// Writes at `path`, the folder of which is made where it is gone.
    fn at(
        &mut self,
        path: &Path,
        write: &impl Fn(&Path) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let folder = output::parent(path);
        if !folder.exists() && fs::create_dir_all(folder).is_ok() {
            self.console.note(format_args!(
                "Note: the folder {} was gone; it was made again.",
                folder.display()
            ));
        }
        write(path)?;
        self.written += 1;
        Ok(())
    }

    fn miss(&mut self, path: &Path, error: &anyhow::Error) -> PathBuf {
        self.missing.push(path.to_owned());
        self.failures.push(sentence(error));
        path.to_owned()
    }
}

/// Where a result may go that cannot go to `path`: the current folder, the folder of
/// temporary files (perhaps on another disk), and beside `path` under a name that no
/// file system refuses for its length.
fn places(path: &Path) -> Vec<PathBuf> {
    let name = path.file_name().unwrap_or_default();
    let short = format!(
        "unet3d-{}{}",
        std::process::id(),
        unet3d_volume::name::ending(path)
    );
    let folders = [output::parent(path).to_owned(), ".".into(), env::temp_dir()];
    let mut out: Vec<PathBuf> = folders[1..].iter().map(|f| f.join(name)).collect();
    out.extend(folders.iter().map(|folder| folder.join(&short)));
    out
}

/// An error with its causes, as a sentence.
fn sentence(error: &anyhow::Error) -> String {
    let text = crate::told(error);
    format!("{}.", text.trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results() -> Results {
        Results::new(Console::new(true))
    }

    fn written(path: &Path) -> anyhow::Result<()> {
        output::write_file(path, b"learned")
    }

    fn read(path: &Path) -> String {
        fs::read_to_string(path).unwrap_or_else(|e| format!("{}: {e}", path.display()))
    }

    #[test]
    fn what_can_be_written_is_where_it_was_wanted() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut results = results();
        let path = folder.path().join("a.npy");
        assert_eq!(results.keep(&path, written), path);
        results.add(&folder.path().join("b.html"), written);
        assert_eq!(read(&path), "learned");
        assert!(results.missing().is_empty());
        assert!(results.finish().is_ok());
    }

    #[test]
    fn a_folder_that_vanished_is_made_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("gone/deeper/a.npy");
        let mut results = results();
        assert_eq!(results.keep(&path, written), path);
        assert_eq!(read(&path), "learned");
        assert!(results.finish().is_ok());
    }

    #[test]
    fn a_result_whose_folder_became_a_file_goes_elsewhere() {
        let folder = tempfile::tempdir().expect("a folder");
        let blocked = folder.path().join("results");
        fs::write(&blocked, b"a file").expect("written");
        // Of no other test and no other run.
        let name = format!("unet3d-test-{}.npy", std::process::id());
        let mut results = results();
        let path = results.keep(&blocked.join(&name), written);
        assert_ne!(path, blocked.join(&name));
        assert_eq!(read(&path), "learned");
        fs::remove_file(&path).expect("removed");
        let error = results.finish().expect_err("it is not where it was wanted");
        let text = error.to_string();
        for part in [blocked.join(&name), path] {
            assert!(text.contains(&part.display().to_string()), "{text}");
        }
        assert_eq!(read(&blocked), "a file");
    }

    #[test]
    fn a_name_that_is_too_long_gives_way_to_a_short_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let long = folder.path().join(format!("{}.nii.gz", "m".repeat(300)));
        let mut results = results();
        let path = results.keep(&long, written);
        assert_eq!(path.parent(), long.parent());
        assert!(path.to_string_lossy().ends_with(".nii.gz"), "{path:?}");
        assert_eq!(read(&path), "learned");
        assert!(results.finish().is_err());
    }

    #[test]
    fn what_exists_elsewhere_is_not_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let long = folder.path().join(format!("{}.npy", "m".repeat(300)));
        let first = results().keep(&long, written);
        // The short name is taken now, here and in the other folders alike.
        let second = results().keep(&long, |path| output::write_file(path, b"second"));
        assert_eq!(read(&first), "learned");
        assert_ne!(first, second);
        if second != long {
            fs::remove_file(&second).expect("removed");
        }
    }

    #[test]
    fn a_failed_side_output_stops_none_of_the_others() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("report.html")).expect("a folder in the place of a file");
        let mut results = results();
        results.add(&path("report.html"), written);
        results.add(&path("map.npy"), written);
        assert_eq!(read(&path("map.npy")), "learned");
        assert_eq!(results.missing(), [path("report.html")]);
        assert!(results.holds(&path("map.npy")) && !results.holds(&path("report.html")));
        let text = results.finish().expect_err("one failed").to_string();
        assert!(text.contains("report.html"), "{text}");
        assert!(!text.contains("map.npy"), "{text}");
    }
}
