//! A folder as nnU-Net and the Medical Segmentation Decathlon lay it out:
//! `dataset.json`, `imagesTr`, `labelsTr`.
//!
//! Both generations of `dataset.json` are read: the Decathlon's with its list of
//! `training` pairs and labels by value, nnU-Net's with `channel_names`, labels
//! by name and `file_ending`. Images may have one file a channel, named
//! `CASE_0000`, `CASE_0001`, or one file `CASE`. The label named `ignore` means
//! not annotated; without one every voxel is annotated, as nnU-Net has it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use unet3d_volume::{Annotated, Class, LabelScheme};

use super::{CaseFiles, Description, Split};
use crate::Error;

/// Reads the description of a data set folder.
pub(super) fn describe(folder: &Path) -> Result<Description, Error> {
    let path = folder.join("dataset.json");
    let json = match path.is_file() {
        true => {
            let text = std::fs::read_to_string(&path).map_err(Error::reading(&path))?;
            serde_json::from_str(&text)
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
    let ending = json["file_ending"].as_str();
    let cases = match json["training"].as_array() {
        Some(pairs) => listed(folder, &path, pairs)?,
        None => scanned(folder, ending)?,
    };
    Ok(Description {
        name: json["name"].as_str().map_or_else(
            || {
                folder
                    .file_name()
                    .unwrap_or(folder.as_os_str())
                    .to_string_lossy()
                    .into_owned()
            },
            str::to_owned,
        ),
        cases,
        scheme: scheme(&path, &json["labels"])?,
        splits_given: false,
    })
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

/// The cases of the Decathlon's list of pairs.
fn listed(folder: &Path, path: &Path, pairs: &[Value]) -> Result<Vec<CaseFiles>, Error> {
    let case = |(index, pair): (usize, &Value)| {
        let file = |field: &str| {
            pair[field].as_str().ok_or_else(|| {
                let rule = "each entry must name an image and a label file";
                Error::file(path, format!("training[{index}] has no {field}, {rule}"))
            })
        };
        let labels = folder.join(file("label")?);
        let image = folder.join(file("image")?);
        let name = stem(&labels);
        let images = match image.exists() {
            true => vec![image],
            // The list may leave the channel's suffix out.
            false => channels_of(image.parent().unwrap_or(folder), &stem(&image))?,
        };
        case_files(name, images, labels, path)
    };
    pairs.iter().enumerate().map(case).collect()
}

/// The cases found in `labelsTr`.
fn scanned(folder: &Path, ending: Option<&str>) -> Result<Vec<CaseFiles>, Error> {
    let labels = folder.join("labelsTr");
    let mut cases = Vec::new();
    for path in entries(&labels)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if ending.is_some_and(|ending| !name.ends_with(ending)) {
            continue;
        }
        let name = stem(&path);
        let images = channels_of(&folder.join("imagesTr"), &name)?;
        cases.push(case_files(name, images, path, &labels)?);
    }
    Ok(cases)
}

fn case_files(
    name: String,
    images: Vec<PathBuf>,
    labels: PathBuf,
    source: &Path,
) -> Result<CaseFiles, Error> {
    if images.is_empty() || !labels.exists() {
        let missing = if images.is_empty() { "image" } else { "labels" };
        return Err(Error::file(
            source,
            format!(
                "case {name} has no {missing} file. Names must agree: imagesTr/{name}.nii.gz \
                 (or {name}_0000.nii.gz, one a channel) and labelsTr/{name}.nii.gz"
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

/// The image files of a case: `CASE` alone, or `CASE_0000` and so on.
fn channels_of(folder: &Path, case: &str) -> Result<Vec<PathBuf>, Error> {
    let mut channels = BTreeMap::new();
    for path in entries(folder)? {
        let name = stem(&path);
        if name == case {
            return Ok(vec![path]);
        }
        let suffix = name.strip_prefix(case).and_then(|s| s.strip_prefix('_'));
        if let Some(suffix) = suffix.filter(|s| s.len() == 4)
            && let Ok(channel) = suffix.parse::<usize>()
        {
            channels.insert(channel, path);
        }
    }
    if let Some((expected, (found, path))) = channels
        .iter()
        .enumerate()
        .find(|(expected, (found, _))| expected != *found)
    {
        return Err(Error::file(
            path,
            format!(
                "this is channel {found} of {case}, but channel {expected} is missing. Channels count from _0000"
            ),
        ));
    }
    Ok(channels.into_values().collect())
}

/// Visible files of a folder, sorted.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(Error::reading(folder))? {
        let entry = entry.map_err(Error::reading(folder))?;
        // Hidden files: macOS leaves `._x` beside every `x` it copies.
        if !entry.file_name().to_string_lossy().starts_with('.') {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

/// File name without its ending, `.nii.gz` and `.ome.tif` being one ending.
pub(super) fn stem(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let lower = name.to_lowercase();
    for ending in [".nii.gz", ".ome.tif", ".ome.tiff"] {
        if lower.ends_with(ending) {
            return name[..name.len() - ending.len()].to_owned();
        }
    }
    match name.rsplit_once('.') {
        Some((stem, _)) if !stem.is_empty() => stem.to_owned(),
        _ => name.into_owned(),
    }
}
