//! NIfTI-1: `.nii`, `.nii.gz`, and reading of `.hdr` with `.img`.
//!
//! In comes a header of 348 bytes ([`header`]) and samples with x fastest,
//! which is `[c, z, y, x]` in memory; what leaves has spacing and orientation
//! in mm ([`orientation`]).
//!
//! The header is read and written by hand. The `nifti` crate takes sizes for
//! unsigned, does not compare them with the length of the file, guesses the
//! byte order from `dim[0]`, panics on a qform with a negative spacing, and
//! writes no header with both forms; what it would save is a hundred lines.

mod header;
mod orientation;

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

use self::header::{HEADER_BYTES, Header};
pub use self::orientation::Forms;
use super::bytes::{DEFLATE_EXPANSION, read_mapped, read_samples, read_up_to, write_samples};
use super::{Format, Source, atomic, budget, gzip};
use crate::samples::{NumberType, Sample, Samples, each_type, sample_count};
use crate::words::counted;
use crate::{Class, Error, Scaling, Volume, name};

const TRUNCATED: &str = "The file may be truncated: copy or download it again.";

/// The usual level of zlib. Lower levels are faster, but make label images,
/// which is what this program writes most, larger than they need to be.
const COMPRESSION: Compression = Compression::new(6);

pub(super) struct Nifti;

impl Format for Nifti {
    fn name(&self) -> &'static str {
        "NIfTI-1"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &[".nii", ".nii.gz", ".hdr", ".hdr.gz", ".img", ".img.gz"]
    }

    /// Never a pair: two files cannot appear at one moment.
    fn written_extensions(&self) -> &'static [&'static str] {
        &[".nii", ".nii.gz"]
    }

    fn check_shape(&self, path: &Path, [z, y, x]: [usize; 3]) -> Result<(), Error> {
        let mut axes = [(1, x), (2, y), (3, z)].into_iter();
        axes.try_for_each(|(axis, size)| header::dimension(axis, size, path).map(|_| ()))
    }

    fn check_samples(
        &self,
        path: &Path,
        _shape: [usize; 3],
        channels: usize,
        _number_type: NumberType,
    ) -> Result<(), Error> {
        header::dimension(4, channels, path).map(|_| ())
    }

    fn recognises(&self, source: &Source) -> bool {
        let mut start = [0; HEADER_BYTES];
        let found = match source.start.starts_with(gzip::MAGIC) {
            true => read_up_to(&mut gzip::Members::new(&source.start[..]), &mut start),
            false => read_up_to(&mut &source.start[..], &mut start),
        };
        // A header that ends early is left to the name, which then says so.
        matches!(found, Ok(HEADER_BYTES)) && header::is_header(&start)
    }

    fn read(&self, path: &Path) -> Result<Volume, Error> {
        let header_path = partner(path, ".img", ".hdr").unwrap_or_else(|| path.to_owned());
        let mut stream = Stream::open(&header_path)?;
        let mut bytes = [0; HEADER_BYTES];
        let found = stream.fill(&header_path, &mut bytes)?;
        if found < HEADER_BYTES {
            return Err(Error::field(
                &header_path,
                "the length of the NIfTI header",
                counted(found, "byte"),
                format!("must be {HEADER_BYTES}"),
                TRUNCATED,
            ));
        }
        let header = Header::parse(&bytes, &header_path)?;
        if header.in_two_files {
            let data_path = partner(&header_path, ".hdr", ".img").ok_or_else(|| {
                Error::field(
                    &header_path,
                    "header field magic",
                    "\"ni1\"",
                    "means that the samples are in a second file that ends in .img",
                    "Put both files side by side under the same name, or convert to .nii.",
                )
            })?;
            read_data(header, Stream::open(&data_path)?, &data_path, 0)
        } else {
            read_data(header, stream, &header_path, HEADER_BYTES as u64)
        }
    }

    fn write(&self, path: &Path, volume: &Volume, classes: Option<&[Class]>) -> Result<(), Error> {
        let compressed = path.to_string_lossy().to_lowercase().ends_with(".gz");
        let header = header::compose(volume, classes, path)?;
        atomic::write_file(path, |writer| {
            let failed = |error| Error::io(path, "writing")(error);
            if compressed {
                let mut encoder = GzEncoder::new(&mut *writer, COMPRESSION);
                atomic::put(&mut encoder, path, &header)?;
                // Samples arrive at the encoder in blocks of 64 KiB.
                write_samples(&mut encoder, &volume.samples).map_err(failed)?;
                encoder.finish().map_err(failed)?;
                Ok(())
            } else {
                put_plain(writer, path, &header, volume)
            }
        })
    }
}

fn put_plain(
    writer: &mut BufWriter<File>,
    path: &Path,
    header: &[u8],
    volume: &Volume,
) -> Result<(), Error> {
    atomic::put(writer, path, header)?;
    write_samples(writer, &volume.samples).map_err(Error::io(path, "writing"))
}

/// The bytes of a file, decompressed where it is compressed.
struct Stream {
    bytes: Bytes,
    file_bytes: u64,
}

enum Bytes {
    Plain(BufReader<File>),
    Compressed(Box<gzip::Members<BufReader<File>>>),
}

impl Stream {
    fn open(path: &Path) -> Result<Self, Error> {
        let failed = |error| Error::io(path, "opening")(error);
        let mut file = File::open(path).map_err(failed)?;
        let file_bytes = file.metadata().map_err(failed)?.len();
        let mut magic = [0; 2];
        let found = read_up_to(&mut file, &mut magic).map_err(failed)?;
        io::Seek::rewind(&mut file).map_err(failed)?;
        let compressed = &magic[..found] == gzip::MAGIC;
        let file = BufReader::with_capacity(1 << 16, file);
        Ok(Self {
            bytes: match compressed {
                true => Bytes::Compressed(Box::new(gzip::Members::new(file))),
                false => Bytes::Plain(file),
            },
            file_bytes,
        })
    }

