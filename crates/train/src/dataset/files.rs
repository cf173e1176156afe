//! Which files of a folder are volumes of a data set, and of which case.
//!
//! In comes a folder and, where the data set states it, the ending of its files.
//! Everything else that lies there (sidecars, what the system keeps, subfolders) is
//! passed over, so that only names count which the description makes.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use unet3d_volume::{is_name_of_slice, is_name_of_volume, is_samples_of_pair, name};

use crate::Error;

/// The volumes of a folder by their names without ending.
pub(super) struct Files {
    folder: PathBuf,
    ending: Option<String>,
    by_stem: BTreeMap<OsString, Vec<PathBuf>>,
    /// Volumes of other endings than the stated one.
    others: BTreeMap<OsString, PathBuf>,
}

impl Files {
    /// Lists `folder`. Without a stated `ending`, every file under the name of a
    /// volume counts, and every folder that holds slices.
    pub(super) fn of(folder: &Path, ending: Option<&str>) -> Result<Self, Error> {
        let mut files = Self {
            folder: folder.to_owned(),
            ending: ending.map(str::to_owned),
            by_stem: BTreeMap::new(),
            others: BTreeMap::new(),
        };
        for path in entries(folder)? {
            let file_name = path.file_name().unwrap_or_default();
            let stem = match ending {
                Some(ending) => name::strip_ending(file_name, ending).filter(|_| path.is_file()),
                None => is_volume(&path).then(|| name::stem(&path)),
            };
            match stem {
                Some(stem) => files.by_stem.entry(stem).or_default().push(path),
                None if is_volume(&path) => {
                    files.others.insert(name::stem(&path), path);
                }
                None => {}
            }
        }
        Ok(files)
    }

    /// Names without ending, sorted.
    pub(super) fn stems(&self) -> impl Iterator<Item = &OsString> {
        self.by_stem.keys()
    }

    /// The file of this name without ending.
    pub(super) fn file(&self, stem: &OsStr) -> Result<Option<PathBuf>, Error> {
        match self.by_stem.get(stem).map(Vec::as_slice) {
            None | Some([]) => Ok(None),
            Some([path]) => Ok(Some(path.clone())),
            Some([path, other, ..]) => Err(Error::file(
                path,
                format!(
                    "{} has the same name but for the ending, one of the two is meant. \
                     Remove the other, or state file_ending in dataset.json",
                    other.display()
                ),
            )),
        }
    }

    /// The image files of a case: `CASE` alone, or `CASE_0000` and so on, `channels`
    /// of them where that is stated. A numbered name that is in `cases` is that of
    /// another case. Files beyond the stated channels are told in `notes`.
    pub(super) fn images(
        &self,
        case: &OsStr,
        channels: Option<usize>,
        cases: &BTreeSet<OsString>,
        notes: &mut Vec<String>,
    ) -> Result<Vec<PathBuf>, Error> {
        if let Some(path) = self.file(case)? {
            return Ok(vec![path]);
        }
        let mut numbered = BTreeMap::new();
        for stem in self.by_stem.keys() {
            if let Some((of, channel)) = name::channel(stem)
                && of == case
                && !cases.contains(stem)
                && let Some(path) = self.file(stem)?
            {
                numbered.insert(channel, path);
            }
        }
        if numbered.is_empty() {
            return Ok(Vec::new());
        }
        // A picture in colours is one file for nnU-Net too, whatever channels it names.
        let is_one_picture = |files: &BTreeMap<usize, PathBuf>| {
            files.len() == 1 && files.get(&0).is_some_and(|path| is_name_of_slice(path))
        };
        let expected = match channels {
            Some(stated) if !is_one_picture(&numbered) => stated,
            _ => numbered.len(),
        };
        if let Some(missing) = (0..expected).find(|channel| !numbered.contains_key(channel)) {
            let found: Vec<_> = numbered.keys().map(usize::to_string).collect();
            return Err(Error::file(
                &self.folder,
                format!(
                    "of case {0}, channel {missing} is missing (found: {1}). Channels count from _0000 without a gap: \
                     {0}_{missing:04}{2} should be there",
                    case.display(),
                    found.join(", "),
                    self.ending.as_deref().unwrap_or_default(),
                ),
            ));
        }
        if let Some((_, first)) = numbered.range(expected..).next() {
            notes.push(format!(
                "{}: is passed over, as dataset.json names {expected} channel{}.",
                first.display(),
                if expected == 1 { "" } else { "s" }
            ));
        }
        Ok(numbered.into_values().take(expected).collect())
    }

    /// A file that could be meant where a case has none: it has another ending.
    pub(super) fn near(&self, case: &OsStr) -> Option<&Path> {
        let is_near =
            |stem: &OsStr| stem == case || name::channel(stem).is_some_and(|(c, _)| c == case);
        let mut others = self.others.iter();
        others.find_map(|(stem, path)| is_near(stem).then_some(path.as_path()))
    }
}

/// Whether a path is a volume by its name, or a folder of slices by what it holds.
fn is_volume(path: &Path) -> bool {
    match path.is_dir() {
        true => entries(path).is_ok_and(|files| files.iter().any(|f| is_name_of_slice(f))),
        false => is_name_of_volume(path) && !is_samples_of_pair(path),
    }
}

/// What people put into a folder, sorted.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(Error::reading(folder))? {
        let path = entry.map_err(Error::reading(folder))?.path();
        if !name::is_of_system(&path) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}
