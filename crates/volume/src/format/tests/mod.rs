//! What every format must do: give back what it was given, and answer bad
//! files with an error instead of a panic.

mod hostile;
mod unusual;
mod written_labels;

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;
use crate::Geometry;
use crate::samples::{NumberType, Sample, Samples, each_type};

/// A volume whose samples reach the limits of their type.
fn volume(number_type: NumberType, channels: usize, shape: [usize; 3]) -> Volume {
    let count = channels * shape.iter().product::<usize>();
    let samples = each_type!(number_type, T, variant => {
        let limits = [T::MIN, T::MAX];
        variant((0..count).map(|i| match i {
            0 | 1 => limits[i],
            _ => (i % 113) as T,
        }).collect())
    });
    let geometry = Geometry {
        shape,
        spacing_mm: Some([0.0005, 0.000284, 0.000127]),
        world_from_volume: None,
        forms: None,
    };
    Volume::new(geometry, channels, samples).expect("valid")
}

fn scratch() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn there_and_back(name: &str, volume: &Volume) -> Result<Volume, Error> {
    let folder = scratch();
    let path = folder.path().join(name);
    write(&path, volume)?;
    let left = fs::read_dir(folder.path()).expect("listed").count();
    assert_eq!(left, 1, "{name}: a temporary file stayed behind");
    read(&path)
}

fn close(a: Option<[f64; 3]>, b: Option<[f64; 3]>) -> bool {
    match (a, b) {
        // NIfTI: half an epsilon of f32 to store, half for the shortest decimal.
        (Some(a), Some(b)) => a
            .iter()
            .zip(b)
            .all(|(a, b)| (a - b).abs() <= f64::from(f32::EPSILON) * b),
        (a, b) => a == b,
    }
}

#[test]
fn every_type_survives_every_format() {
    let mut failures = Vec::new();
    for name in ["a.nii", "a.nii.gz", "a.tif", "a.npy", "folder", "folder/"] {
        for number_type in NumberType::ALL {
            for channels in [1, 2, 3, 5] {
                for shape in [[1, 1, 6], [3, 2, 5]] {
                    let mut before = volume(number_type, channels, shape);
                    let after = there_and_back(name, &before).expect(name);
                    let keeps_spacing = match name {
                        "a.npy" => false,
                        n if n.starts_with("folder") => after.geometry.spacing_mm.is_some(),
                        _ => true,
                    };
                    if !keeps_spacing {
                        before.geometry.spacing_mm = None;
                    }
                    if after.samples != before.samples
                        || after.channels != channels
                        || after.geometry.shape != shape
                        || !close(after.geometry.spacing_mm, before.geometry.spacing_mm)
                    {
                        failures.push(format!(
                            "{name} {} {channels} {shape:?}: {:?}",
                            number_type.name(),
                            after.geometry
                        ));
                    }
                }
            }
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn orientation_survives_nifti_and_nothing_else_pretends() {
    let mut before = volume(NumberType::I16, 1, [2, 3, 4]);
    before.geometry.spacing_mm = Some([2.0, 0.5, 0.25]);
    before.geometry.world_from_volume = Some([
        [0.0, 0.0, -0.25, 10.0],
        [0.0, 0.5, 0.0, -20.0],
        [2.0, 0.0, 0.0, 5.5],
    ]);
    for name in ["a.nii", "a.nii.gz"] {
        assert_eq!(there_and_back(name, &before).expect(name), before);
    }
    for name in ["a.tif", "a.npy", "folder"] {
        let after = there_and_back(name, &before).expect(name);
        assert_eq!(after.geometry.world_from_volume, None, "{name}");
    }
}

#[test]
fn content_wins_over_the_name() {
    let folder = scratch();
    let before = volume(NumberType::U16, 2, [3, 4, 5]);
    write(&folder.path().join("a.nii.gz"), &before).expect("written");
    fs::rename(folder.path().join("a.nii.gz"), folder.path().join("a.tif")).expect("renamed");
    assert_eq!(
        read(&folder.path().join("a.tif")).expect("read").samples,
        before.samples
    );
    fs::write(folder.path().join("b.xyz"), b"hello").expect("written");
    let error = read(&folder.path().join("b.xyz")).expect_err("no format");
    assert!(error.to_string().contains("NIfTI-1"), "{error}");
    let error = write(&folder.path().join("c.xyz"), &before).expect_err("no format");
    assert!(matches!(error, Error::UnknownFormat { .. }), "{error}");
    let error = read(&folder.path().join("absent.nii")).expect_err("absent");
    assert!(matches!(error, Error::Io { .. }), "{error}");
}

/// A sound file of each format, small, in several variants.
fn samples_of_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for (name, number_type, channels) in [
        ("a.nii", NumberType::I16, 1),
        ("b.nii.gz", NumberType::F32, 2),
        ("c.tif", NumberType::U16, 2),
        ("d.tif", NumberType::I32, 1),
        ("e.npy", NumberType::F64, 1),
        ("f.png", NumberType::U8, 3),
    ] {
        let depth = if name == "f.png" { 1 } else { 3 };
        let path = folder.join(name);
        write(&path, &volume(number_type, channels, [depth, 4, 5])).expect(name);
        files.push(path);
    }
    files
}

#[test]
fn every_truncation_is_an_error() {
    let folder = scratch();
    for path in samples_of_files(folder.path()) {
        let whole = fs::read(&path).expect("read");
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).expect("written");
            // A TIFF page list may legally end before the last byte of a file.
            if let Ok(volume) = read(&path) {
                let spare = whole.len() - length;
                assert!(
                    path.extension().is_some_and(|e| e == "tif") && spare <= 8,
                    "{} cut to {length} of {} gave {:?}",
                    path.display(),
                    whole.len(),
                    volume.geometry
                );
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    // Whatever stands in a file, reading it ends with a volume or an error.
    #[test]
    fn damage_never_panics(
        file in 0usize..6,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        keep in 0.5..1.5f64,
    ) {
        let folder = scratch();
        let path = samples_of_files(folder.path()).swap_remove(file);
        let mut bytes = fs::read(&path).expect("read");
        for (place, value) in changes {
            let i = place.index(bytes.len());
            bytes[i] = value;
        }
        bytes.truncate((bytes.len() as f64 * keep) as usize);
        fs::write(&path, &bytes).expect("written");
        if let Ok(volume) = read(&path) {
            let geometry = volume.geometry.clone();
            prop_assert!(Volume::new(geometry, volume.channels, volume.samples).is_ok());
        }
    }

    #[test]
    fn any_samples_survive(
        values in prop::collection::vec(any::<u32>(), 24),
        spacing in prop::option::of([1e-6..10.0f64, 1e-6..10.0, 1e-6..10.0]),
    ) {
        let mut geometry = Geometry::of_shape([2, 3, 4]);
        geometry.spacing_mm = spacing;
        let samples = Samples::F32(values.iter().map(|&v| f32::from_bits(v)).collect());
        let before = Volume::new(geometry, 1, samples).expect("valid");
        for name in ["a.nii", "a.tif", "a.npy"] {
            let after = there_and_back(name, &before).expect(name);
            let bits: Vec<u32> = f32::of_samples(&after.samples).expect("f32").iter().map(|v| v.to_bits()).collect();
            prop_assert_eq!(&bits, &values, "{}", name);
            if name != "a.npy" {
                prop_assert!(close(after.geometry.spacing_mm, spacing), "{name} {:?}", after.geometry);
            }
        }
    }
}
