//! Where results go: checked before the work, written whole or not at all.
//!
//! Everything that would keep a result from being written is found before hours are
//! spent on it: an ending of no format, a folder that is not there or may not be
//! written, a name that the file system does not take, a file that would be replaced,
//! a volume that the format cannot hold, a disk that is too full ([`room`]).

mod room;

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use unet3d_volume::{atomic, name};

pub(crate) use room::{Planned, check_planned};

/// Refuses a path that a volume cannot be written to: an unknown extension, a
/// folder that cannot be written, a folder of other things, one of the inputs, or,
/// unless `replace` says so, something that exists.
///
/// # Errors
/// Says which.
pub(crate) fn check_volume(path: &Path, inputs: &[&Path], replace: bool) -> anyhow::Result<()> {
    unet3d_volume::check_name(path)?;
    let kind = match unet3d_volume::is_folder_to_write(path) {
        true => Kind::Folder,
        false => Kind::File,
    };
    check_inputs(path, inputs)?;
    atomic::check_target(path)?;
    check_folder(parent(path)).with_context(|| cannot(path))?;
    unet3d_volume::check_target(path)?;
    check_new(path, replace)?;
    probe(path, kind).with_context(|| cannot(path))
}

/// Refuses a path that a file cannot be written to.
///
/// # Errors
/// Where it is one of the inputs, a folder stands there, the folder it would be in
/// cannot be written, or, unless `replace` says so, a file exists there.
pub(crate) fn check_file(path: &Path, inputs: &[&Path], replace: bool) -> anyhow::Result<()> {
    if path.is_dir() || path.to_string_lossy().ends_with(std::path::is_separator) {
        bail!(
            "{}: is a folder, a file is to be written. Give the name of a file.",
            path.display()
        );
    }
    check_inputs(path, inputs)?;
    atomic::check_target(path)?;
    check_folder(parent(path)).with_context(|| cannot(path))?;
    check_new(path, replace)?;
    probe(path, Kind::File).with_context(|| cannot(path))
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

/// Refuses an input as output.
fn check_inputs(path: &Path, inputs: &[&Path]) -> anyhow::Result<()> {
    match inputs.iter().any(|input| same(path, input)) {
        false => Ok(()),
        true => bail!(
            "{}: is both input and output, the input would be lost. Choose another name for the output.",
            path.display()
        ),
    }
}

/// Refuses to replace anything, unless asked to. An empty folder is nothing.
fn check_new(path: &Path, replace: bool) -> anyhow::Result<()> {
    // What a link points to may be missing; the link itself is there.
    let Ok(found) = fs::symlink_metadata(path) else {
        return Ok(());
    };
    let is_empty = || fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none());
    if replace || found.is_dir() && is_empty() {
        return Ok(());
    }
    bail!(
        "{}: is there already and would be replaced. Give another name, or allow it with --overwrite.",
        path.display()
    )
}

/// Makes a folder (and those above it) and proves that files can be written in it.
///
/// # Errors
/// Where either is refused.
pub(crate) fn check_folder(folder: &Path) -> anyhow::Result<()> {
    let advice = "Check the spelling and the permissions, or choose another folder";
    fs::create_dir_all(folder)
        .with_context(|| format!("{}: the folder cannot be made. {advice}", folder.display()))?;
    let tried = atomic::check_folder(folder).map_err(|error| error.source);
    tried.with_context(|| {
        format!(
            "{}: no file can be written there. {advice}",
            folder.display()
        )
    })
}

#[derive(Clone, Copy)]
enum Kind {
    File,
    Folder,
}

/// Makes something of this very name and removes it again: no rule about lengths and
/// characters of names holds on every file system.
fn probe(path: &Path, kind: Kind) -> anyhow::Result<()> {
    if fs::symlink_metadata(path).is_ok() {
        return Ok(());
    }
    let tried = match kind {
        Kind::File => OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(path)
            .and_then(|file| {
                drop(file);
                fs::remove_file(path)
            }),
        Kind::Folder => fs::create_dir(path).and_then(|()| fs::remove_dir(path)),
    };
    tried.map_err(|error| {
        let advice = match error.kind() {
            io::ErrorKind::InvalidFilename => format!(
                "Its name has {} bytes, more than this disk takes (mostly 255). Give a shorter name",
                path.file_name().unwrap_or_default().len()
            ),
            _ => "Give another name, or check the folder and its permissions".to_owned(),
        };
        anyhow::Error::new(error).context(advice)
    })
}

