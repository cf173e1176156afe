//! What can go wrong between a data set and a model, said so that the person
//! who caused it can mend it.

use std::path::{Path, PathBuf};

/// Anything that training or filling refuses.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder of a data set or a run.
    #[error("{}: {problem}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Field, value found, rule, likely cause.
        problem: String,
    },
    /// A setting.
    #[error("{field} is {found}, {rule}")]
    Config {
        /// Name of the setting as in a configuration file.
        field: &'static str,
        /// Its value.
        found: String,
        /// What it must be, and what to do.
        rule: String,
    },
    /// The data do not allow what was asked.
    #[error("{0}")]
    Data(String),
    /// Reading or writing failed.
    #[error("{}: {source}. {advice}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
        /// What to do.
        advice: &'static str,
    },
}

impl Error {
    pub(crate) fn file(path: &Path, problem: impl Into<String>) -> Self {
        Self::File {
            path: path.to_path_buf(),
            problem: problem.into(),
        }
    }

    pub(crate) fn config(
        field: &'static str,
        found: impl ToString,
        rule: impl Into<String>,
    ) -> Self {
        Self::Config {
            field,
            found: found.to_string(),
            rule: rule.into(),
        }
    }

    pub(crate) fn reading(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        Self::io(path, "Does it exist, and may you read it?")
    }

    pub(crate) fn writing(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        Self::io(
            path,
            "Does the folder exist, may you write there, is the disk full?",
        )
    }

    fn io(path: &Path, advice: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io {
            path,
            source,
            advice,
        }
    }
}
