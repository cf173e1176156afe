//! NPY, the array file of NumPy: one array, no spacing.
//!
//! Three axes are `[z, y, x]`, four are `[c, z, y, x]`. C and Fortran order,
//! both byte orders, every integer and float type and bool.
//!
//! The header is a Python dictionary of three known keys; it is parsed here.
//! The `npyz` crate was tried first and does everything else well, but
//! multiplies the axes of a hostile header without checking for overflow,
//! and recurses into nested brackets without a limit.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use super::bytes::{ByteOrder, read_samples, write_samples};
use super::{Format, Source, atomic, budget};
use crate::samples::{NumberType, Sample, Samples, each_samples, sample_count};
use crate::words::counted;
use crate::{Class, Error, Geometry, Volume};

const MAGIC: &[u8] = b"\x93NUMPY";
/// NumPy itself writes at most a few hundred bytes for an array of numbers.
const LONGEST_HEADER: usize = 1 << 16;
const DAMAGED: &str = "The file may be damaged: save the array again with numpy.save.";

pub(super) struct Npy;

impl Format for Npy {
    fn name(&self) -> &'static str {
        "NPY"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &[".npy"]
    }

    fn recognises(&self, source: &Source) -> bool {
        source.start.starts_with(MAGIC)
    }

    /// What could not be read again is not written.
    fn check_samples(
        &self,
        path: &Path,
        [z, y, x]: [usize; 3],
        channels: usize,
        _number_type: NumberType,
    ) -> Result<(), Error> {
        match channels {
            1 => Ok(()),
            c => axes(&[c, z, y, x], path).map(|_| ()),
        }
    }

    fn read(&self, path: &Path) -> Result<Volume, Error> {
        let file = File::open(path).map_err(Error::io(path, "opening"))?;
        let length = file.metadata().map_err(Error::io(path, "reading"))?.len();
        let mut reader = BufReader::new(file);
        let (header, header_bytes) = read_header(&mut reader, path)?;
        let (channels, shape) = axes(&header.shape, path)?;
        let count = sample_count(channels, shape)?;
        let expected = header_bytes + (count * header.number_type.bytes()) as u64;
        if length < expected {
            return Err(Error::field(
                path,
                "the length of the file",
                counted(length, "byte"),
                format!(
                    "must be at least {expected} for the shape {:?} of {}",
                    header.shape,
                    header.number_type.name()
                ),
                "The file may be truncated: copy or download it again.",
            ));
        }
        let samples = read_samples(&mut reader, path, header.number_type, header.order, count)?;
        let samples = match header.fortran_order {
            true => reversed_axes(samples, channels, shape, path)?,
            false => samples,
        };
        Volume::new(Geometry::of_shape(shape), channels, samples)
    }

    fn write(&self, path: &Path, volume: &Volume, _: Option<&[Class]>) -> Result<(), Error> {
        let [z, y, x] = volume.geometry.shape;
        let shape = match volume.channels {
            1 => format!("({z}, {y}, {x})"),
            c => {
                // What could not be read again is not written.
                axes(&[c, z, y, x], path)?;
                format!("({c}, {z}, {y}, {x})")
            }
        };
        let mut header = format!(
            "{{'descr': '{}', 'fortran_order': False, 'shape': {shape}, }}",
            descr(volume.samples.number_type())
        );
        // The format asks for data at a multiple of 64 bytes and a newline
        // before it; 10 bytes precede the dictionary.
        let padding = (64 - (10 + header.len() + 1) % 64) % 64;
        header.push_str(&" ".repeat(padding));
        header.push('\n');
        atomic::write_file(path, |writer| {
            let mut start = MAGIC.to_vec();
            start.extend([1, 0]);
            start.extend((header.len() as u16).to_le_bytes());
            start.extend(header.as_bytes());
            atomic::put(writer, path, &start)?;
            write_samples(writer, &volume.samples).map_err(Error::io(path, "writing"))
        })
    }
}

struct Header {
    number_type: NumberType,
    order: ByteOrder,
    fortran_order: bool,
    shape: Vec<usize>,
}

