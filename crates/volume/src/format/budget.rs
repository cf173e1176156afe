//! How much memory a reader may ask for on the word of a header.
//!
//! A file of a hundred bytes can announce a volume of a gigabyte. What is small
//! for its file is believed; what is large must be there: uncompressed samples
//! are compared with the length of the file, compressed ones are unpacked once
//! without being kept. So a file that lies costs no more memory than four times
//! its size and 64 MiB, and a label volume of zeros, which compresses a
//! thousandfold, is read nevertheless.

use std::path::Path;

use crate::Error;

/// Bytes that any file may ask for. 64 MiB are promised; the rest is for the
/// program itself and its decoders.
const ALWAYS_BYTES: u64 = 40 << 20;

/// Whether memory for `wanted_bytes` of samples may be reserved before it is
/// known that the file holds them.
pub(crate) fn is_believed(wanted_bytes: u64, file_bytes: u64) -> bool {
    wanted_bytes <= most_believed(file_bytes)
}

/// The most bytes of samples that may be reserved before it is known that the
/// file holds them.
pub(crate) fn most_believed(file_bytes: u64) -> u64 {
    ALWAYS_BYTES.saturating_add(file_bytes.saturating_mul(2))
}

/// A vector of `count` values that are all `T::default()`.
pub(crate) fn zeros<T: Clone + Default>(count: usize, path: &Path) -> Result<Vec<T>, Error> {
    let mut values = reserved(count, path)?;
    values.resize(count, T::default());
    Ok(values)
}

/// An empty vector with room for `count` values.
pub(crate) fn reserved<T>(count: usize, path: &Path) -> Result<Vec<T>, Error> {
    let mut values = Vec::new();
    values.try_reserve_exact(count).map_err(|_| {
        Error::field(
            path,
            "the volume",
            format!(
                "{} bytes large in memory",
                count.saturating_mul(size_of::<T>())
            ),
            "must fit the memory that this program can get",
            "Close other programs, or cut the volume into smaller parts.",
        )
    })?;
    Ok(values)
}
