//! Files to volumes and back.
//!
//! A format is one small trait, [`Format`], implemented in one file (or folder)
//! and listed once, in [`FORMATS`]. A path to be read is first known by its
//! content, then by its name; a path to be written by its name alone. What each
//! format keeps and loses stands in docs/formats.md.

mod budget;
mod bytes;
mod gzip;

mod nifti;
mod npy;
mod slices;
mod tiff;
mod unknown;

pub(crate) use slices::{READ_AS_NEIGHBOURS, slices_in};

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::{Class, Error, NumberType, Volume, atomic};

pub use nifti::Forms;

/// All formats, in the order in which they are asked.
const FORMATS: &[&dyn Format] = &[&nifti::Nifti, &tiff::Tiff, &npy::Npy, &slices::Slices];

/// Enough of a file to know its format: a NIfTI header of 348 bytes, also
/// where it is compressed and the compressor was unlucky.
const START_BYTES: u64 = 1024;

/// Reads a volume from a file or from a folder of slices.
///
/// # Errors
/// When the path cannot be read, is of no known format, is damaged, or holds
/// something that the format's page in docs/formats.md does not list.
///
/// ```no_run
/// let volume = unet3d_volume::read("brain.nii.gz".as_ref())?;
/// println!("{} {:?}", volume.type_name(), volume.geometry.shape);
/// # Ok::<(), unet3d_volume::Error>(())
/// ```
pub fn read(path: &Path) -> Result<Volume, Error> {
    let source = Source::look_at(path)?;
    let by_content = FORMATS.iter().find(|format| format.recognises(&source));
    let format = match by_content {
        Some(format) => format,
        None => {
            // The second file of a pair is samples only, which look like anything.
            if !nifti::is_in_a_pair(path) {
                unknown::check(path, &source.start)?;
            }
            FORMATS
                .iter()
                .find(|f| has_extension(path, f.extensions()))
                .ok_or_else(|| unknown_format(path, |f| f.extensions()))?
        }
    };
    let mut volume = format.read(path)?;
    // Formats note what they see, the path is added once for all of them.
    for note in &mut volume.notes {
        *note = format!("{}: {note}", path.display());
    }
    Ok(volume)
}

/// Writes a volume in the format that the name asks for: everything into a
/// temporary file or folder beside it, which is then renamed, so that the path
/// holds either what it held before or the whole volume.
///
/// # Errors
/// When the name is of no known format, the format cannot store the volume, or
/// the disk refuses.
pub fn write(path: &Path, volume: &Volume) -> Result<(), Error> {
    check_kind(path, "the output")?;
    by_name(path)?.write(path, volume, None)
}

/// Writes a volume of class values like [`write()`], with what lets a viewer
/// show the classes: a display range, a colour for each class and their names,
/// where the format can hold them (docs/formats.md). The samples are those that
/// [`write()`] writes.
///
/// # Errors
/// As [`write()`].
pub fn write_labels(path: &Path, labels: &Volume, classes: &[Class]) -> Result<(), Error> {
    check_kind(path, "the output")?;
    by_name(path)?.write(path, labels, Some(classes))
}

/// Refuses a path whose name is of no format that can be written, before any
/// work is done for it.
///
/// # Errors
/// Names the formats that there are.
pub fn check_name(path: &Path) -> Result<(), Error> {
    by_name(path).map(|_| ())
}

/// Refuses a path that [`write()`] would refuse for its name or for what stands
/// there: a folder in the place of a file, or a folder of other things.
///
/// # Errors
/// Says what stands there.
pub fn check_target(path: &Path) -> Result<(), Error> {
    check_kind(path, "the output")?;
    by_name(path)?.check_target(path)
}

/// Refuses a path that [`write()`] would refuse for the size of the volume
/// `[z, y, x]`.
///
/// # Errors
/// Names the limit of the format.
pub fn check_shape(path: &Path, shape: [usize; 3]) -> Result<(), Error> {
    by_name(path)?.check_shape(path, shape)
}

/// Refuses a path that [`write()`] would refuse for what the volume is: its shape
/// `[z, y, x]`, its number of channels, or the type of its samples.
///
/// # Errors
/// Names the limit of the format.
pub fn check_content(
    path: &Path,
    shape: [usize; 3],
    channels: usize,
    number_type: NumberType,
) -> Result<(), Error> {
    let format = by_name(path)?;
    format.check_shape(path, shape)?;
    format.check_samples(path, shape, channels, number_type)
}

/// Whether [`write()`] makes a folder of slices of this name, not a file.
pub fn is_folder_to_write(path: &Path) -> bool {
    by_name(path).is_ok() && slices::is_folder_to_write(path)
}

/// Whether volumes are kept under names like this, also where they can only be read.
pub fn is_name_of_volume(path: &Path) -> bool {
    FORMATS
        .iter()
        .any(|format| has_extension(path, format.extensions()))
}