fn cannot(path: &Path) -> String {
    format!("{}: cannot be written", path.display())
}

/// Writes a file, whole or not at all.
///
/// # Errors
/// Where the disk refuses.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    Ok(atomic::write_bytes(path, bytes)?)
}

/// `brain.nii.gz` with the ending `.html` becomes `brain.html`.
pub(crate) fn beside(path: &Path, ending: &str) -> PathBuf {
    name::with_ending(path, ending)
}

/// The folder of a path: the current one where none is named.
pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// The path, or where something stands there the same with the first free number:
/// `report.html`, `report-2.html`.
pub(crate) fn free(path: &Path) -> PathBuf {
    let ending = name::ending(path);
    let numbered = (2u32..).map(|n| name::with_ending(path, &format!("-{n}{ending}")));
    let mut candidates = std::iter::once(path.to_owned()).chain(numbered);
    let found = candidates.find(|path| fs::symlink_metadata(path).is_err());
    found.unwrap_or_else(|| path.to_owned())
}

/// Whether two paths are one place, also where nothing stands there yet.
pub(crate) fn same(a: &Path, b: &Path) -> bool {
    let place = |path: &Path| {
        path.canonicalize().or_else(|_| {
            let name = path.file_name().unwrap_or_default();
            Ok::<_, io::Error>(parent(path).canonicalize()?.join(name))
        })
    };
    a == b || matches!((place(a), place(b)), (Ok(a), Ok(b)) if a == b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_exists_is_replaced_unless_asked() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        fs::write(path("a.nii"), b"old").expect("written");
        fs::create_dir(path("empty")).expect("made");
        fs::create_dir(path("slices")).expect("made");
        fs::write(path("slices/z0000.png"), b"old").expect("written");
        for name in ["a.nii", "slices", "slices/"] {
            let error = check_volume(&path(name), &[], false).expect_err(name);
            assert!(error.to_string().contains("--overwrite"), "{error}");
            check_volume(&path(name), &[], true).expect(name);
        }
        check_file(&path("a.nii"), &[], false).expect_err("it exists");
        check_file(&path("a.nii"), &[], true).expect("allowed");
        for name in ["b.nii", "empty", "new/", "deeper/c.tif", "d.png"] {
            check_volume(&path(name), &[], false).expect(name);
        }
        assert_eq!(fs::read(path("a.nii")).expect("there"), b"old");
        assert!(!path("b.nii").exists() && !path("new").exists());
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_nothing_is_something() {
        let folder = tempfile::tempdir().expect("a folder");
        let link = folder.path().join("a.nii");
        std::os::unix::fs::symlink("nowhere", &link).expect("linked");
        check_volume(&link, &[], false).expect_err("it exists");
    }

    #[test]
    fn names_that_no_disk_takes_are_refused_before() {
        let folder = tempfile::tempdir().expect("a folder");
        let name = |bytes: usize, ending: &str| {
            let stem = "n".repeat(bytes - ending.len());
            folder.path().join(stem + ending)
        };
        let told = |error: anyhow::Error| crate::told(&error);
        let error = told(check_volume(&name(256, ".nii.gz"), &[], false).expect_err("too long"));
        assert!(error.contains("256 bytes"), "{error}");
        let error = told(check_file(&name(256, ".html"), &[], true).expect_err("too long"));
        assert!(error.contains("256 bytes"), "{error}");
        for bytes in [199, 200, 201, 230, 255] {
            let path = name(bytes, ".html");
            check_file(&path, &[], false).expect("legal");
            write_file(&path, b"x").expect("written");
            assert_eq!(fs::read(&path).expect("read"), b"x", "{bytes}");
        }
    }
}
