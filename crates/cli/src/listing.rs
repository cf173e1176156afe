//! Volumes in folders and lists: which files are one, and which of two folders belong
//! together by name.
//!
//! Comes in: paths as a person gives them (files, folders, patterns), and what is known
//! of the images meant ([`Expected`]). Leaves: [`Item`]s, each one volume, and a
//! sentence for everything that had to be decided ([`Found`]).

mod numbered;
mod stack;
mod wildcard;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use unet3d_train::dataset::read_channels;
use unet3d_volume::{Volume, name};

pub(crate) use stack::is_stack;
pub(crate) use wildcard::expand;

/// A volume to be read: a file, a folder of slices, or one file a channel.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Item {
    /// File name with its ending, without `_0000` where that says which channel it is.
    pub(crate) name: OsString,
    /// One path, or one for each channel.
    pub(crate) paths: Vec<PathBuf>,
}

/// What is known of the volumes that are looked for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Expected {
    /// Channels of each; `None` where nobody says.
    pub(crate) channels: Option<usize>,
    /// Whether the files of a folder that could be one volume are slices of it;
    /// `None` where nobody says.
    pub(crate) slices: Option<FolderAs>,
    /// Whether the model learned from images of one slice; `None` where it does not say.
    pub(crate) of_one_slice: Option<bool>,
}

/// What a folder of files of one slice each is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FolderAs {
    /// Every file is a volume of one slice
    Volumes,
    /// All files together are one volume
    Slices,
}

/// How to take folders.
#[derive(Args, Clone, Debug)]
pub(crate) struct FolderFlag {
    /// Take a folder of PNG or one-page TIFF files for one volume (slices), or each
    /// file for a volume of one slice (volumes) [default: as dataset.json beside it or
    /// the model says, else slices]
    #[arg(long = "as", value_name = "WHAT")]
    pub(crate) folder: Option<FolderAs>,
}

/// Volumes, and what had to be decided to find them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Found {
    /// In the order in which they were given, those of a folder by name.
    pub(crate) items: Vec<Item>,
    /// Sentences that begin with a path.
    pub(crate) notes: Vec<String>,
}

impl Item {
    /// A single file or folder.
    pub(crate) fn of(path: &Path) -> Self {
        Self {
            name: file_name(path).to_owned(),
            paths: vec![path.to_owned()],
        }
    }

    /// How messages call it.
    pub(crate) fn source(&self) -> String {
        self.paths[0].display().to_string()
    }

    /// Its name for people.
    pub(crate) fn name(&self) -> String {
        self.name.display().to_string()
    }

    /// Reads it; several channels are put together on the grid of the first, or, where
    /// `by_index` says so, in the order in which their voxels are stored.
    ///
    /// # Errors
    /// Where a file cannot be read, or the channels do not lie on one grid.
    pub(crate) fn read(&self, by_index: bool) -> anyhow::Result<Volume> {
        Ok(read_channels(&self.paths, by_index)?)
    }
}

/// The volumes that `paths` stand for: files, folders of slices, and what is in other
/// folders. Files of channels that are named one by one come together.
///
/// # Errors
/// Where a path cannot be read, holds no volume or matches nothing.
pub(crate) fn volumes(paths: &[PathBuf], expected: &Expected) -> anyhow::Result<Found> {
    let mut found = Found::default();
    for path in paths {
        for path in expand(path)? {
            in_path(&path, expected, &mut found)?;
        }
    }
    Ok(found)
}

