//! The description that tifffile writes: a JSON object with `shape` and `axes`.
//!
//! It is also what this program writes for the sample types that ImageJ lacks
//! (8-bit signed, 32-bit and 64-bit integers, f64): tifffile gives such a file
//! back with its shape, and a plain viewer still sees a stack of pages.

use std::path::Path;

use serde_json::{Value, json};

use super::imagej::significant;
use super::{Arrangement, units};
use crate::words::counted;
use crate::{Class, Error, Volume};

/// Whether a description is a JSON object with a shape.
pub(super) fn is_shaped(description: &str) -> bool {
    parse(description).is_some()
}

fn parse(description: &str) -> Option<Value> {
    let text = description.trim_end_matches('\0').trim();
    // Descriptions can be of any kind: only an object is worth parsing.
    text.starts_with('{')
        .then(|| serde_json::from_str::<Value>(text).ok())
        .flatten()
        .filter(|value| value["shape"].is_array())
}

/// Reads a description; `samples` of each pixel belong to the page.
pub(super) fn arrange(
    description: &str,
    page_count: usize,
    samples: usize,
    path: &Path,
) -> Result<Arrangement, Error> {
    let value = parse(description).unwrap_or(Value::Null);
    let wrong = |rule: &str| {
        Error::field(
            path,
            "the shape in the description of the first page",
            format!("{} (axes {})", value["shape"], value["axes"]),
            rule,
            "Save it again with tifffile and metadata={'axes': 'CZYX'}, as ImageJ or as OME-TIFF.",
        )
    };
    let shape: Vec<usize> = value["shape"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|n| {
            n.as_u64()
                .and_then(|n| usize::try_from(n).ok())
                .unwrap_or(0)
        })
        .collect();
    // Axes of pages only: those of the pixels are known from the page.
    let within = 2 + usize::from(samples > 1);
    let outer = shape
        .get(..shape.len().saturating_sub(within))
        .unwrap_or_default();
    let axes = value["axes"].as_str().unwrap_or_default();
    let letters: Vec<char> = match axes.len() == shape.len() {
        true => axes.chars().take(outer.len()).collect(),
        false => Vec::new(),
    };
    let pages = outer
        .iter()
        .try_fold(1usize, |product, &n| product.checked_mul(n));
    if pages != Some(page_count) {
        return Err(wrong(&format!(
            "must agree with the {} of the file, which may hold several arrays",
            counted(page_count, "page")
        )));
    }
    let long: Vec<(usize, Option<char>)> = outer
        .iter()
        .enumerate()
        .filter(|(_, n)| **n > 1)
        .map(|(i, &n)| (n, letters.get(i).copied()))
        .collect();
    let is_channel = |letter: Option<char>| letter == Some('C');
    let is_depth = |letter: Option<char>| !matches!(letter, Some('C' | 'T'));
    let arranged = match *long.as_slice() {
        [] => Some(Arrangement::channels_fastest(1, 1, None)),
        [(n, letter)] if is_channel(letter) => Some(Arrangement::channels_fastest(n, 1, None)),
        [(n, letter)] if is_depth(letter) => Some(Arrangement::channels_fastest(1, n, None)),
        // Without letters, as in NPY: channels first.
        [(c, letter), (z, depth)]
            if (is_channel(letter) || letters.is_empty()) && is_depth(depth) =>
        {
            if letters.is_empty()
                && let [.., y, x] = *shape.as_slice()
            {
                check_channels_last([c, z, y, x], path)?;
            }
            Some(Arrangement {
                pages: (0..c * z).collect(),
                ..Arrangement::channels_fastest(c, z, None)
            })
        }
        [(z, depth), (c, letter)] if is_channel(letter) && is_depth(depth) => {
            Some(Arrangement::channels_fastest(c, z, None))
        }
        _ => None,
    };
    let mut arranged =
        arranged.ok_or_else(|| wrong("must have slices and channels only, no time"))?;
    arranged.spacing_mm = spacing_mm(&value);
    Ok(arranged)
}

/// Refuses pages that seem to be `[z, y, x, c]`, as picture libraries have it.
pub(super) fn check_channels_last(shape: [usize; 4], path: &Path) -> Result<(), Error> {
    if !crate::format::channels_seem_last(shape) {
        return Ok(());
    }
    let [z, y, x, c] = shape;
    Err(Error::field(
        path,
        "the shape of the pages",
        format!("{shape:?}"),
        "must be channels, z, y, x, channels first",
        format!(
            "The channels seem to be last: save numpy.moveaxis(array, -1, 0), of shape \
             ({c}, {z}, {y}, {x}), with tifffile and metadata={{'axes': 'CZYX'}}."
        ),
    ))
}

fn spacing_mm(value: &Value) -> Option<[f64; 3]> {
    let unit_mm = units::millimetres(value["unit"].as_str()?)?;
    let mut spacing = [0.0; 3];
    for (axis, spacing) in spacing.iter_mut().enumerate() {
        *spacing = units::scaled(value["spacing_zyx"][axis].as_f64()?, unit_mm);
    }
    spacing
        .iter()
        .all(|s| s.is_finite() && *s > 0.0)
        .then_some(spacing)
}

/// Composes a description.
pub(super) fn describe(volume: &Volume, classes: Option<&[Class]>) -> String {
    let [z, y, x] = volume.geometry.shape;
    let mut value = match volume.channels {
        1 => json!({"shape": [z, y, x], "axes": "ZYX"}),
        // Channels fastest, as the pages are written for ImageJ too.
        c => json!({"shape": [z, c, y, x], "axes": "ZCYX"}),
    };
    if let Some(spacing_mm) = volume.geometry.spacing() {
        let (unit, unit_mm) = units::fitting(spacing_mm);
        value["spacing_zyx"] = json!(spacing_mm.map(|s| significant(s / unit_mm)));
        value["unit"] = json!(unit);
    }
    if let Some(classes) = classes {
        value["classes"] = json!(classes);
    }
    // The description is meant to be ASCII.
    value
        .to_string()
        .chars()
        .map(|c| match c.is_ascii() {
            true => c.to_string(),
            false => c
                .encode_utf16(&mut [0; 2])
                .iter()
                .map(|u| format!("\\u{u:04x}"))
                .collect(),
        })
        .collect()
}
