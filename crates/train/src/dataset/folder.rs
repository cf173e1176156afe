//! A folder as nnU-Net and the Medical Segmentation Decathlon lay it out:
//! `dataset.json`, `imagesTr`, `labelsTr`.
//!
//! Both generations of `dataset.json` are read: the Decathlon's with its list of
//! `training` pairs and labels by value, nnU-Net's with `channel_names`, labels
//! by name and `file_ending`. Images may have one file a channel, named
//! `CASE_0000`, `CASE_0001`, or one file `CASE`. The label named `ignore` means
//! not annotated; without one every voxel is annotated, as nnU-Net has it.
//!
//! Only files count whose names `file_ending` and the list of cases make.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use serde_json::Value;
use unet3d_volume::{Annotated, Class, LabelScheme, name, text};

use super::files::Files;
use super::{CaseFiles, Description, Split, name_of};
use crate::Error;

/// Reads the description of a data set folder.
pub(super) fn describe(folder: &Path) -> Result<Description, Error> {
    let path = folder.join("dataset.json");
    let mut notes = Vec::new();
    let json = match path.exists() {
        true => {
            let read = text::read(&path)?;
            notes.extend(read.note);
            serde_json::from_str(&read.text)
                .map_err(|e| Error::file(&path, format!("it is not valid JSON: {e}")))?
        }
        false if folder.join("labelsTr").is_dir() => Value::Null,
        false => {
            return Err(Error::file(
                folder,
                "it holds neither dataset.json nor labelsTr, so it is not a data set folder. \
                 Lay it out as imagesTr and labelsTr, or write a TOML list of cases",
            ));
        }
    };
    let mut finder = Finder {
        folder,
        description: &path,
        ending: file_ending(&path, &json["file_ending"])?,
        channels: count(&json["channel_names"]).or_else(|| count(&json["modality"])),
        notes: &mut notes,
    };
    let cases = match (json["training"].as_array(), json["dataset"].as_object()) {
        (Some(pairs), _) => finder.listed(pairs)?,
        (None, Some(cases)) => finder.listed_by_name(cases)?,
        (None, None) => finder.scanned()?,
    };
    if let Some(stated) = json["numTraining"]
        .as_u64()
        .filter(|n| *n != cases.len() as u64)
    {
        notes.push(format!(
            "{}: numTraining is {stated}, {} cases were found.",
            path.display(),
            cases.len()
        ));
    }
    let own_name = || {
        folder
            .file_name()
            .unwrap_or(folder.as_os_str())
            .display()
            .to_string()
    };
    Ok(Description {
        name: json["name"].as_str().map_or_else(own_name, str::to_owned),
        cases,
        scheme: scheme(&path, &json["labels"])?,
        splits_given: false,
        notes,
    })
}

/// `file_ending` with its dot; `None` where it is not stated.
fn file_ending(path: &Path, value: &Value) -> Result<Option<String>, Error> {
    let ending = match value {
        Value::Null => return Ok(None),
        Value::String(ending) => ending.trim(),
        other => {
            let rule = "it must be text such as \".nii.gz\"";
            return Err(Error::file(path, format!("file_ending is {other}, {rule}")));
        }
    };
    Ok(match ending {
        "" => None,
        _ if ending.starts_with('.') => Some(ending.to_owned()),
        _ => Some(format!(".{ending}")),
    })
}

/// How many channels `channel_names` or `modality` names.
fn count(names: &Value) -> Option<usize> {
    let count = names.as_object().map(serde_json::Map::len);
    count
        .or_else(|| names.as_array().map(Vec::len))
        .filter(|n| *n > 0)
}

/// The label scheme that `labels` states; `None` where there is none.
fn scheme(path: &Path, labels: &Value) -> Result<Option<LabelScheme>, Error> {
    let labels = match labels {
        Value::Null => return Ok(None),
        Value::Object(labels) => labels,
        other => {
            let rule = "it must be an object such as {\"background\": 0, \"nucleus\": 1}";
            return Err(Error::file(path, format!("labels is {other}, {rule}")));
        }
    };
    let mut classes = Vec::new();
    let mut ignore = None;
    for (key, value) in labels {
        // The Decathlon has value: name, nnU-Net name: value.
        let pair = match value {
            Value::String(name) => key.trim().parse().ok().map(|v| (v, name.clone())),
            Value::Number(v) => v.as_i64().map(|v| (v, key.clone())),
            _ => None,
        };
        let Some((value, name)) = pair else {
            return Err(Error::file(
                path,
                format!(
                    "labels.{key} is {value}, it must be one whole number. \
                     Regions of several labels are not supported: list the labels one by one"
                ),
            ));
        };
        match name.eq_ignore_ascii_case("ignore") {
            true => ignore = Some(value),
            false => classes.push(Class { value, name }),
        }
    }
    classes.sort_by_key(|class| class.value);
    let annotated = ignore.map_or(Annotated::Dense, Annotated::Except);
    Ok(Some(LabelScheme::new(classes, annotated)))
}

