//! Volumes in folders: which files are one, and which of two folders belong
//! together by name.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use unet3d_volume::{Samples, Volume};

use crate::output::stem;

/// A volume to be read: a file, a folder of slices, or one file a channel.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Item {
    /// File name with its ending, without `_0000` where there are several channels.
    pub(crate) name: String,
    /// One path, or one for each channel.
    pub(crate) paths: Vec<PathBuf>,
}

impl Item {
    /// A single file or folder.
    pub(crate) fn of(path: &Path) -> Self {
        Self {
            name: file_name(path),
            paths: vec![path.to_owned()],
        }
    }

    /// How messages call it.
    pub(crate) fn source(&self) -> String {
        self.paths[0].display().to_string()
    }

    /// Reads it; several channels are put together.
    ///
    /// # Errors
    /// Where a file cannot be read, or the channels differ in shape.
    pub(crate) fn read(&self) -> anyhow::Result<Volume> {
        let first = unet3d_volume::read(&self.paths[0])?;
        if self.paths.len() == 1 {
            return Ok(first);
        }
        let geometry = first.geometry.clone();
        let mut channels = first.channels;
        let mut samples = first.samples.to_f32();
        let mut notes = first.notes;
        for path in &self.paths[1..] {
            let next = unet3d_volume::read(path)?;
            if next.geometry.shape != geometry.shape {
                bail!(
                    "{}: shape {:?} [z, y, x], the first channel ({}) has {:?}; channels of one case must have one shape.",
                    path.display(),
                    next.geometry.shape,
                    self.source(),
                    geometry.shape
                );
            }
            channels += next.channels;
            samples.extend(next.samples.to_f32());
            notes.extend(next.notes);
        }
        let mut volume = Volume::new(geometry, channels, Samples::F32(samples))?;
        volume.notes = notes;
        Ok(volume)
    }
}

/// The volumes that `path` stands for: itself, or those in it where it is a
/// folder of volumes (not of slices), sorted by name.
///
/// # Errors
/// Where the path cannot be read or holds no volume.
pub(crate) fn volumes(path: &Path) -> anyhow::Result<Vec<Item>> {
    let metadata = fs::metadata(path)
        .with_context(|| format!("{}: cannot be opened. Check the spelling", path.display()))?;
    if !metadata.is_dir() || is_stack(path)? {
        return Ok(vec![Item::of(path)]);
    }
    let mut found = Vec::new();
    for entry in entries(path)? {
        let is_volume = if entry.is_dir() {
            is_stack(&entry)?
        } else {
            unet3d_volume::is_name_of_volume(&entry) && !is_samples_of_pair(&entry)
        };
        if is_volume {
            found.push(entry);
        }
    }
    if found.is_empty() {
        bail!(
            "{}: holds no volume that can be read. Give a volume, or a folder of volumes or slices.",
            path.display()
        );
    }
    Ok(join_channels(found))
}

/// Whether a file holds the samples of a NIfTI pair, of which the header stands
/// for both.
fn is_samples_of_pair(path: &Path) -> bool {
    let name = file_name(path);
    let lower = name.to_lowercase();
    let stem = lower.strip_suffix(".gz").unwrap_or(&lower);
    let stem = stem
        .strip_suffix(".img")
        .and_then(|stem| name.get(..stem.len()));
    stem.is_some_and(|stem| {
        let headers = [".hdr", ".hdr.gz", ".HDR"];
        let mut headers = headers.iter().map(|end| format!("{stem}{end}"));
        headers.any(|header| path.with_file_name(header).is_file())
    })
}

/// A case of two folders: its item in each.
pub(crate) type Pair = (Item, Item);

