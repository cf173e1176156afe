//! A folder of slices, PNG or TIFF; also a single PNG as a volume of one slice.
//!
//! Slices are ordered by name as people count: `z2` before `z10`. All must
//! agree in size, type and channels. Files of other kinds and hidden files are
//! passed over; PNG beside TIFF is refused, for it would be a guess which is
//! meant. Written are PNG where they can hold the samples (8-bit and 16-bit
//! unsigned, one channel or RGB), else TIFF.

mod natural;
mod png;
mod sequence;

pub(crate) use sequence::READ_AS_NEIGHBOURS;

use std::fs;
use std::path::{Path, PathBuf};

use super::{Format, Source, atomic, budget, has_extension, tiff};
use crate::samples::{NumberType, each_type, sample_count};
use crate::words::counted;
use crate::{Class, Error, Geometry, Volume};

const OTHER_THAN_PNG: &str =
    "Write to a folder (a name that ends in /), or choose .tif, .nii.gz or .npy.";

pub(super) struct Slices;

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Png,
    Tiff,
}

impl Format for Slices {
    fn name(&self) -> &'static str {
        "a folder of PNG or TIFF slices"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &[".png"]
    }

    fn recognises(&self, source: &Source) -> bool {
        source.is_folder || source.start.starts_with(png::MAGIC)
    }

    /// An existing folder, a name with a separator at its end or without an
    /// extension; or a PNG.
    fn claims(&self, path: &Path) -> bool {
        let ends_as_folder = path.to_string_lossy().ends_with(std::path::is_separator);
        path.is_dir()
            || ends_as_folder
            || path.extension().is_none()
            || has_extension(path, self.extensions())
    }

    /// A single PNG replaces a file, a folder only what is empty or was
    /// written by this program.
    fn check_target(&self, path: &Path) -> Result<(), Error> {
        if path.exists() && !path.is_dir() {
            return match has_extension(path, self.extensions()) {
                true => Ok(()),
                false => Err(Error::field(
                    path,
                    "the output",
                    "a file",
                    "must be a folder, for its name has no ending of a format",
                    "Choose another name, or give it an ending such as .nii.gz.",
                )),
            };
        }
        check_replaceable(path)
    }

    fn check_shape(&self, path: &Path, shape: [usize; 3]) -> Result<(), Error> {
        let [z, ..] = shape;
        if z != 1 && has_extension(path, self.extensions()) && !path.is_dir() {
            return Err(Error::field(
                path,
                "the volume",
                counted(z, "slice"),
                "must be 1 slice to become one PNG",
                OTHER_THAN_PNG,
            ));
        }
        Ok(())
    }

    fn check_samples(
        &self,
        path: &Path,
        shape: [usize; 3],
        channels: usize,
        number_type: NumberType,
    ) -> Result<(), Error> {
        let fits = is_folder_to_write(path) || png::fits(channels, number_type);
        match fits {
            true => Ok(()),
            false => Err(not_one_png(path, shape, channels, number_type.name())),
        }
    }

    fn read(&self, path: &Path) -> Result<Volume, Error> {
        if path.is_dir() {
            read_folder(path)
        } else {
            png::read(path)
        }
    }

    fn write(&self, path: &Path, volume: &Volume, classes: Option<&[Class]>) -> Result<(), Error> {
        if has_extension(path, self.extensions()) && !path.is_dir() {
            return write_single(path, volume);
        }
        self.check_target(path)?;
        atomic::write_folder(path, |folder| {
            let depth = volume.geometry.shape[0];
            let digits = (depth - 1).to_string().len().max(4);
            for z in 0..depth {
                let slice = slice_of(volume, z);
                let kind = if png::can_hold(&slice) { "png" } else { "tif" };
                let file = folder.join(format!("z{z:0digits$}.{kind}"));
                if png::can_hold(&slice) {
                    atomic::write_inside(&file, |writer| png::write(writer, &file, &slice))?;
                } else {
                    tiff::write_inside(&file, &slice, classes)?;
                }
            }
            Ok(())
        })
    }
}