fn in_path(path: &Path, expected: &Expected, found: &mut Found) -> anyhow::Result<()> {
    let metadata = fs::metadata(path)
        .with_context(|| format!("{}: cannot be opened. Check the spelling", path.display()))?;
    if !metadata.is_dir() {
        numbered::named(path, expected, found);
        return Ok(());
    }
    if stack::is_stack(path)? {
        let files = stack::slices(path)?;
        let (what, note) = stack::decide(path, &files, expected);
        found.notes.extend(note);
        match what {
            FolderAs::Slices => found.items.push(Item::of(path)),
            FolderAs::Volumes => numbered::together(path, files, expected, found),
        }
        return Ok(());
    }
    let mut paths = Vec::new();
    for entry in entries(path)? {
        let is_volume = if entry.is_dir() {
            stack::is_stack(&entry)?
        } else {
            unet3d_volume::is_name_of_volume(&entry) && !unet3d_volume::is_samples_of_pair(&entry)
        };
        if is_volume {
            paths.push(entry);
        }
    }
    if paths.is_empty() {
        bail!(
            "{}: holds no volume that can be read. Give a volume, or a folder of volumes or slices.",
            path.display()
        );
    }
    numbered::together(path, paths, expected, found);
    Ok(())
}

/// A case of two folders: its item in each.
pub(crate) type Pair = (Item, Item);

/// Pairs of two lists of volumes of one channel: two single ones, or those of one name.
/// What had to be decided is added to `notes`.
///
/// # Errors
/// Where a name of the second list is missing in the first, or nothing pairs.
pub(crate) fn pairs(
    first: &Path,
    second: &Path,
    slices: Option<FolderAs>,
    notes: &mut Vec<String>,
) -> anyhow::Result<Vec<Pair>> {
    let expected = Expected {
        channels: Some(1),
        // What one of the folders says of itself holds for both.
        slices: slices.or_else(|| {
            let said = [first, second].map(stack::said_beside);
            said[0].or(said[1])
        }),
        of_one_slice: None,
    };
    let mut items = |path: &Path| -> anyhow::Result<Vec<Item>> {
        let found = volumes(&[path.to_owned()], &expected)?;
        for note in found.notes {
            if !notes.contains(&note) {
                notes.push(note);
            }
        }
        Ok(found.items)
    };
    let (a, b) = (items(first)?, items(second)?);
    let folder = |path: &Path, items: &[Item]| path.is_dir() && items[0].paths[0] != path;
    match (folder(first, &a), folder(second, &b)) {
        (false, false) if a.len() == 1 && b.len() == 1 => {
            return Ok(a.into_iter().zip(b).collect());
        }
        // Two folders, or patterns that stand for several files each.
        (false, false) | (true, true) => {}
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
    let mut by_name: BTreeMap<OsString, Item> = BTreeMap::new();
    for item in a {
        let stem = item_stem(&item);
        if let Some(other) = by_name.insert(stem, item.clone()) {
            bail!(
                "{}: {} and {} have the same name but for the ending. Remove the one that is not meant.",
                first.display(),
                other.name(),
                item.name()
            );
        }
    }
    let mut out = Vec::new();
    let mut left = Vec::new();
    for item in b {
        match by_name.remove(&item_stem(&item)) {
            Some(found) => out.push((found, item)),
            None => left.push(item),
        }
    }
    // nnU-Net's images are called CASE_0000, its labels and results CASE.
    for item in left {
        let case = without_number(&item_stem(&item));
        let mut keys = by_name.keys();
        if let Some(key) = keys.find(|key| without_number(key) == case).cloned()
            && let Some(found) = by_name.remove(&key)
        {
            out.push((found, item));
        }
    }
    out.sort_by(|(_, a), (_, b)| a.name.cmp(&b.name));
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
        let names: Vec<_> = by_name.into_values().map(|i| i.name()).collect();
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

fn item_stem(item: &Item) -> OsString {
    name::stem(Path::new(&item.name))
}

/// `case_0000` becomes `case`; any other name stays.
fn without_number(stem: &OsStr) -> OsString {
    match name::channel(stem) {
        Some((case, 0)) => case,
        _ => stem.to_owned(),
    }
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

/// What people put into a folder, sorted.
pub(crate) fn entries(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let cannot = || format!("{}: the folder cannot be listed", folder.display());
    let mut out = Vec::new();
    for entry in fs::read_dir(folder).with_context(cannot)? {
        let path = entry.with_context(cannot)?.path();
        if !name::is_of_system(&path) {
            out.push(path);
        }
    }
    out.sort();
    Ok(out)
}

fn file_name(path: &Path) -> &OsStr {
    path.file_name().unwrap_or(path.as_os_str())
}