/// Pairs of two lists of volumes: two single ones, or those of one name.
///
/// # Errors
/// Where a name of the second list is missing in the first, or nothing pairs.
pub(crate) fn pairs(first: &Path, second: &Path) -> anyhow::Result<Vec<Pair>> {
    let (a, b) = (volumes(first)?, volumes(second)?);
    let folder = |path: &Path, items: &[Item]| path.is_dir() && items[0].paths[0] != path;
    match (folder(first, &a), folder(second, &b)) {
        (false, false) => return Ok(a.into_iter().zip(b).collect()),
        (true, true) => {}
        (is_folder, _) => {
            let (folder, file) = if is_folder {
                (first, second)
            } else {
                (second, first)
            };
            bail!(
                "{} is a folder and {} is not: give two volumes, or two folders whose files have the same names.",
                folder.display(),
                file.display()
            );
        }
    }
    let key = |item: &Item| {
        let stem = stem(Path::new(&item.name));
        stem.strip_suffix("_0000")
            .map_or(stem.clone(), str::to_owned)
    };
    let mut by_name: BTreeMap<String, Item> = a.into_iter().map(|i| (key(&i), i)).collect();
    let mut out = Vec::new();
    let mut missing = Vec::new();
    for item in b {
        match by_name.remove(&key(&item)) {
            Some(found) => out.push((found, item)),
            None => missing.push(item.name),
        }
    }
    if out.is_empty() {
        bail!(
            "no file of {} has the name of a file of {}. Files are matched by name, without the ending.",
            first.display(),
            second.display()
        );
    }
    // More truths than predictions is usual (one truth folder, a part of it
    // predicted); a prediction without truth is not.
    if !by_name.is_empty() {
        let names: Vec<_> = by_name.into_values().map(|i| i.name).collect();
        bail!(
            "{}: {} without a file of that name in {}: {}. Remove them or add what is missing.",
            first.display(),
            names.len(),
            second.display(),
            some_of(&names)
        );
    }
    Ok(out)
}

/// The first few of many names.
pub(crate) fn some_of(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let mut text = names[..names.len().min(SHOWN)].join(", ");
    if names.len() > SHOWN {
        text.push_str(&format!(" and {} more", names.len() - SHOWN));
    }
    text
}

/// What is in a folder, sorted, without hidden files.
pub(crate) fn entries(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let cannot = || format!("{}: the folder cannot be listed", folder.display());
    let mut out = Vec::new();
    for entry in fs::read_dir(folder).with_context(cannot)? {
        let path = entry.with_context(cannot)?.path();
        if !file_name(&path).starts_with('.') {
            out.push(path);
        }
    }
    out.sort();
    Ok(out)
}

/// Whether a folder is one volume: PNG files, or TIFF files of one page each.
pub(crate) fn is_stack(folder: &Path) -> anyhow::Result<bool> {
    let files = entries(folder)?;
    let ends = |path: &PathBuf, endings: &[&str]| {
        let name = file_name(path).to_lowercase();
        endings.iter().any(|e| name.ends_with(e))
    };
    if files
        .iter()
        .any(|f| f.is_dir() || ends(f, &[".nii", ".nii.gz", ".npy"]))
    {
        return Ok(false);
    }
    if files.iter().any(|f| ends(f, &[".png"])) {
        return Ok(true);
    }
    match files.iter().find(|f| ends(f, &[".tif", ".tiff"])) {
        Some(first) => Ok(unet3d_volume::read(first).is_ok_and(|v| v.geometry.shape[0] == 1)),
        None => Ok(false),
    }
}

/// Puts `case_0000`, `case_0001`, ... together where there is more than one.
fn join_channels(paths: Vec<PathBuf>) -> Vec<Item> {
    let mut groups: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for path in &paths {
        if let Some(case) = without_channel(path) {
            groups.entry(case).or_default().push(path.clone());
        }
    }
    let mut out = Vec::new();
    for path in paths {
        let case = without_channel(&path);
        match case.and_then(|case| groups.get(&case).map(|g| (case, g))) {
            Some((name, group)) if group.len() > 1 => {
                if group[0] == path {
                    out.push(Item {
                        name,
                        paths: group.clone(),
                    });
                }
            }
            _ => out.push(Item::of(&path)),
        }
    }
    out
}

/// `case_0001.nii.gz` becomes `case.nii.gz`; `None` without such a number.
fn without_channel(path: &Path) -> Option<String> {
    let name = file_name(path);
    let stem = stem(path);
    let (case, channel) = stem.rsplit_once('_')?;
    let is_channel = channel.len() == 4 && channel.bytes().all(|b| b.is_ascii_digit());
    is_channel.then(|| format!("{case}{}", &name[stem.len()..]))
}

fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_of_a_case_belong_together() {
        let names = [
            "a_0000.nii.gz",
            "a_0001.nii.gz",
            "b_0000.nii.gz",
            "c.nii.gz",
            "d_12.tif",
        ];
        let items = join_channels(names.map(PathBuf::from).to_vec());
        let names: Vec<_> = items.iter().map(|i| i.name.as_str()).collect();
        assert_eq!(names, ["a.nii.gz", "b_0000.nii.gz", "c.nii.gz", "d_12.tif"]);
        assert_eq!(items[0].paths.len(), 2);
    }
}