fn read_folder(path: &Path) -> Result<Volume, Error> {
    let files = slices_in(path)?;
    let depth = files.len();
    let Some(first) = files.first() else {
        super::unknown::check_folder(path)?;
        return Err(Error::field(
            path,
            "the folder",
            "without slices",
            "must hold files that end in .png, .tif or .tiff",
            "Give the path of a single file, if the volume is one file in this folder.",
        ));
    };
    let file_bytes = files
        .iter()
        .filter_map(|file| fs::metadata(file).ok())
        .map(|metadata| metadata.len())
        .sum();
    let first = read_slice(first)?;
    let [_, height, width] = first.geometry.shape;
    let channels = first.channels;
    let shape = [depth, height, width];
    let count = sample_count(channels, shape)?;
    let number_type = first.samples.number_type();
    let mut geometry = Geometry::of_shape(shape);
    geometry.spacing_mm = first.geometry.spacing_mm;
    drop(first);

    each_type!(number_type, T, variant => {
        // All at once where the files are large enough to hold the volume;
        // else as the slices arrive.
        let at_once = budget::is_believed((count * number_type.bytes()) as u64, file_bytes);
        let mut samples: Vec<T> = budget::reserved(if at_once { count } else { 0 }, path)?;
        let mut others: Vec<Vec<T>> = vec![Vec::new(); channels - 1];
        let mut notes = Vec::new();
        for file in &files {
            let slice = read_slice(file)?;
            let name = file.file_name().unwrap_or_default().display();
            notes.extend(slice.notes.iter().map(|note| format!("{name}: {note}")));
            let found = (slice.geometry.shape, slice.channels, slice.type_name());
            let wanted = ([1, height, width], channels, number_type.name());
            let values = <T as crate::samples::Sample>::of_samples(&slice.samples);
            let (true, Some(values)) = (found == wanted, values) else {
                let describe = |([_, y, x], c, name): ([usize; 3], usize, &str)| {
                    format!("{y} x {x} pixels of {c} {name}")
                };
                return Err(Error::field(
                    file,
                    "the slice",
                    describe(found),
                    format!("must be like the first slice of its folder, {}", describe(wanted)),
                    "A file that is not a slice may have got into the folder: move it elsewhere.",
                ));
            };
            let size = height * width;
            samples.try_reserve(size).map_err(|_| {
                Error::io(path, "reserving memory for the samples")(std::io::ErrorKind::OutOfMemory.into())
            })?;
            samples.extend_from_slice(&values[..size]);
            for (c, other) in others.iter_mut().enumerate() {
                other.extend_from_slice(&values[(c + 1) * size..(c + 2) * size]);
            }
        }
        for mut other in others {
            samples.append(&mut other);
        }
        let mut volume = Volume::new(geometry, channels, variant(samples))?;
        volume.notes = few(notes);
        volume.notes.extend(sequence::note(&stems(&files)));
        Ok(volume)
    })
}

/// Names without their endings.
fn stems(files: &[PathBuf]) -> Vec<String> {
    let stem = |file: &PathBuf| {
        file.file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    };
    files.iter().map(stem).collect()
}

/// Notes of slices, the first of them where each slice has one.
fn few(mut notes: Vec<String>) -> Vec<String> {
    const MOST: usize = 3;
    let more = notes.len().saturating_sub(MOST);
    notes.truncate(MOST);
    if more > 0 {
        notes.push(format!("{} on its slices.", counted(more, "further note")));
    }
    notes
}

/// The slices of a folder in their order.
pub(crate) fn slices_in(path: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut files = Vec::new();
    let mut kinds = Vec::new();
    let failed = |error| Error::io(path, "listing the folder")(error);
    for entry in fs::read_dir(path).map_err(failed)? {
        let file = entry.map_err(failed)?.path();
        let hidden = file
            .file_name()
            .is_none_or(|name| name.to_string_lossy().starts_with('.'));
        if let (Some(kind), false) = (kind_of(&file), hidden)
            && file.is_file()
        {
            kinds.push(kind);
            files.push(file);
        }
    }
    if kinds.iter().any(|kind| *kind != kinds[0]) {
        return Err(Error::field(
            path,
            "the folder",
            "a mixture of PNG and TIFF files",
            "must hold slices of one kind",
            "Move those that do not belong to the volume elsewhere.",
        ));
    }
    files.sort_by(|a, b| {
        let name = |p: &PathBuf| {
            p.file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned()
        };
        natural::compare(&name(a), &name(b))
    });
    Ok(files)
}

