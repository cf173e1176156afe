//! Whether results fit: into their format, and onto the disk.
//!
//! How large a compressed file becomes is known only when it is too late, so only what
//! cannot fit by any means is refused.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use anyhow::bail;
use unet3d_volume::{NumberType, name};

use super::parent;
use crate::console;

/// A volume that will be written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Planned<'a> {
    pub(crate) path: &'a Path,
    /// Voxels along `[z, y, x]`.
    pub(crate) shape: [usize; 3],
    pub(crate) channels: usize,
    pub(crate) number_type: NumberType,
}

/// The most that label images shrink by compression: thin structures on background
/// reach a few hundred.
const LABELS_SHRINK: u64 = 500;

/// The most that images of probabilities and doubts shrink: large parts of exact 0
/// and 1 on the rest.
const NUMBERS_SHRINK: u64 = 50;

impl Planned<'_> {
    /// What its file takes at least.
    fn least_bytes(&self) -> u64 {
        let samples = self.shape.iter().product::<usize>() * self.channels;
        let bytes = samples as u64 * self.number_type.bytes() as u64;
        let is_plain = [".nii", ".npy"]
            .iter()
            .any(|plain| name::ending(self.path).eq_ignore_ascii_case(plain));
        match (is_plain, self.number_type.is_integer()) {
            (true, _) => bytes,
            (false, true) => bytes / LABELS_SHRINK,
            (false, false) => bytes / NUMBERS_SHRINK,
        }
    }
}

/// Refuses volumes that their format cannot hold, or for which the disk has no room.
///
/// # Errors
/// Names the file and the limit, or the folder and what is free.
pub(crate) fn check_planned(outputs: &[Planned<'_>]) -> anyhow::Result<()> {
    for planned in outputs {
        let Planned {
            path,
            shape,
            channels,
            number_type,
        } = *planned;
        unet3d_volume::check_content(path, shape, channels, number_type)?;
    }
    check_room(outputs, |folder| fs4::available_space(folder).ok())
}

/// `free` says how many bytes are free in a folder, where the system tells.
fn check_room(outputs: &[Planned<'_>], free: impl Fn(&Path) -> Option<u64>) -> anyhow::Result<()> {
    let mut by_disk: BTreeMap<OsString, (&Path, u64)> = BTreeMap::new();
    for planned in outputs {
        let disk = disk_of(parent(planned.path));
        let (_, needed) = by_disk.entry(disk).or_insert((planned.path, 0));
        *needed += planned.least_bytes();
    }
    for (path, needed) in by_disk.into_values() {
        if let Some(free) = free(parent(path)).filter(|free| *free < needed) {
            bail!(
                "{}: the disk is full but for {}, the results take {} at least. Free some space, choose another folder, \
                 or an ending with compression (.nii.gz, .tif).",
                path.display(),
                console::bytes(free),
                console::bytes(needed)
            );
        }
    }
    Ok(())
}

/// What tells disks apart.
#[cfg(unix)]
fn disk_of(folder: &Path) -> OsString {
    use std::os::unix::fs::MetadataExt;
    let device = folder.metadata().map(|about| about.dev());
    device.map_or_else(|_| folder.into(), |device| device.to_string().into())
}

/// What tells disks apart: the drive.
#[cfg(not(unix))]
fn disk_of(folder: &Path) -> OsString {
    let whole = folder.canonicalize();
    let whole = whole.as_deref().unwrap_or(folder);
    let drive = whole.components().next();
    drive.map_or_else(OsString::new, |drive| drive.as_os_str().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_fit_is_refused_and_all_of_one_disk_is_added_up() {
        let folder = tempfile::tempdir().expect("a folder");
        let (a, b) = (folder.path().join("a.npy"), folder.path().join("b.nii.gz"));
        let planned = |path, channels, number_type| Planned {
            path,
            shape: [10, 100, 100],
            channels,
            number_type,
        };
        let plain = planned(&a, 2, NumberType::F32);
        let packed = planned(&b, 1, NumberType::U8);
        let bytes = 10 * 100 * 100 * 2 * 4;
        let with = |outputs: &[Planned<'_>], free: u64| check_room(outputs, |_| Some(free));
        assert!(with(&[plain], bytes).is_ok());
        assert!(with(&[plain], bytes - 1).is_err());
        assert!(with(&[packed], 1000).is_ok());
        assert!(with(&[plain, packed], bytes).is_err());
        assert!(with(&[plain, plain], 2 * bytes - 1).is_err());
        assert!(check_room(&[plain], |_| None).is_ok());
        let error = with(&[plain], 1024).expect_err("too little").to_string();
        assert!(
            error.contains("1.00 KiB") && error.contains("781.25 KiB"),
            "{error}"
        );
    }

    #[test]
    fn what_a_format_cannot_hold_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let refused = |name: &str, shape, channels, number_type| {
            let path = folder.path().join(name);
            check_planned(&[Planned {
                path: &path,
                shape,
                channels,
                number_type,
            }])
            .is_err()
        };
        use NumberType::{F32, U8, U32};
        assert!(!refused("a.png", [1, 4, 4], 1, U8));
        assert!(refused("a.png", [2, 4, 4], 1, U8));
        assert!(refused("a.png", [1, 4, 4], 1, F32));
        assert!(refused("a.png", [1, 4, 4], 1, U32));
        assert!(refused("a.png", [1, 4, 4], 2, U8));
        assert!(!refused("slices/", [2, 4, 4], 2, F32));
        assert!(refused("a.nii", [40_000, 1, 1], 1, U8));
        assert!(refused("a.nii.gz", [1, 1, 1], 40_000, U8));
        assert!(refused("a.npy", [9, 9, 3], 6, F32));
        assert!(!refused("a.npy", [9, 9, 3], 3, F32));
        assert!(!refused("a.tif", [9, 9, 3], 6, F32));
    }
}
