//! Folders of files of one slice each: one volume, or an image a file?
//!
//! A microscope saves a stack as PNG or TIFF files in a folder; a data set of 2D
//! images is such a folder too. Who says which: the person (`--as`), `dataset.json` in
//! the folder or beside it, the model, or names that are those of nnU-Net's channels.
//! Where none does, the folder is taken for one volume, and that is told.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;
use unet3d_volume::{is_name_of_slice, is_name_of_volume, name};

use super::{Expected, FolderAs, entries};
use crate::console::counted;

/// Whether a folder may be one volume: it holds files that can be slices, and no other
/// volumes.
///
/// # Errors
/// Where it cannot be listed.
pub(crate) fn is_stack(folder: &Path) -> anyhow::Result<bool> {
    let (folders, files): (Vec<_>, Vec<_>) = entries(folder)?.into_iter().partition(|p| p.is_dir());
    let is_other = |file: &PathBuf| is_name_of_volume(file) && !is_name_of_slice(file);
    let holds_volumes = |folder: &PathBuf| {
        entries(folder).is_ok_and(|files| files.iter().any(|f| f.is_dir() || is_name_of_volume(f)))
    };
    if files.iter().any(is_other) || folders.iter().any(holds_volumes) {
        return Ok(false);
    }
    let slices = slices_of(&files);
    // A PNG is always one slice; of TIFF files, the first shows what they are.
    let pages = slices
        .iter()
        .find(|f| !name::ends_with(f.as_os_str(), ".png"));
    Ok(match pages {
        None => !slices.is_empty(),
        Some(first) => unet3d_volume::read(first).is_ok_and(|v| v.geometry.shape[0] == 1),
    })
}

/// The files of a folder that can be slices, sorted.
///
/// # Errors
/// Where it cannot be listed.
pub(super) fn slices(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    Ok(slices_of(&entries(folder)?))
}

fn slices_of(paths: &[PathBuf]) -> Vec<PathBuf> {
    let slices = paths.iter().filter(|p| is_name_of_slice(p) && p.is_file());
    slices.cloned().collect()
}

/// What the files of a folder are, and what a person should be told of that.
pub(super) fn decide(
    folder: &Path,
    files: &[PathBuf],
    expected: &Expected,
) -> (FolderAs, Option<String>) {
    if let Some(said) = expected.slices.or_else(|| said_beside(folder)) {
        return (said, None);
    }
    let (taken, why) = match expected.of_one_slice {
        Some(true) => (
            FolderAs::Volumes,
            ", as the model learned from images of one slice",
        ),
        Some(false) => (FolderAs::Slices, ""),
        None if are_channels(files, expected.channels) => {
            (FolderAs::Volumes, ", as their names are those of channels")
        }
        None => (FolderAs::Slices, ""),
    };
    let count = files.len();
    let path = folder.display();
    let note = match taken {
        FolderAs::Volumes => format!(
            "{path}: taken for images of one slice each{why}; --as slices takes its {} for one volume.",
            counted(count, "file")
        ),
        FolderAs::Slices => format!(
            "{path}: taken for one volume of {}; --as volumes takes each file for an image.",
            counted(count, "slice")
        ),
    };
    (taken, Some(note))
}

/// What `dataset.json` in a folder or beside it says of files that can be slices: they
/// are the cases. `None` without such a file.
pub(super) fn said_beside(folder: &Path) -> Option<FolderAs> {
    let own = folder.join("dataset.json");
    // By way of the real path, for the parent of "." is not in its text.
    let beside = folder.canonicalize().ok()?.parent()?.join("dataset.json");
    let description = [own, beside].into_iter().find(|path| path.is_file())?;
    let text = unet3d_volume::text::read(&description).ok()?.text;
    let json: Value = serde_json::from_str(&text).ok()?;
    let ending = json["file_ending"].as_str()?;
    // A name with that ending, for the dot may be left out.
    is_name_of_slice(Path::new(&format!("x.{}", ending.trim_start_matches('.'))))
        .then_some(FolderAs::Volumes)
}

