//! Labels that hold only some slices beside a whole stack, a file each: annotation of
//! exactly these slices.
//!
//! Which they are is said by the names of the files where the image is a folder of
//! slices too, and by the slices that a person states where there are as many. The
//! numbers of files alone do not say it beside an image in one file, unless they leave
//! no doubt whether they count from 0 or from 1.

use std::path::{Path, PathBuf};

use super::slice_names::{Unclear, numbers, places_by_name};
use crate::format::{READ_AS_NEIGHBOURS, slices_in};
use crate::labels::slices_in_words;
use crate::samples::{Sample, each_type};
use crate::words::counted;
use crate::{Annotated, Error, Filled, Geometry, Volume};

/// `labels` in the grid of their image where they hold some of its slices; as they are
/// where they do not: they have as many slices or more, slices of another size, or a
/// place of their own. What was done becomes a note.
///
/// `labels_path` and `image_path` are what they were read from; `annotated` is what is
/// said of the labels, where something is.
///
/// # Errors
/// Where they hold some slices and nothing says which.
pub fn place_slices(
    labels: Volume,
    labels_path: &Path,
    image_path: &Path,
    image: &Geometry,
    annotated: Option<&Annotated>,
) -> Result<Volume, Error> {
    let [depth, rows, columns] = labels.geometry.shape;
    let is_part = depth < image.shape[0]
        && [rows, columns] == image.shape[1..]
        && labels.geometry.world_from_volume.is_none()
        && labels.placed.is_none();
    if !is_part {
        return Ok(labels);
    }
    let stated = stated(annotated, image, depth);
    let found = match files(labels_path, depth)? {
        Some(files) => of_files(&files, labels_path, image_path, image, stated)?,
        // One file: its slices have no names.
        None => match stated {
            Some(stated) => (stated, "as they were stated"),
            None => return Ok(labels),
        },
    };
    let (places, how) = found;
    let mut out = spread(&labels, &places, image);
    // The gaps between them are meant.
    out.notes.retain(|note| !note.ends_with(READ_AS_NEIGHBOURS));
    let mut indices = places;
    indices.sort_unstable();
    out.notes.push(format!(
        "{}: the labels hold {} of {}, {how}: {}. Just these are annotated.",
        labels_path.display(),
        counted(indices.len(), "slice"),
        image.shape[0],
        slices_in_words(&[indices.clone(), Vec::new(), Vec::new()])
    ));
    out.placed = Some(Filled::Slices { axis: 0, indices });
    Ok(out)
}

/// The files of a folder of slices, or the one file of a single slice; `None` of a file
/// that holds several.
fn files(path: &Path, depth: usize) -> Result<Option<Vec<PathBuf>>, Error> {
    if path.is_dir() {
        return slices_in(path).map(|files| (files.len() == depth).then_some(files));
    }
    Ok((depth == 1).then(|| vec![path.to_owned()]))
}

/// The slices along z that a person states, where these are all and as many as there are.
fn stated(annotated: Option<&Annotated>, image: &Geometry, depth: usize) -> Option<Vec<usize>> {
    let Some(Annotated::Slices(stated)) = annotated else {
        return None;
    };
    // What cannot be resolved is refused later, with a better message.
    let [z, y, x] = stated.resolve(image, "").ok()?;
    (z.len() == depth && y.is_empty() && x.is_empty()).then_some(z)
}

/// The place of each file, and how it is known.
fn of_files(
    files: &[PathBuf],
    labels_path: &Path,
    image_path: &Path,
    image: &Geometry,
    stated: Option<Vec<usize>>,
) -> Result<(Vec<usize>, &'static str), Error> {
    let names = stems(files);
    let depth = image.shape[0];
    if image_path.is_dir() {
        let stack = slices_in(image_path)?;
        if stack.len() == depth {
            return match (places_by_name(&names, &stems(&stack)), stated) {
                (Ok(places), _) => Ok((places, "by the names of their files")),
                (Err(_), Some(stated)) => Ok((stated, "as they were stated")),
                (Err(unclear), None) => Err(unlike(labels_path, image_path, files, &unclear)),
            };
        }
    }
    if let Some(places) = stated {
        return Ok((places, "as they were stated"));
    }
    let numbers = numbers(&names).unwrap_or_default();
    let from = |base: u64| -> Option<Vec<usize>> {
        let place = |n: &u64| usize::try_from(n.checked_sub(base)?).ok();
        let places: Option<Vec<usize>> = numbers.iter().map(place).collect();
        places.filter(|places| !places.is_empty() && places.iter().all(|p| *p < depth))
    };
    let (advice, found) = match (from(0), from(1)) {
        (Some(places), None) => return Ok((places, "by the numbers of their files, from 0")),
        (None, Some(places)) => return Ok((places, "by the numbers of their files, from 1")),
        (Some(zero), Some(one)) => {
            let flag = |places: Vec<usize>| {
                let slices = [places, Vec::new(), Vec::new()];
                Annotated::Slices(crate::labels::StatedSlices::of(&slices)).flag()
            };
            let advice = format!(
                "Say {} if the files are numbered from 0, {} if from 1.",
                flag(zero),
                flag(one)
            );
            (advice, "whose numbers may count from 0 or from 1")
        }
        (None, None) => {
            let advice = "Say which they are (--annotated-slices z=4,14, one for each file), or give a file for every slice of the image.";
            (advice.into(), "whose names do not number them")
        }
    };
    Err(Error::field(
        labels_path,
        "the folder of labels",
        format!("{} {found}", counted(files.len(), "slice")),
        format!("must say which of the {depth} slices of the image they are"),
        advice,
    ))
}