/// Looks for the files of the cases.
struct Finder<'a> {
    folder: &'a Path,
    description: &'a Path,
    ending: Option<String>,
    channels: Option<usize>,
    notes: &'a mut Vec<String>,
}

impl Finder<'_> {
    /// The cases of the Decathlon's list of pairs.
    fn listed(&mut self, pairs: &[Value]) -> Result<Vec<CaseFiles>, Error> {
        let mut cases = Vec::new();
        for (index, pair) in pairs.iter().enumerate() {
            let entry = format!("training[{index}]");
            let file = |field: &str| {
                pair[field].as_str().ok_or_else(|| {
                    let rule = "each entry must name an image and a label file";
                    Error::file(self.description, format!("{entry} has no {field}, {rule}"))
                })
            };
            let labels = self.path(file("label")?);
            let image = self.path(file("image")?);
            let images = match image.exists() {
                true => vec![image],
                // The list may leave the channel's suffix out.
                false => {
                    let folder = image.parent().unwrap_or(self.folder);
                    let ending = Some(name::ending(&image)).filter(|e| !e.is_empty());
                    let files = Files::of(folder, ending)?;
                    let stem = name::stem(&image);
                    files.images(&stem, self.channels, &BTreeSet::new(), self.notes)?
                }
            };
            cases.push(case_files(
                name_of(&labels),
                images,
                labels,
                self.description,
                None,
            )?);
        }
        Ok(cases)
    }

    /// The cases of nnU-Net's `dataset`: `{"case": {"images": [...], "label": ...}}`.
    fn listed_by_name(
        &mut self,
        listed: &serde_json::Map<String, Value>,
    ) -> Result<Vec<CaseFiles>, Error> {
        let mut cases = Vec::new();
        for (name, entry) in listed {
            let images: Option<Vec<_>> = entry["images"].as_array().and_then(|images| {
                let paths = images.iter().map(|image| Some(self.path(image.as_str()?)));
                paths.collect()
            });
            let (Some(images), Some(labels)) = (images, entry["label"].as_str()) else {
                let rule = "it must have a list of images and a label file";
                return Err(Error::file(
                    self.description,
                    format!("dataset.{name} is {entry}, {rule}"),
                ));
            };
            let labels = self.path(labels);
            if let Some(missing) = images.iter().find(|image| !image.exists()) {
                let problem =
                    format!("case {name} has no image file of that name. Is it elsewhere?");
                return Err(Error::file(missing, problem));
            }
            cases.push(case_files(
                name.clone(),
                images,
                labels,
                self.description,
                None,
            )?);
        }
        Ok(cases)
    }

    /// The cases found in `labelsTr`.
    fn scanned(&mut self) -> Result<Vec<CaseFiles>, Error> {
        let (folder, ending) = (self.folder.join("labelsTr"), self.ending.as_deref());
        let labels = Files::of(&folder, ending)?;
        let images = Files::of(&self.folder.join("imagesTr"), ending)?;
        let names: BTreeSet<_> = labels.stems().cloned().collect();
        let mut cases = Vec::new();
        for case in &names {
            let Some(path) = labels.file(case)? else {
                continue;
            };
            let found = images.images(case, self.channels, &names, self.notes)?;
            let near = images.near(case);
            let name = case.display().to_string();
            cases.push(case_files(name, found, path, &folder, near)?);
        }
        Ok(cases)
    }

    /// A path of the description, which may be written as on Windows.
    fn path(&self, text: &str) -> PathBuf {
        let path = self.folder.join(text);
        match text.contains('\\') && !path.exists() {
            true => self.folder.join(text.replace('\\', "/")),
            false => path,
        }
    }
}

/// A case of which both files are there. `near` is a file that could be meant.
fn case_files(
    name: String,
    images: Vec<PathBuf>,
    labels: PathBuf,
    source: &Path,
    near: Option<&Path>,
) -> Result<CaseFiles, Error> {
    if images.is_empty() || !labels.exists() {
        let missing = if images.is_empty() { "image" } else { "labels" };
        let ending = match name::ending(&labels) {
            "" => ".nii.gz",
            ending => ending,
        };
        let near = near.map_or(String::new(), |near| {
            let file = near.file_name().unwrap_or(OsStr::new("")).display();
            format!(". {file} is there, but file_ending in dataset.json asks for {ending}")
        });
        return Err(Error::file(
            source,
            format!(
                "case {name} has no {missing} file. Names must agree: imagesTr/{name}{ending} \
                 (or {name}_0000{ending}, one a channel) and labelsTr/{name}{ending}{near}"
            ),
        ));
    }
    Ok(CaseFiles {
        name,
        subject: None,
        images,
        labels,
        mask: None,
        annotated_slices: None,
        split: Split::Train,
    })
}
