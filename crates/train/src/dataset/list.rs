//! A TOML list of cases.
//!
//! ```toml
//! name = "kidney"
//!
//! [labels]                 # one of: unlabeled = V, painted_slices = ["z"], dense = true,
//! unlabeled = 3            # annotated_slices = { z = [4, 14], y = "every:10" } (a case may
//!                          # name its own), masks = true (each case then names its mask)
//! classes = [{ value = 0, name = "inside" }, { value = 1, name = "tubule" }]
//!                          # or objects = "nucleus": values number objects, 0 is background
//!
//! [[case]]
//! image = "a.tif"          # or a list: one file a channel
//! labels = "a-labels.tif"
//! # annotated_slices = "z=4,14,24"  where its slices differ from those in [labels]
//! subject = "embryo 1"     # optional
//! split = "train"          # optional: train, validate or test; all cases or none
//! ```
//!
//! Paths are relative to the list.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use unet3d_volume::labels::{Direction, StatedSlices};
use unet3d_volume::words::counted;
use unet3d_volume::{Annotated, Class, LabelScheme, text};

use super::{CaseFiles, Description, Split, name_of};
use crate::Error;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    name: Option<String>,
    labels: Option<LabelSection>,
    #[serde(default, rename = "case")]
    cases: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LabelSection {
    unlabeled: Option<i64>,
    painted_slices: Option<Vec<String>>,
    annotated_slices: Option<StatedSlices>,
    #[serde(default)]
    dense: bool,
    #[serde(default)]
    masks: bool,
    #[serde(default)]
    classes: Vec<Class>,
    objects: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: Option<String>,
    image: Files,
    labels: PathBuf,
    mask: Option<PathBuf>,
    annotated_slices: Option<StatedSlices>,
    subject: Option<String>,
    split: Option<Split>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Files {
    One(PathBuf),
    Several(Vec<PathBuf>),
}

/// Reads a list.
pub(super) fn describe(path: &Path) -> Result<Description, Error> {
    let text = text::read(path)?;
    let list: List = toml::from_str(&text.with_plain_lines()).map_err(|e| {
        Error::file(
            path,
            format!(
                "it is not a list of cases: {e}. Give a folder with dataset.json or a TOML list"
            ),
        )
    })?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let given = list
        .cases
        .iter()
        .filter(|case| case.split.is_some())
        .count();
    if given != 0 && given != list.cases.len() {
        return Err(Error::file(
            path,
            format!(
                "{given} of {} cases name a split, all must or none. Add split = \"train\", \"validate\" or \"test\" to the others",
                list.cases.len()
            ),
        ));
    }
    let own = list.cases.iter().filter(|c| c.annotated_slices.is_some());
    let all_state_slices = own.count() == list.cases.len() && !list.cases.is_empty();
    let scheme = match list.labels {
        Some(section) => Some(scheme(path, section, all_state_slices)?),
        // Classes are then the values found.
        None if all_state_slices => Some(LabelScheme {
            classes: Vec::new(),
            annotated: Annotated::Slices(StatedSlices::default()),
            objects: None,
        }),
        None => None,
    };
    let states_slices = scheme
        .as_ref()
        .is_some_and(|s| matches!(s.annotated, Annotated::Slices(_)));
    let masks = scheme
        .as_ref()
        .is_some_and(|s| matches!(s.annotated, Annotated::Mask(_)));
    let mut cases = Vec::with_capacity(list.cases.len());
    for (index, entry) in list.cases.into_iter().enumerate() {
        let images: Vec<PathBuf> = match entry.image {
            Files::One(image) => vec![folder.join(image)],
            Files::Several(images) => images.iter().map(|image| folder.join(image)).collect(),
        };
        let Some(first) = images.first() else {
            let rule = "it must name at least one file";
            return Err(Error::file(
                path,
                format!("case[{index}].image is empty, {rule}"),
            ));
        };
        if masks != entry.mask.is_some() {
            return Err(Error::file(
                path,
                format!("case[{index}].mask and labels.masks = true must both be there or neither"),
            ));
        }
        if entry.annotated_slices.is_some() && !states_slices {
            return Err(Error::file(
                path,
                format!(
                    "case[{index}].annotated_slices: [labels] or every case must state annotated_slices too. \
                     Where [labels] says something else of the voxels, take one of both away"
                ),
            ));
        }
        cases.push(CaseFiles {
            name: entry.name.unwrap_or_else(|| name_of(first)),
            subject: entry.subject,
            labels: folder.join(entry.labels),
            mask: entry.mask.map(|mask| folder.join(mask)),
            annotated_slices: entry.annotated_slices,
            split: entry.split.unwrap_or(Split::Train),
            images,
        });
    }
    Ok(Description {
        name: list.name.unwrap_or_else(|| name_of(path)),
        cases,
        scheme,
        splits_given: given > 0,
        notes: text.note.into_iter().collect(),
    })
}

/// The scheme that `[labels]` states; `all_state_slices` where every case states its own
/// annotated slices.
fn scheme(
    path: &Path,
    section: LabelSection,
    all_state_slices: bool,
) -> Result<LabelScheme, Error> {
    let mut stated = Vec::new();
    stated.extend(section.dense.then_some(Annotated::Dense));
    stated.extend(section.unlabeled.map(Annotated::Except));
    stated.extend(section.masks.then(|| Annotated::Mask(PathBuf::new())));
    stated.extend(section.annotated_slices.map(Annotated::Slices));
    if let Some(names) = section.painted_slices {
        let directions = names.iter().map(|name| {
            let direction = name.parse::<Direction>();
            direction.map_err(|why| Error::file(path, format!("labels.painted_slices: {why}")))
        });
        stated.push(Annotated::PaintedSlices(
            directions.collect::<Result<_, _>>()?,
        ));
    }
    if stated.is_empty() && all_state_slices {
        stated.push(Annotated::Slices(StatedSlices::default()));
    }
    match <[Annotated; 1]>::try_from(stated) {
        Ok([annotated]) => Ok(LabelScheme {
            classes: section.classes,
            annotated,
            objects: section.objects,
        }),
        Err(stated) => Err(Error::file(
            path,
            format!(
                "[labels] states {} to tell annotated voxels, it must state one of \
                 unlabeled, painted_slices, annotated_slices, dense and masks",
                counted(stated.len(), "way")
            ),
        )),
    }
}