    fn is_compressed(&self) -> bool {
        matches!(self.bytes, Bytes::Compressed(_))
    }

    fn fill(&mut self, path: &Path, buffer: &mut [u8]) -> Result<usize, Error> {
        read_up_to(self, buffer).map_err(Error::io(path, "reading the header"))
    }

    /// The most bytes that can come out.
    fn most_bytes(&self) -> u64 {
        match self.is_compressed() {
            true => self.file_bytes.saturating_mul(DEFLATE_EXPANSION),
            false => self.file_bytes,
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.bytes {
            Bytes::Plain(file) => file.read(buffer),
            Bytes::Compressed(members) => members.read(buffer),
        }
    }
}

/// Reads the samples from a stream that stands `already` bytes after its start.
fn read_data(
    header: Header,
    mut stream: Stream,
    path: &Path,
    already: u64,
) -> Result<Volume, Error> {
    let count = sample_count(header.channels, header.geometry.shape)?;
    let data_bytes = (count * header.number_type.bytes()) as u64;
    let expected = data_bytes.saturating_add(header.data_offset);
    let cannot_hold = |found: u64, what: &str| {
        let [z, y, x] = header.geometry.shape;
        Error::field(
            path,
            what,
            counted(found, "byte"),
            format!(
                "cannot hold the {} of {} of {z} x {y} x {x} {} that the header announces",
                counted(expected, "byte"),
                counted(header.channels, "channel"),
                header.number_type.name()
            ),
            TRUNCATED,
        )
    };
    if expected > stream.most_bytes() {
        return Err(cannot_hold(stream.file_bytes, "the length of the file"));
    }
    let kept = match header.scaling {
        Some(_) => scaled_type(header.number_type),
        None => header.number_type,
    };
    if stream.is_compressed()
        && !budget::is_believed((count * kept.bytes()) as u64, stream.file_bytes)
    {
        // A label volume may compress a thousandfold, and so may a header that
        // announces one. The file is unpacked once to see which.
        let found = io::copy(&mut Stream::open(path)?.take(expected), &mut io::sink())
            .map_err(Error::io(path, "reading the samples"))?;
        if found < expected {
            return Err(cannot_hold(found, "the length of the unpacked file"));
        }
    }
    // Header extensions stand between the header and the samples.
    let gap = header.data_offset.saturating_sub(already);
    io::copy(&mut (&mut stream).take(gap), &mut io::sink()).map_err(Error::io(path, "reading"))?;
    let samples = match header.scaling {
        Some(scaling) => read_scaled(&mut stream, path, &header, count, scaling)?,
        None => read_samples(&mut stream, path, header.number_type, header.order, count)?,
    };
    let mut notes = header.notes;
    if stream.is_compressed() {
        // Only at the end does the decoder compare the checksum.
        io::copy(&mut stream, &mut io::sink())
            .map_err(Error::io(path, "checking the compressed samples"))?;
    }
    if let Bytes::Compressed(members) = &stream.bytes
        && members.strange_bytes > 0
    {
        notes.push(format!(
            "{} that are not gzip follow the compressed volume; they are passed over.",
            counted(members.strange_bytes, "byte")
        ));
    }
    let of_integers = header.number_type.is_integer();
    let scaling = (header.scaling).map(|(slope, inter)| Scaling::new(slope, inter, of_integers));
    notes.extend(orientation::notes(&header.geometry));
    Ok(Volume {
        scaling,
        notes,
        ..Volume::new(header.geometry, header.channels, samples)?
    })
}

/// The type of scaled samples: f32 where the samples fit it without loss, f64
/// for 32-bit and 64-bit integers and for f64.
fn scaled_type(number_type: NumberType) -> NumberType {
    use NumberType::{F32, F64, I8, I16, U8, U16};
    match number_type {
        U8 | I8 | U16 | I16 | F32 => F32,
        _ => F64,
    }
}

/// `sample * slope + intercept`, as the samples arrive: no second copy is kept.
fn read_scaled(
    stream: &mut Stream,
    path: &Path,
    header: &Header,
    count: usize,
    (slope, intercept): (f64, f64),
) -> Result<Samples, Error> {
    let order = header.order;
    each_type!(header.number_type, T, variant => {
        let scaled = |value: T| value.as_f64() * slope + intercept;
        Ok(match scaled_type(header.number_type) {
            NumberType::F32 => Samples::F32(read_mapped(stream, path, order, count, |v: T| scaled(v) as f32)?),
            _ => Samples::F64(read_mapped(stream, path, order, count, scaled)?),
        })
    })
}

/// Whether a file is one of a pair `.hdr` and `.img`.
pub(super) fn is_in_a_pair(path: &Path) -> bool {
    partner(path, ".img", ".hdr").is_some() || partner(path, ".hdr", ".img").is_some()
}

/// The other file of a pair, where `path` ends in `from` (or `from` + `.gz`)
/// and the other exists.
fn partner(path: &Path, from: &str, to: &str) -> Option<PathBuf> {
    let ending = name::ending(path).to_ascii_lowercase();
    if ending.strip_suffix(".gz").unwrap_or(&ending) != from {
        return None;
    }
    [to.to_owned(), format!("{to}.gz"), to.to_uppercase()]
        .iter()
        .map(|ending| name::with_ending(path, ending))
        .find(|candidate| candidate.is_file())
}

/// Whether a file holds the samples of a pair whose header is there.
pub(super) fn is_samples_of_pair(path: &Path) -> bool {
    partner(path, ".img", ".hdr").is_some()
}
