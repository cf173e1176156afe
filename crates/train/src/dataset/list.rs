//! A TOML list of cases.
//!
//! ```toml
//! name = "kidney"
//!
//! [labels]                 # one of: unlabeled = V, painted_slices = ["z"], dense = true,
//! unlabeled = 3            # masks = true (each case then names its mask)
//! classes = [{ value = 0, name = "inside" }, { value = 1, name = "tubule" }]
//!                          # or objects = "nucleus": values number objects, 0 is background
//!
//! [[case]]
//! image = "a.tif"          # or a list: one file a channel
//! labels = "a-labels.tif"
//! subject = "embryo 1"     # optional
//! split = "train"          # optional: train, validate or test; all cases or none
//! ```
//!
//! Paths are relative to the list.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use unet3d_volume::words::counted;
use unet3d_volume::{Annotated, Class, LabelScheme};

use super::folder::stem;
use super::{CaseFiles, Description, Split};
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
    let text = std::fs::read_to_string(path).map_err(Error::reading(path))?;
    let list: List = toml::from_str(&text).map_err(|e| {
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
    let scheme = list
        .labels
        .map(|section| scheme(path, section))
        .transpose()?;
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
        cases.push(CaseFiles {
            name: entry.name.unwrap_or_else(|| stem(first)),
            subject: entry.subject,
            labels: folder.join(entry.labels),
            mask: entry.mask.map(|mask| folder.join(mask)),
            split: entry.split.unwrap_or(Split::Train),
            images,
        });
    }
    Ok(Description {
        name: list.name.unwrap_or_else(|| stem(path)),
        cases,
        scheme,
        splits_given: given > 0,
    })
}

fn scheme(path: &Path, section: LabelSection) -> Result<LabelScheme, Error> {
    let mut stated = Vec::new();
    stated.extend(section.dense.then_some(Annotated::Dense));
    stated.extend(section.unlabeled.map(Annotated::Except));
    stated.extend(section.masks.then(|| Annotated::Mask(PathBuf::new())));
    if let Some(names) = section.painted_slices {
        let axes = names.iter().map(|name| {
            ["z", "y", "x"]
                .iter()
                .position(|axis| axis == name)
                .ok_or_else(|| {
                    let rule = "directions are \"z\", \"y\" and \"x\"";
                    Error::file(
                        path,
                        format!("labels.painted_slices names {name:?}, {rule}"),
                    )
                })
        });
        stated.push(Annotated::PaintedSlices(axes.collect::<Result<_, _>>()?));
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
                 unlabeled, painted_slices, dense and masks",
                counted(stated.len(), "way")
            ),
        )),
    }
}
