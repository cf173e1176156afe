//! Streams of bytes to samples and back.
//!
//! In comes a stream whose promised size is already checked against the length
//! of the file; a stream that ends too early is an error that says how much
//! was found.

use std::io::{self, Read, Write};
use std::path::Path;

use super::budget;
use crate::Error;
use crate::samples::{NumberType, Sample, Samples, each_samples, each_type};

/// Bytes converted at a time: small enough for the L2 cache, large enough that
/// calls do not count. A multiple of every sample size.
const BLOCK_BYTES: usize = 1 << 16;

/// The most that deflate can expand: 258 bytes for 2 bits, rounded up.
pub(crate) const DEFLATE_EXPANSION: u64 = 1040;

/// Order of the bytes of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ByteOrder {
    /// Lowest byte first.
    Little,
    /// Highest byte first.
    Big,
}

/// Reads `count` samples of the given type.
pub(crate) fn read_samples(
    reader: &mut impl Read,
    path: &Path,
    number_type: NumberType,
    order: ByteOrder,
    count: usize,
) -> Result<Samples, Error> {
    each_type!(number_type, T, variant => read_values::<T>(reader, path, order, count).map(variant))
}

fn read_values<T: Sample>(
    reader: &mut impl Read,
    path: &Path,
    order: ByteOrder,
    count: usize,
) -> Result<Vec<T>, Error> {
    read_mapped(reader, path, order, count, |value: T| value)
}

/// Reads `count` samples of type `T` and keeps what `map` makes of each.
pub(crate) fn read_mapped<T: Sample, U>(
    reader: &mut impl Read,
    path: &Path,
    order: ByteOrder,
    count: usize,
    map: impl Fn(T) -> U,
) -> Result<Vec<U>, Error> {
    let mut values = budget::reserved(count, path)?;
    let mut block = vec![0; BLOCK_BYTES];
    while values.len() < count {
        let wanted = ((count - values.len()) * size_of::<T>()).min(BLOCK_BYTES);
        let found = read_up_to(reader, &mut block[..wanted])
            .map_err(Error::io(path, "reading the samples"))?;
        if found < wanted {
            return Err(Error::field(
                path,
                "the number of bytes of samples",
                values.len() * size_of::<T>() + found,
                format!("must be {}, as the header says", count * size_of::<T>()),
                "The file may be truncated: copy or download it again.",
            ));
        }
        let samples = block[..wanted].chunks_exact(size_of::<T>());
        match order {
            ByteOrder::Little => values.extend(samples.map(|bytes| map(T::of_le(bytes)))),
            ByteOrder::Big => values.extend(samples.map(|bytes| map(T::of_be(bytes)))),
        }
    }
    Ok(values)
}

/// Fills `buffer` as far as the stream goes.
pub(crate) fn read_up_to(
    reader: &mut (impl Read + ?Sized),
    buffer: &mut [u8],
) -> io::Result<usize> {
    let mut found = 0;
    while found < buffer.len() {
        match reader.read(&mut buffer[found..]) {
            Ok(0) => break,
            Ok(n) => found += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// Writes all samples, lowest byte first.
pub(crate) fn write_samples(writer: &mut impl Write, samples: &Samples) -> io::Result<()> {
    each_samples!(samples, values => write_values(writer, values))
}

/// Writes values, lowest byte first.
pub(crate) fn write_values<T: Sample>(writer: &mut impl Write, values: &[T]) -> io::Result<()> {
    let mut block = Vec::with_capacity(BLOCK_BYTES);
    for values in values.chunks(BLOCK_BYTES / size_of::<T>()) {
        block.clear();
        for &value in values {
            value.push_le(&mut block);
        }
        writer.write_all(&block)?;
    }
    Ok(())
}