/// Reads the header; also returns how many bytes it has.
fn read_header(reader: &mut impl Read, path: &Path) -> Result<(Header, u64), Error> {
    let wrong = |field: &str, found: &str, rule: &str| {
        Error::field(
            path,
            format!("NPY header {field}"),
            format!("{found:?}"),
            rule,
            DAMAGED,
        )
    };
    let mut exactly = |count: usize| -> Result<Vec<u8>, Error> {
        let mut bytes = vec![0; count];
        match super::bytes::read_up_to(reader, &mut bytes) {
            Ok(found) if found == count => Ok(bytes),
            Ok(found) => Err(Error::field(
                path,
                "the NPY header",
                format!("{} long where {count} are expected", counted(found, "byte")),
                "must be complete",
                "The file may be truncated: copy or download it again.",
            )),
            Err(error) => Err(Error::io(path, "reading the header")(error)),
        }
    };

    let start = exactly(8)?;
    if !start.starts_with(MAGIC) {
        return Err(wrong(
            "magic",
            &String::from_utf8_lossy(&start[..6]),
            "must be \\x93NUMPY",
        ));
    }
    let (length, before) = match start[6] {
        1 => {
            let b = exactly(2)?;
            (usize::from(u16::from_le_bytes([b[0], b[1]])), 10)
        }
        2 | 3 => {
            let b = exactly(4)?;
            (u32::from_le_bytes([b[0], b[1], b[2], b[3]]) as usize, 12)
        }
        version => return Err(wrong("version", &version.to_string(), "must be 1, 2 or 3")),
    };
    if length > LONGEST_HEADER {
        return Err(wrong(
            "length",
            &length.to_string(),
            "must be at most 65536 bytes",
        ));
    }
    let text = String::from_utf8_lossy(&exactly(length)?).into_owned();

    let value = |key: &str| -> Result<&str, Error> {
        [format!("'{key}'"), format!("\"{key}\"")]
            .iter()
            .find_map(|quoted| text.split_once(quoted.as_str()))
            .and_then(|(_, rest)| rest.trim_start().strip_prefix(':'))
            .map(str::trim_start)
            .ok_or_else(|| wrong(key, "missing", "must be there"))
    };
    let fortran_order = match value("fortran_order")? {
        v if v.starts_with("True") => true,
        v if v.starts_with("False") => false,
        v => return Err(wrong("fortran_order", head(v), "must be True or False")),
    };
    let descr = value("descr")?;
    let code = descr
        .strip_prefix(['\'', '"'])
        .and_then(|rest| rest.split(['\'', '"']).next())
        .unwrap_or(head(descr));
    let (number_type, order) = parse_descr(code).ok_or_else(|| {
        Error::field(
            path,
            "NPY header descr",
            format!("{code:?}"),
            "must be a type of whole or real numbers: u1 to u8, i1 to i8, f4, f8 or b1",
            "Convert the array with numpy's astype.",
        )
    })?;
    let shape = value("shape")?;
    let numbers = shape
        .strip_prefix('(')
        .and_then(|rest| rest.split_once(')'))
        .map(|(inside, _)| inside)
        .ok_or_else(|| wrong("shape", head(shape), "must be a tuple"))?;
    let shape = numbers
        .split(',')
        .map(str::trim)
        .filter(|number| !number.is_empty())
        .map(|number| number.trim_end_matches('L').parse())
        .collect::<Result<Vec<usize>, _>>()
        .map_err(|_| {
            wrong(
                "shape",
                head(numbers),
                "must be numbers that this computer can count to",
            )
        })?;
    let header = Header {
        number_type,
        order,
        fortran_order,
        shape,
    };
    Ok((header, (before + length) as u64))
}

/// The beginning of a text, for a message.
fn head(text: &str) -> &str {
    let end = text.char_indices().nth(40).map_or(text.len(), |(i, _)| i);
    &text[..end]
}

fn parse_descr(code: &str) -> Option<(NumberType, ByteOrder)> {
    let (order, kind) = match code.split_at_checked(1)? {
        ("<" | "|", kind) => (ByteOrder::Little, kind),
        (">", kind) => (ByteOrder::Big, kind),
        ("=", kind) if cfg!(target_endian = "little") => (ByteOrder::Little, kind),
        ("=", kind) => (ByteOrder::Big, kind),
        _ => return None,
    };
    let number_type = match kind {
        "u1" | "b1" => NumberType::U8,
        "i1" => NumberType::I8,
        "u2" => NumberType::U16,
        "i2" => NumberType::I16,
        "u4" => NumberType::U32,
        "i4" => NumberType::I32,
        "u8" => NumberType::U64,
        "i8" => NumberType::I64,
        "f4" => NumberType::F32,
        "f8" => NumberType::F64,
        _ => return None,
    };
    Some((number_type, order))
}

fn descr(number_type: NumberType) -> &'static str {
    match number_type {
        NumberType::U8 => "|u1",
        NumberType::I8 => "|i1",
        NumberType::U16 => "<u2",
        NumberType::I16 => "<i2",
        NumberType::U32 => "<u4",
        NumberType::I32 => "<i4",
        NumberType::U64 => "<u8",
        NumberType::I64 => "<i8",
        NumberType::F32 => "<f4",
        NumberType::F64 => "<f8",
    }
}

fn axes(shape: &[usize], path: &Path) -> Result<(usize, [usize; 3]), Error> {
    let (channels, shape_zyx) = match *shape {
        [z, y, x] => (1, [z, y, x]),
        [c, z, y, x] => (c, [z, y, x]),
        _ => {
            return Err(Error::field(
                path,
                "NPY header shape",
                format!("{shape:?}"),
                "must have 3 axes (z, y, x) or 4 (channels, z, y, x)",
                "Reshape the array with numpy.",
            ));
        }
    };
    if shape.contains(&0) {
        return Err(Error::field(
            path,
            "NPY header shape",
            format!("{shape:?}"),
            "each axis must be at least 1",
            "The array is empty: save it again.",
        ));
    }
    // A picture library's [z, y, x, c]. Read as channels first, z would become
    // channels and a network would learn nonsense without a word.
    if let [c, z, y, x] = *shape
        && (x <= 4 && c > 4 || super::channels_seem_last([c, z, y, x]))
    {
        return Err(Error::field(
            path,
            "NPY header shape",
            format!("{shape:?}"),
            "must be channels, z, y, x, channels first",
            format!(
                "The channels seem to be last: save numpy.moveaxis(array, -1, 0) instead, of shape ({x}, {c}, ...)."
            ),
        ));
    }
    Ok((channels, shape_zyx))
}

/// From Fortran order (first axis fastest) to C order (last axis fastest).
fn reversed_axes(
    samples: Samples,
    channels: usize,
    shape: [usize; 3],
    path: &Path,
) -> Result<Samples, Error> {
    fn reorder<T: Sample>(
        values: &[T],
        c: usize,
        [d, h, w]: [usize; 3],
        path: &Path,
    ) -> Result<Samples, Error> {
        let mut out = budget::reserved(values.len(), path)?;
        for ic in 0..c {
            for z in 0..d {
                for y in 0..h {
                    for x in 0..w {
                        out.push(values[ic + c * (z + d * (y + h * x))]);
                    }
                }
            }
        }
        Ok(T::into_samples(out))
    }
    each_samples!(samples, values => reorder(&values, channels, shape, path))
}
