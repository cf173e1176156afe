//! Where results go: checked before the work, written whole or not at all.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use tempfile_name::temporary_beside;

/// Refuses a path that a volume cannot be written to: an unknown extension, a
/// folder that cannot be written, a folder of other things, or one of the inputs.
///
/// # Errors
/// Says which.
pub(crate) fn check_volume(path: &Path, inputs: &[&Path]) -> anyhow::Result<()> {
    unet3d_volume::check_name(path)?;
    check_place(path, inputs)?;
    Ok(unet3d_volume::check_target(path)?)
}

/// Refuses a path that a file cannot be written to.
///
/// # Errors
/// Where it is one of the inputs, a folder stands there, or the folder it
/// would be in cannot be written.
pub(crate) fn check_file(path: &Path, inputs: &[&Path]) -> anyhow::Result<()> {
    if path.is_dir() || path.to_string_lossy().ends_with(std::path::is_separator) {
        bail!(
            "{}: is a folder, a file is to be written. Give the name of a file.",
            path.display()
        );
    }
    check_place(path, inputs)
}

/// Refuses results of which two would be written to one path.
///
/// # Errors
/// Names the flags.
pub(crate) fn check_distinct(outputs: &[(&str, &Path)]) -> anyhow::Result<()> {
    for (i, (first, a)) in outputs.iter().enumerate() {
        if let Some((second, _)) = outputs[i + 1..].iter().find(|(_, b)| same(a, b)) {
            bail!(
                "{}: is both {first} and {second}, one would replace the other. Give two names.",
                a.display()
            );
        }
    }
    Ok(())
}

/// Refuses an input as output, and a folder that cannot be written.
fn check_place(path: &Path, inputs: &[&Path]) -> anyhow::Result<()> {
    for input in inputs {
        if same(path, input) {
            bail!(
                "{}: is both input and output, the input would be lost. Choose another name for the output.",
                path.display()
            );
        }
    }
    check_folder(parent(path)).with_context(|| format!("{}: cannot be written", path.display()))
}

/// Makes a folder (and those above it) and proves that files can be written in it.
///
/// # Errors
/// Where either is refused.
pub(crate) fn check_folder(folder: &Path) -> anyhow::Result<()> {
    let advice = "Check the spelling and the permissions, or choose another folder";
    fs::create_dir_all(folder)
        .with_context(|| format!("{}: the folder cannot be made. {advice}", folder.display()))?;
    let probe = temporary_beside(&folder.join("probe"));
    let tried = fs::write(&probe, b"x");
    // The probe says what the operating system thinks; removing it may fail
    // only where writing did.
    let _ = fs::remove_file(&probe);
    tried.with_context(|| {
        format!(
            "{}: no file can be written there. {advice}",
            folder.display()
        )
    })
}

/// Writes a file under a temporary name and renames it when it is whole.
///
/// # Errors
/// Where the disk refuses; the temporary file is removed then.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let temporary = temporary_beside(path);
    let written = fs::File::create(&temporary)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&temporary, path));
    written.map_err(|e| {
        let _ = fs::remove_file(&temporary);
        let advice = match e.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                "The disk is full: free some space or choose another folder"
            }
            _ => "Check the folder and its permissions",
        };
        anyhow::Error::new(e).context(format!("{}: cannot be written. {advice}", path.display()))
    })
}

/// `brain.nii.gz` with the ending `.html` becomes `brain.html`.
pub(crate) fn beside(path: &Path, ending: &str) -> PathBuf {
    path.with_file_name(format!("{}{ending}", stem(path)))
}

/// The ending that [`stem`] leaves out, with its dot; empty for a folder of slices.
pub(crate) fn ending(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name[stem(path).len()..].to_owned()
}

/// The name of a volume without its ending, where `.nii.gz` and `.ome.tif` are
/// one ending each.
pub(crate) fn stem(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let lower = name.to_lowercase();
    for ending in [".nii.gz", ".ome.tif", ".ome.tiff"] {
        if lower.ends_with(ending) {
            return name[..name.len() - ending.len()].to_owned();
        }
    }
    match name.rsplit_once('.') {
        Some((stem, ending)) if !stem.is_empty() && ending.chars().any(char::is_alphabetic) => {
            stem.to_owned()
        }
        _ => name.into_owned(),
    }
}

/// The folder of a path: the current one where none is named.
pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Whether two paths are one place, also where nothing stands there yet.
fn same(a: &Path, b: &Path) -> bool {
    let place = |path: &Path| {
        path.canonicalize().or_else(|_| {
            let name = path.file_name().unwrap_or_default();
            Ok::<_, io::Error>(parent(path).canonicalize()?.join(name))
        })
    };
    a == b || matches!((place(a), place(b)), (Ok(a), Ok(b)) if a == b)
}

mod tempfile_name {
    use std::path::{Path, PathBuf};

    /// A hidden name in the same folder, so that renaming stays on one disk; the
    /// process number keeps two programs apart.
    pub(super) fn temporary_beside(path: &Path) -> PathBuf {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        path.with_file_name(format!(".{name}.{}.tmp", std::process::id()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stems() {
        for (name, expected) in [
            ("a/brain.nii.gz", "brain"),
            ("x.ome.tif", "x"),
            ("x.tif", "x"),
            ("slices", "slices"),
            ("a.1", "a.1"),
            (".hidden", ".hidden"),
        ] {
            assert_eq!(stem(Path::new(name)), expected, "{name}");
        }
        assert_eq!(
            beside(Path::new("a/b.nii.gz"), ".html"),
            Path::new("a/b.html")
        );
    }
}