/// Whether the names are those of several cases with a file a channel, as many as the
/// model has: no stack is numbered so.
fn are_channels(files: &[PathBuf], channels: Option<usize>) -> bool {
    let mut cases: BTreeMap<_, BTreeSet<usize>> = BTreeMap::new();
    for file in files {
        match name::channel(&name::stem(file)) {
            Some((case, number)) => cases.entry(case).or_default().insert(number),
            None => return false,
        };
    }
    channels.is_some_and(|n| cases.len() > 1 && cases.values().all(|c| c.iter().copied().eq(0..n)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decided(names: &[&str], expected: Expected) -> FolderAs {
        let files: Vec<_> = names.iter().map(PathBuf::from).collect();
        let (taken, note) = decide(Path::new("nowhere"), &files, &expected);
        assert_eq!(note.is_none(), expected.slices.is_some());
        taken
    }

    #[test]
    fn who_says_what_a_folder_is() {
        use FolderAs::{Slices, Volumes};
        let cases = ["v1_0000.png", "v2_0000.png"];
        let stack = ["v_0000.png", "v_0001.png"];
        let of = |channels, of_one_slice, slices| Expected {
            channels,
            slices,
            of_one_slice,
        };
        assert_eq!(decided(&stack, of(Some(1), None, None)), Slices);
        assert_eq!(decided(&cases, of(Some(1), None, None)), Volumes);
        assert_eq!(decided(&cases, of(None, None, None)), Slices);
        assert_eq!(decided(&cases, of(Some(1), Some(false), None)), Slices);
        assert_eq!(decided(&stack, of(Some(1), Some(true), None)), Volumes);
        assert_eq!(
            decided(&stack, of(Some(1), Some(true), Some(Slices))),
            Slices
        );
        assert_eq!(
            decided(&cases, of(Some(1), Some(false), Some(Volumes))),
            Volumes
        );
        assert_eq!(
            decided(&["z1.png", "z2.png"], of(Some(1), None, None)),
            Slices
        );
    }

    #[test]
    fn the_description_beside_a_folder_says_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let images = folder.path().join("imagesTs");
        std::fs::create_dir(&images).expect("made");
        let say =
            |at: &Path, json: &str| std::fs::write(at.join("dataset.json"), json).expect("written");
        for (json, expected) in [
            (r#"{"file_ending": ".png"}"#, Some(FolderAs::Volumes)),
            (
                "\u{feff}{\"file_ending\": \"TIF\"}",
                Some(FolderAs::Volumes),
            ),
            (r#"{"file_ending": ".nii.gz"}"#, None),
            ("{", None),
        ] {
            say(folder.path(), json);
            assert_eq!(said_beside(&images), expected, "{json}");
        }
        say(&images, r#"{"file_ending": ".png"}"#);
        assert_eq!(said_beside(&images), Some(FolderAs::Volumes));
    }

    #[test]
    fn folders_that_may_be_one_volume() {
        let folder = tempfile::tempdir().expect("a folder");
        let put = |name: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            std::fs::write(path, b"").expect("written");
        };
        let is = || is_stack(folder.path()).expect("listed");
        assert!(!is());
        [
            "z0.png",
            "z1.PNG",
            "Thumbs.db",
            "notes.txt",
            "old/notes.txt",
        ]
        .iter()
        .for_each(|n| put(n));
        assert!(is());
        put("other/a.png");
        assert!(!is(), "a folder of volumes below");
        std::fs::remove_dir_all(folder.path().join("other")).expect("removed");
        for other in ["a.nii", "a.npy", "a.hdr"] {
            put(other);
            assert!(!is(), "{other}");
            std::fs::remove_file(folder.path().join(other)).expect("removed");
        }
        assert!(is());
    }
}
