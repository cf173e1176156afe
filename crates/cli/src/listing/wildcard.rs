//! Patterns such as `images/*.nii.gz`, where no shell has expanded them: on Windows,
//! or in quotation marks.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::bail;
use glob::{MatchOptions, glob_with};

/// The files that a path with `*`, `?` or `[...]` stands for, sorted. A path that
/// exists as it is, or has none of these, stands for itself.
///
/// # Errors
/// Where nothing matches, or the pattern cannot be read as one.
pub(crate) fn expand(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let itself = || Ok(vec![path.to_owned()]);
    // A name that is no text cannot be a pattern either.
    let Some(pattern) = path.to_str().filter(|text| text.contains(['*', '?', '['])) else {
        return itself();
    };
    if fs::symlink_metadata(path).is_ok() {
        return itself();
    }
    let options = MatchOptions {
        case_sensitive: !cfg!(windows),
        require_literal_separator: true,
        require_literal_leading_dot: true,
    };
    let found = match glob_with(pattern, options) {
        Ok(found) => found.collect::<Result<Vec<_>, _>>(),
        Err(error) => bail!(
            "{pattern}: no file has this name, and it is no pattern either: {error}. Check the spelling."
        ),
    };
    match found {
        Ok(paths) if paths.is_empty() => bail!(
            "{pattern}: matches nothing. Check the spelling: * stands for any characters of a name, ? for one, \
             [ab] for one of several."
        ),
        Ok(paths) => Ok(paths),
        Err(error) => bail!(
            "{}: cannot be listed: {}.",
            error.path().display(),
            error.error()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_names() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["b.nii", "a.nii", "a.tif", ".c.nii", "x[1].nii", "sub/d.nii"] {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            fs::write(path, b"").expect("written");
        }
        let names = |pattern: &str| -> anyhow::Result<Vec<String>> {
            let found = expand(&folder.path().join(pattern))?;
            let below = |p: &PathBuf| {
                p.strip_prefix(folder.path())
                    .unwrap_or(p)
                    .display()
                    .to_string()
            };
            Ok(found.iter().map(below).collect())
        };
        for (pattern, expected) in [
            ("*.nii", &["a.nii", "b.nii", "x[1].nii"][..]),
            ("?.nii", &["a.nii", "b.nii"]),
            ("[ac].*", &["a.nii", "a.tif"]),
            ("*/d.nii", &["sub/d.nii"]),
            // A name that is there stands for itself, and one without a pattern too.
            ("x[1].nii", &["x[1].nii"]),
            ("missing.nii", &["missing.nii"]),
        ] {
            assert_eq!(names(pattern).expect(pattern), expected, "{pattern}");
        }
        for nothing in ["*.npy", "y[1].nii", "[a.nii", "no/*.nii"] {
            let error = names(nothing).expect_err(nothing).to_string();
            assert!(error.contains(nothing), "{error}");
        }
    }
}
