//! nnU-Net's spacing beside a TIFF.
//!
//! TIFF has no field for the distance of slices that all programs agree on, so
//! nnU-Net keeps it in a JSON file: `cell6.json`, with `"spacing": [z, y, x]`,
//! beside `cell6.tif`, or beside `cell6_0000.tif` and the other channels.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::{Volume, name, text};

/// More than any such file has: larger ones are other data under that name.
const MOST_BYTES: u64 = 1 << 20;

/// Relative difference up to which two spacings are one, written differently.
const SAME: f64 = 1e-3;

/// Gives `volume`, read from `path`, the spacing of the file beside it, if there is
/// one with a spacing. What is strange about that becomes a note.
pub(super) fn apply(path: &Path, volume: &mut Volume) {
    let Some((beside, value)) = candidates(path).into_iter().find_map(spacing_in) else {
        return;
    };
    let file = beside.file_name().unwrap_or_default().display();
    let Some(spacing_mm) = three_above_0(&value) else {
        volume.notes.push(format!(
            "{file} beside it is passed over: its spacing is {value}, must be three numbers above 0, [z, y, x] in mm."
        ));
        return;
    };
    let own = volume.geometry.spacing();
    let factors = own.map(|own| [0, 1, 2].map(|axis| spacing_mm[axis] / own[axis]));
    match factors {
        Some([z, y, x]) if is_same(z, y) && is_same(z, x) => {
            // One spacing in two units: the TIFF names its own, the JSON does not.
            if !is_same(z, 1.0) {
                volume.notes.push(format!(
                    "{file} beside it states {z} times the spacing that the TIFF states. \
                     The file's own, which has a unit, is used."
                ));
            }
        }
        found => {
            if found.is_some() {
                volume.notes.push(format!(
                    "its own spacing, {:?} mm [z, y, x], differs from that in {file} beside it, {spacing_mm:?}. \
                     The latter is used, as nnU-Net does.",
                    own.unwrap_or_default()
                ));
            }
            volume.geometry.spacing_mm = Some(spacing_mm);
        }
    }
}

/// The names that such a file may have.
fn candidates(path: &Path) -> Vec<PathBuf> {
    let stem = name::stem(path);
    let case = name::channel(&stem).map(|(case, _)| case);
    let json = |mut name: std::ffi::OsString| {
        name.push(".json");
        path.with_file_name(name)
    };
    [Some(stem), case].into_iter().flatten().map(json).collect()
}

/// What a file says of the spacing; `None` where it is no JSON that has one.
fn spacing_in(path: PathBuf) -> Option<(PathBuf, Value)> {
    let about = std::fs::metadata(&path).ok()?;
    if !about.is_file() || about.len() > MOST_BYTES {
        return None;
    }
    let text = text::read(&path).ok()?.text;
    let mut json: Value = serde_json::from_str(&text).ok()?;
    let spacing = json.get_mut("spacing")?.take();
    Some((path, spacing))
}

fn three_above_0(value: &Value) -> Option<[f64; 3]> {
    let numbers: Option<Vec<f64>> = value.as_array()?.iter().map(Value::as_f64).collect();
    let spacing: [f64; 3] = numbers?.try_into().ok()?;
    spacing
        .iter()
        .all(|s| s.is_finite() && *s > 0.0)
        .then_some(spacing)
}

fn is_same(a: f64, b: f64) -> bool {
    (a - b).abs() <= SAME * a.abs().max(b.abs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Geometry, Samples};

    fn read_with(own: Option<[f64; 3]>, name: &str, json: &[u8]) -> Volume {
        let folder = tempfile::tempdir().unwrap();
        let geometry = Geometry {
            spacing_mm: own,
            ..Geometry::of_shape([2, 3, 4])
        };
        let volume = Volume::new(geometry, 1, Samples::U8(vec![0; 24])).unwrap();
        let path = folder.path().join("cell6_0000.tif");
        crate::write(&path, &volume).unwrap();
        std::fs::write(folder.path().join(name), json).unwrap();
        crate::read(&path).unwrap()
    }

    #[test]
    fn the_spacing_beside_a_file_is_its_spacing() {
        let json = br#"{"spacing": [2.0, 1, 0.5]}"#;
        for name in ["cell6.json", "cell6_0000.json"] {
            let read = read_with(None, name, json);
            assert_eq!(read.geometry.spacing_mm, Some([2.0, 1.0, 0.5]), "{name}");
            assert_eq!(read.notes, Vec::<String>::new());
        }
        let marked = [b"\xef\xbb\xbf", &json[..]].concat();
        assert!(
            read_with(None, "cell6.json", &marked)
                .geometry
                .spacing_mm
                .is_some()
        );
        for other in ["cell7.json", "cell6_0001.json", "dataset.json"] {
            assert_eq!(
                read_with(None, other, json).geometry.spacing_mm,
                None,
                "{other}"
            );
        }
    }

    #[test]
    fn what_is_no_spacing_is_told_or_passed_over() {
        for silent in ["{}", "{", "[1, 2, 3]", "{\"Modality\": \"MR\"}"] {
            let read = read_with(None, "cell6.json", silent.as_bytes());
            assert_eq!(
                (read.geometry.spacing_mm, read.notes.len()),
                (None, 0),
                "{silent}"
            );
        }
        for told in [
            "[1, 2]",
            "[1, 2, 0]",
            "[1, 2, -1]",
            "[1, 2, \"3\"]",
            "2.0",
            "null",
        ] {
            let json = format!("{{\"spacing\": {told}}}");
            let read = read_with(None, "cell6.json", json.as_bytes());
            assert_eq!(
                (read.geometry.spacing_mm, read.notes.len()),
                (None, 1),
                "{told}"
            );
        }
    }

    #[test]
    fn two_statements_that_differ() {
        let own = Some([0.002, 0.001, 0.001]);
        let with = |json: &str| read_with(own, "cell6.json", json.as_bytes());
        let close = |read: &Volume, expected: [f64; 3]| {
            let found = read.geometry.spacing_mm.unwrap();
            (0..3).all(|i| (found[i] - expected[i]).abs() < 1e-6 * expected[i])
        };
        let same = with(r#"{"spacing": [0.002, 0.001, 0.001]}"#);
        assert!(close(&same, [0.002, 0.001, 0.001]) && same.notes.is_empty());
        let micrometres = with(r#"{"spacing": [2, 1, 1]}"#);
        assert!(close(&micrometres, [0.002, 0.001, 0.001]));
        assert_eq!(micrometres.notes.len(), 1);
        let other = with(r#"{"spacing": [5, 1, 1]}"#);
        assert!(close(&other, [5.0, 1.0, 1.0]));
        assert_eq!(other.notes.len(), 1);
    }
}
