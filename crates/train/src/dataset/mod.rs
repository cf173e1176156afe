//! Where the cases of a training run come from.
//!
//! [`find()`] reads a description (a folder with `dataset.json` as nnU-Net and
//! the Medical Segmentation Decathlon lay it out, or a TOML list) and leaves a
//! [`DataSet`]: file names, what label values mean, and who is held out. No
//! volume is opened until [`DataSet::load`].

mod files;
mod folder;
mod list;
mod load;
mod split;
mod table;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use unet3d_volume::labels::StatedSlices;
use unet3d_volume::{Annotated, LabelScheme, Orientation, name};

pub use load::{read_channels, unoriented};
pub use split::{SPLIT_FILE, Split, write_split};

use crate::Error;

/// A data set, described but not read.
#[derive(Clone, Debug, PartialEq)]
pub struct DataSet {
    /// Name for people.
    pub name: String,
    /// The cases, sorted by name.
    pub cases: Vec<CaseFiles>,
    /// What label values mean.
    pub scheme: LabelScheme,
    /// How training and validation were told apart, in words.
    pub how_split: String,
    /// Whether the data set says so itself, rather than this program.
    pub is_split_given: bool,
    /// What was noticed in the description and a person should be told: a sentence
    /// each that begins with a path.
    pub notes: Vec<String>,
    /// Whether the files of a case are matched in the order in which their voxels are
    /// stored, whatever they state of their place.
    pub ignore_geometry: bool,
    /// How cases are turned as they are read; `None` until one says how it lies.
    pub orientation: Option<Orientation>,
}

/// The files of one case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaseFiles {
    /// Name, unique in the data set.
    pub name: String,
    /// Whom or what the case shows, where known.
    pub subject: Option<String>,
    /// One file with all channels, or one a channel.
    pub images: Vec<PathBuf>,
    /// The labels.
    pub labels: PathBuf,
    /// A volume that is not 0 where the labels are annotated.
    pub mask: Option<PathBuf>,
    /// The annotated slices of this case, where they differ from those of the data set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotated_slices: Option<StatedSlices>,
    /// What the case is for.
    pub split: Split,
}

/// Finds a data set. `scheme`, where given, wins over what the data set says;
/// where it names no classes, those of the data set stay.
///
/// # Errors
/// When there is no data set at `path`, its description contradicts itself or
/// the files, or nobody says which voxels are annotated ([`Error::NoScheme`]).
pub fn find(path: &Path, scheme: Option<&LabelScheme>) -> Result<DataSet, Error> {
    let mut found = match path.is_dir() {
        true => folder::describe(path)?,
        false => list::describe(path)?,
    };
    found.cases.sort_by(|a, b| a.name.cmp(&b.name));
    if let Some(pair) = found.cases.windows(2).find(|p| p[0].name == p[1].name) {
        return Err(Error::file(
            path,
            format!(
                "case {} is there twice, names must differ. Give each its own",
                pair[0].name
            ),
        ));
    }
    // Slices stated for all cases by whoever asks win over those of single cases; the
    // scheme that a run was begun with is the data set's own.
    let own = found.scheme.as_ref().map(|own| &own.annotated);
    if scheme.is_some_and(|given| Some(&given.annotated) != own) {
        for case in &mut found.cases {
            case.annotated_slices = None;
        }
    }
    let Some(first) = found.cases.first() else {
        return Err(Error::file(
            path,
            "the data set has no case with labels, at least one is needed. \
             Images belong into imagesTr, labels of the same name into labelsTr",
        ));
    };
    let scheme = match (scheme, found.scheme) {
        (Some(given), Some(own)) if given.classes.is_empty() && given.objects.is_none() => {
            LabelScheme {
                annotated: given.annotated.clone(),
                ..own
            }
        }
        (Some(given), _) => given.clone(),
        (None, Some(own)) => own,
        (None, None) => {
            return Err(Error::NoScheme {
                labels: first.labels.clone(),
            });
        }
    };
    scheme.check().map_err(unet3d_volume::Error::from)?;
    let folder = match path.is_dir() {
        true => path,
        false => path.parent().unwrap_or(path),
    };
    let (how_split, is_split_given) = split::settle(
        &mut found.cases,
        folder,
        found.splits_given,
        &mut found.notes,
    )?;
    Ok(DataSet {
        name: found.name,
        cases: found.cases,
        scheme,
        how_split,
        is_split_given,
        notes: found.notes,
        ignore_geometry: false,
        orientation: None,
    })
}

/// What a description says.
struct Description {
    name: String,
    cases: Vec<CaseFiles>,
    scheme: Option<LabelScheme>,
    /// Whether each case came with its split.
    splits_given: bool,
    /// What was noticed.
    notes: Vec<String>,
}

/// The name that a file gives to its case, for people.
fn name_of(path: &Path) -> String {
    name::stem(path).to_string_lossy().into_owned()
}

impl CaseFiles {
    /// The scheme of the data set as it is for this case, with its own mask or slices.
    pub fn scheme(&self, of_all: &LabelScheme) -> LabelScheme {
        let mut scheme = of_all.clone();
        match &mut scheme.annotated {
            Annotated::Mask(path) => {
                if let Some(mask) = &self.mask {
                    path.clone_from(mask);
                }
            }
            Annotated::Slices(stated) => {
                if let Some(own) = &self.annotated_slices {
                    stated.clone_from(own);
                }
            }
            _ => {}
        }
        scheme
    }
}

impl DataSet {
    /// Takes all values but 0 for the numbers of objects called `name`, whatever
    /// classes the data set names; which voxels are annotated stays.
    ///
    /// # Errors
    /// When the name cannot be meant.
    pub fn take_as_objects(&mut self, name: &str) -> Result<(), Error> {
        self.scheme.objects = Some(name.to_owned());
        self.scheme.classes = Vec::new();
        Ok(self.scheme.check().map_err(unet3d_volume::Error::from)?)
    }

    /// The cases of one split.
    pub fn of(&self, split: Split) -> impl Iterator<Item = &CaseFiles> {
        self.cases.iter().filter(move |case| case.split == split)
    }

    /// What a model remembers of the data it was trained on.
    pub fn record(&self) -> serde_json::Value {
        let names = |split| self.of(split).map(|c| c.name.clone()).collect::<Vec<_>>();
        serde_json::json!({
            "name": self.name,
            "split": self.how_split,
            "train": names(Split::Train),
            "validate": names(Split::Validate),
        })
    }
}

#[cfg(test)]
mod folder_tests;
#[cfg(test)]
mod tests;