/// Whether a name is one under which a slice of a volume may be kept: the files of
/// a folder that is one volume.
pub fn is_name_of_slice(path: &Path) -> bool {
    slices::is_name_of_slice(path)
}

/// Whether a name is one that [`write()`] gives to the slices of a folder.
pub fn is_name_of_written_slice(path: &Path) -> bool {
    slices::is_name_of_written_slice(path)
}

/// Whether a file holds the samples of a pair of files, whose header, which is there,
/// stands for both.
pub fn is_samples_of_pair(path: &Path) -> bool {
    nifti::is_samples_of_pair(path)
}

/// A file format (or a folder as a format).
trait Format: Sync {
    /// Name for people.
    fn name(&self) -> &'static str;

    /// How names of files in this format end, in lower case, with the dot.
    fn extensions(&self) -> &'static [&'static str];

    /// Those of them under which it is written.
    fn written_extensions(&self) -> &'static [&'static str] {
        self.extensions()
    }

    /// Whether the content is in this format.
    fn recognises(&self, source: &Source) -> bool;

    /// Whether a name to be written asks for this format.
    fn claims(&self, path: &Path) -> bool {
        has_extension(path, self.written_extensions())
    }

    /// Refuses what stands at a path and cannot be replaced.
    fn check_target(&self, path: &Path) -> Result<(), Error> {
        if path.is_dir() {
            return Err(Error::field(
                path,
                "the output",
                "a folder",
                "must be a file, its name ends as one",
                "Choose another name, or remove the folder yourself.",
            ));
        }
        Ok(())
    }

    /// Refuses a shape `[z, y, x]` that the format cannot hold.
    fn check_shape(&self, _path: &Path, _shape: [usize; 3]) -> Result<(), Error> {
        Ok(())
    }

    /// Refuses channels and samples that the format cannot hold, of a volume whose
    /// shape it can.
    fn check_samples(
        &self,
        _path: &Path,
        _shape: [usize; 3],
        _channels: usize,
        _number_type: NumberType,
    ) -> Result<(), Error> {
        Ok(())
    }

    /// Reads a volume, checking sizes against the length of the file before
    /// anything of that size is allocated.
    fn read(&self, path: &Path) -> Result<Volume, Error>;

    /// Writes a volume through [`atomic`]; with `classes` where its samples are
    /// the values of classes.
    fn write(&self, path: &Path, volume: &Volume, classes: Option<&[Class]>) -> Result<(), Error>;
}

/// What is seen of a path before its format is known.
struct Source {
    is_folder: bool,
    /// The first [`START_BYTES`], fewer where the file is shorter.
    start: Vec<u8>,
}

impl Source {
    fn look_at(path: &Path) -> Result<Self, Error> {
        let is_folder = std::fs::metadata(path)
            .map_err(Error::io(path, "opening"))?
            .is_dir();
        check_kind(path, "the input")?;
        let mut start = Vec::new();
        if !is_folder {
            File::open(path)
                .and_then(|file| file.take(START_BYTES).read_to_end(&mut start))
                .map_err(Error::io(path, "reading"))?;
        }
        Ok(Self { is_folder, start })
    }
}

/// Refuses what is neither a file nor a folder: reading from a pipe would wait
/// for a writer for ever, and cannot go back.
fn check_kind(path: &Path, which: &str) -> Result<(), Error> {
    match std::fs::metadata(path) {
        Ok(metadata) if !metadata.is_file() && !metadata.is_dir() => Err(Error::field(
            path,
            which,
            "a pipe, a device or a socket",
            "must be a file or a folder",
            "Volumes are read and written out of order: use a file in between.",
        )),
        // What is not there is for those to say who need it.
        _ => Ok(()),
    }
}

/// Whether four axes that should be channels, z, y, x seem to be z, y, x,
/// channels, as picture libraries have it: nobody has a volume that is a few
/// voxels wide and many times longer along both other axes. Read as channels
/// first, z would become channels and a network would learn nonsense without a
/// word.
fn channels_seem_last([_, z, y, x]: [usize; 4]) -> bool {
    x <= 8 && z >= 6 * x && y >= 6 * x
}

/// The format that a name to be written asks for.
fn by_name(path: &Path) -> Result<&'static dyn Format, Error> {
    FORMATS
        .iter()
        .find(|format| format.claims(path))
        .copied()
        .ok_or_else(|| unknown_format(path, |f| f.written_extensions()))
}

/// Whether a name ends in one of these, in any case.
fn has_extension(path: &Path, extensions: &[&str]) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name = name.to_lowercase();
    extensions.iter().any(|e| name.ends_with(e))
}

fn unknown_format(
    path: &Path,
    extensions: impl Fn(&dyn Format) -> &'static [&'static str],
) -> Error {
    let known: Vec<_> = FORMATS
        .iter()
        .map(|f| format!("{} ({})", f.name(), extensions(*f).join(", ")))
        .collect();
    Error::UnknownFormat {
        path: path.to_owned(),
        known: known.join(", "),
    }
}

#[cfg(test)]
mod tests;