fn unlike(labels: &Path, image: &Path, files: &[PathBuf], unclear: &Unclear) -> Error {
    let example = match unclear {
        Unclear::Unlike(name) => format!("{name} is like none"),
        Unclear::Several => "several may be meant".into(),
    };
    Error::field(
        labels,
        "the folder of labels",
        counted(files.len(), "slice"),
        format!(
            "must be named as slices of {} are ({example}), or be a file for every slice",
            image.display()
        ),
        "Give each the name of its slice, or say which they are: --annotated-slices z=4,14, one for each file.",
    )
}

fn stems(files: &[PathBuf]) -> Vec<String> {
    let stem = |file: &PathBuf| {
        file.file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    };
    files.iter().map(stem).collect()
}

/// The slices at their places along z in the grid of the image, 0 elsewhere.
fn spread(labels: &Volume, places: &[usize], image: &Geometry) -> Volume {
    let [depth, rows, columns] = labels.geometry.shape;
    let size = rows * columns;
    let samples = each_type!(labels.samples.number_type(), T, variant => {
        let values = T::of_samples(&labels.samples).unwrap_or_default();
        let mut out = vec![T::default(); labels.channels * image.voxels()];
        for channel in 0..labels.channels {
            for (z, place) in places.iter().enumerate() {
                let from = (channel * depth + z) * size;
                let to = (channel * image.shape[0] + place) * size;
                out[to..to + size].copy_from_slice(&values[from..from + size]);
            }
        }
        variant(out)
    });
    Volume {
        geometry: Geometry {
            shape: image.shape,
            ..labels.geometry.clone()
        },
        channels: labels.channels,
        samples,
        scaling: labels.scaling,
        notes: labels.notes.clone(),
        placed: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LabelScheme, Labels, Samples};

    /// A folder of one-pixel-high slices: `(name, value)`.
    fn folder(at: &Path, name: &str, slices: &[(&str, u8)]) -> PathBuf {
        let path = at.join(name);
        std::fs::create_dir_all(&path).unwrap();
        for (name, value) in slices {
            let slice = Volume::new(
                Geometry::of_shape([1, 2, 2]),
                1,
                Samples::U8(vec![*value, 0, 0, 0]),
            );
            crate::write(&path.join(format!("{name}.png")), &slice.unwrap()).unwrap();
        }
        path
    }

    fn read(labels: &Path, image: &Path, annotated: Annotated) -> Result<(Volume, Labels), String> {
        let geometry = crate::read(image).unwrap().geometry;
        let volume = crate::read(labels).unwrap();
        let volume = place_slices(volume, labels, image, &geometry, Some(&annotated))
            .map_err(|e| e.to_string())?;
        let scheme = LabelScheme {
            classes: vec![],
            annotated,
            objects: None,
        };
        let labels = Labels::from_volume(&volume, &scheme, None, "labels");
        Ok((volume, labels.map_err(|e| e.to_string())?))
    }

    fn stack(n: usize) -> Vec<(String, u8)> {
        (0..n).map(|z| (format!("slice_{z:02}"), z as u8)).collect()
    }

    fn image(at: &Path) -> PathBuf {
        let stack = stack(16);
        let slices: Vec<(&str, u8)> = stack.iter().map(|(n, v)| (n.as_str(), *v)).collect();
        folder(at, "image", &slices)
    }

    fn whole(volume: &Volume) -> PathBuf {
        let file = tempfile::Builder::new().suffix(".tif").tempfile().unwrap();
        let path = file.into_temp_path().keep().unwrap();
        crate::write(&path, volume).unwrap();
        path
    }

    #[test]
    fn some_slices_are_annotated_under_every_scheme() {
        let at = tempfile::tempdir().unwrap();
        let image = image(at.path());
        let some = [("slice_02", 1), ("slice_05", 0), ("slice_11", 2)];
        let labels = folder(at.path(), "labels", &some);
        let z = crate::labels::Direction::Z;
        for annotated in [
            Annotated::PaintedSlices(vec![z]),
            Annotated::Dense,
            Annotated::Slices("z=2,5,11".parse().unwrap()),
        ] {
            let (volume, read) = read(&labels, &image, annotated).unwrap();
            assert_eq!(read.annotated_slices(), [vec![2, 5, 11], vec![], vec![]]);
            assert_eq!(read.class_voxels(), [10, 1, 1]);
            assert!(
                volume.notes[0].contains("z 2, 5, 11 (3 slices)"),
                "{:?}",
                volume.notes
            );
        }
        let (_, read_) = read(&labels, &image, Annotated::Except(0)).unwrap();
        assert_eq!(read_.annotated_voxels(), 2);
        let (_, fewer) = read(&labels, &image, Annotated::Slices("z=2,5".parse().unwrap()))
            .unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(fewer.annotated_slices()[0], [2, 5]);
        let error = read(&labels, &image, Annotated::Slices("z=2,7".parse().unwrap())).unwrap_err();
        assert!(
            error.contains("z 7") && error.contains("z 2, 5, 11"),
            "{error}"
        );
        let y = Annotated::PaintedSlices(vec![crate::labels::Direction::Y]);
        let error = read(&labels, &image, y).unwrap_err();
        assert!(error.contains("--painted-slices z"), "{error}");
    }

    #[test]
    fn one_slice_alone_and_names_that_fit_nothing() {
        let at = tempfile::tempdir().unwrap();
        let image = image(at.path());
        let one = folder(at.path(), "one", &[("slice_07_mask", 1)]);
        let painted = || Annotated::PaintedSlices(vec![crate::labels::Direction::Z]);
        for path in [one.clone(), one.join("slice_07_mask.png")] {
            let (_, labels) = read(&path, &image, painted()).unwrap();
            assert_eq!(labels.annotated_slices()[0], [7], "{path:?}");
        }
        let other = folder(at.path(), "other", &[("slice_07", 1), ("slice_77", 1)]);
        let error = read(&other, &image, painted()).unwrap_err();
        for part in ["other", "slice_77 is like none", "a file for every slice"] {
            assert!(error.contains(part), "{part} in {error}");
        }
        // Stated, one for each file, they need no names.
        let stated = Annotated::Slices("z=7,9".parse().unwrap());
        let (_, labels) = read(&other, &image, stated).unwrap();
        assert_eq!(labels.annotated_slices()[0], [7, 9]);
    }

    #[test]
    fn beside_one_file_numbers_must_leave_no_doubt() {
        let at = tempfile::tempdir().unwrap();
        let volume =
            Volume::new(Geometry::of_shape([16, 2, 2]), 1, Samples::U8(vec![9; 64])).unwrap();
        let image = whole(&volume);
        let painted = || Annotated::PaintedSlices(vec![crate::labels::Direction::Z]);
        let places = |name: &str, slices: &[(&str, u8)], annotated: Annotated| {
            let labels = folder(at.path(), name, slices);
            read(&labels, &image, annotated).map(|(_, l)| l.annotated_slices()[0].clone())
        };
        let (zero, one) = ([("s00", 1), ("s05", 1)], [("s05", 1), ("s16", 1)]);
        assert_eq!(places("zero", &zero, painted()), Ok(vec![0, 5]));
        assert_eq!(places("one", &one, painted()), Ok(vec![4, 15]));
        let error = places("either", &[("s02", 1), ("s05", 1)], painted()).unwrap_err();
        for flag in ["--annotated-slices z=2,5 ", "--annotated-slices z=1,4 "] {
            assert!(error.contains(flag), "{flag} in {error}");
        }
        let stated = Annotated::Slices("z=1,4".parse().unwrap());
        assert_eq!(places("either", &[], stated.clone()), Ok(vec![1, 4]));
        let error = places("words", &[("cat", 1), ("dog", 1)], painted()).unwrap_err();
        assert!(error.contains("--annotated-slices"), "{error}");
        let error = places("far", &[("s02", 1), ("s25", 1)], painted()).unwrap_err();
        assert!(error.contains("--annotated-slices"), "{error}");

        // A stack of just the stated slices.
        let two = Volume::new(
            Geometry::of_shape([2, 2, 2]),
            1,
            Samples::U8(vec![1, 0, 0, 0, 0, 2, 0, 0]),
        );
        let two = whole(&two.unwrap());
        let (_, labels) = read(&two, &image, stated).unwrap();
        assert_eq!(labels.annotated_slices()[0], [1, 4]);
        assert_eq!(labels.voxels[4 * 4 + 1].class(), Some(2));
        for path in [image, two] {
            std::fs::remove_file(path).unwrap();
        }
    }
}