/// Whether [`slices_in`] takes a file of this name for a slice.
pub(super) fn is_name_of_slice(path: &Path) -> bool {
    kind_of(path).is_some()
}

fn kind_of(path: &Path) -> Option<Kind> {
    if has_extension(path, &[".png"]) {
        Some(Kind::Png)
    } else if has_extension(path, &[".tif", ".tiff"]) {
        Some(Kind::Tiff)
    } else {
        None
    }
}

fn read_slice(path: &Path) -> Result<Volume, Error> {
    let slice = match kind_of(path) {
        Some(Kind::Png) => png::read(path)?,
        _ => tiff::Tiff.read(path)?,
    };
    match slice.geometry.shape[0] {
        1 => Ok(slice),
        depth => Err(Error::field(
            path,
            "the number of slices in the file",
            depth,
            "must be 1 in a folder of slices",
            "If this file is the whole volume, give its own path instead of that of the folder.",
        )),
    }
}

/// Whether a path that is written as slices is a folder, not a single PNG.
pub(super) fn is_folder_to_write(path: &Path) -> bool {
    Slices.claims(path) && (path.is_dir() || !has_extension(path, Slices.extensions()))
}

fn write_single(path: &Path, volume: &Volume) -> Result<(), Error> {
    let shape = volume.geometry.shape;
    if shape[0] != 1 || !png::can_hold(volume) {
        return Err(not_one_png(
            path,
            shape,
            volume.channels,
            volume.type_name(),
        ));
    }
    atomic::write_file(path, |writer| png::write(writer, path, volume))
}

fn not_one_png(path: &Path, [z, ..]: [usize; 3], channels: usize, type_name: &str) -> Error {
    Error::field(
        path,
        "the volume",
        format!("{} of {channels} {type_name}", counted(z, "slice")),
        "must be 1 slice of 1 or 3 channels, uint8 or uint16, to become one PNG",
        OTHER_THAN_PNG,
    )
}

/// Only an empty folder, or one with nothing but slices that this program
/// named, may give way.
fn check_replaceable(path: &Path) -> Result<(), Error> {
    if !path.exists() {
        return Ok(());
    }
    let failed = |error| Error::io(path, "listing the folder")(error);
    for entry in fs::read_dir(path).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let name = name.to_string_lossy();
        let ours = is_name_of_written_slice(Path::new(&*name));
        if !ours {
            return Err(Error::field(
                path,
                "the folder",
                format!("not empty (it holds {name})"),
                "must be new, empty, or hold slices z0000, z0001, ... only",
                "Choose another name, or empty the folder yourself.",
            ));
        }
    }
    Ok(())
}

/// Whether a name is one that this program gives to slices: `z0000.png`.
pub(super) fn is_name_of_written_slice(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    let number = name.and_then(|name| {
        let rest = name.strip_prefix('z')?;
        rest.strip_suffix(".png")
            .or_else(|| rest.strip_suffix(".tif"))
    });
    number.is_some_and(|n| n.len() >= 4 && n.bytes().all(|b| b.is_ascii_digit()))
}

/// Slice z of all channels.
fn slice_of(volume: &Volume, z: usize) -> Volume {
    let [depth, height, width] = volume.geometry.shape;
    let size = height * width;
    let samples = each_type!(volume.samples.number_type(), T, variant => {
        let mut part: Vec<T> = Vec::with_capacity(size * volume.channels);
        if let Some(values) = <T as crate::samples::Sample>::of_samples(&volume.samples) {
            for c in 0..volume.channels {
                let start = (c * depth + z) * size;
                part.extend_from_slice(&values[start..start + size]);
            }
        }
        variant(part)
    });
    Volume {
        geometry: Geometry {
            shape: [1, height, width],
            spacing_mm: volume.geometry.spacing(),
            world_from_volume: None,
            forms: None,
        },
        channels: volume.channels,
        samples,
        scaling: None,
        notes: Vec::new(),
        placed: None,
    }
}

#[cfg(test)]
mod tests;
