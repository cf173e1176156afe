//! The chunks of a page to samples.
//!
//! A chunk (strip or tile) is unpacked row by row, each row is freed from its
//! predictor, and its samples go to their places. Nothing of the size of a page
//! is allocated here; [`measure`] unpacks without keeping anything, to learn
//! whether a file really holds what it announces.

use std::io::{self, BufReader, Read, Seek, SeekFrom};

use super::directory::TiffFile;
use super::jpeg;
use super::page::{Packing, Page, Predictor};
use crate::Error;
use crate::samples::Sample;

const BROKEN: &str =
    "The file may be truncated or damaged: copy it again, or save it again in Fiji as a TIFF.";

/// Decodes a page into `values`: sample `s` of the pixel in row `y` and column
/// `x` goes to `start(s) + y * width + x`.
pub(super) fn decode<T: Sample>(
    file: &mut TiffFile<'_>,
    page: &Page,
    values: &mut [T],
    start: impl Fn(usize) -> usize,
) -> Result<(), Error> {
    let together = page.together();
    let mut row = Vec::new();
    let mut row_values: Vec<T> = Vec::new();
    each_chunk(file, page, |file, chunk| {
        let Some(mut bytes) = unpacked(file, page, chunk)? else {
            // Left out by the writer: all zero, as the values are already.
            return Ok(());
        };
        row.resize(page.row_bytes() as usize, 0);
        for y in 0..chunk.rows {
            read_row(&mut *bytes, &mut row, page, chunk)?;
            row_values.clear();
            undo_predictor(&mut row, page, file_order_is_big(page, chunk));
            unpack_bits(&row, page, chunk.big_endian, &mut row_values);
            let at = (chunk.top + y) * page.look.width + chunk.left;
            for s in 0..together {
                let to = start(chunk.plane + s) + at;
                let to = &mut values[to..to + chunk.columns];
                let from = row_values.iter().skip(s).step_by(together);
                to.iter_mut().zip(from).for_each(|(to, &from)| *to = from);
            }
        }
        Ok(())
    })
}

/// Unpacks a page without keeping it: refuses one that holds less than it
/// announces. Also returns how many bytes its chunks have in the file.
pub(super) fn measure(file: &mut TiffFile<'_>, page: &Page) -> Result<u64, Error> {
    let mut packed = 0u64;
    let row_bytes = page.row_bytes();
    each_chunk(file, page, |file, chunk| {
        let length = chunk.length.min(file.file_bytes);
        packed = packed.saturating_add(length);
        if is_left_out(page, chunk) {
            return Err(Error::field(
                file.path,
                format!("page {}", page.number),
                "without its samples",
                "must hold them where the volume is this large for its file",
                BROKEN,
            ));
        }
        let Some(bytes) = unpacked(file, page, chunk)? else {
            return Ok(());
        };
        let expected = row_bytes.saturating_mul(chunk.rows as u64);
        let found = io::copy(&mut bytes.take(expected), &mut io::sink());
        match found {
            Ok(found) if found == expected => Ok(()),
            Ok(found) => Err(short(chunk, page, found, expected)),
            Err(error) => Err(broken(chunk, page, &error)),
        }
    })?;
    Ok(packed)
}

/// One strip or tile: its part of the image, and where it is in the file.
pub(super) struct Chunk<'a> {
    pub(super) path: &'a std::path::Path,
    pub(super) big_endian: bool,
    pub(super) offset: u64,
    pub(super) length: u64,
    /// First sample of a pixel that it holds.
    pub(super) plane: usize,
    pub(super) top: usize,
    pub(super) left: usize,
    /// Rows and columns within the image.
    pub(super) rows: usize,
    pub(super) columns: usize,
    /// Rows that it has in the file: tiles are whole, the last strip is not.
    pub(super) stored_rows: usize,
}

fn each_chunk(
    file: &mut TiffFile<'_>,
    page: &Page,
    mut visit: impl FnMut(&mut TiffFile<'_>, &Chunk<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    let [down, across] = page.grid();
    for (i, &(offset, length)) in page.chunks.iter().enumerate() {
        let (plane, place) = (i / (down * across), i % (down * across));
        let (top, left) = (place / across, place % across * page.chunk[1]);
        let rows = page.rows_in(top);
        let chunk = Chunk {
            path: file.path,
            big_endian: file.big_endian,
            offset,
            length,
            plane,
            top: top * page.chunk[0],
            left,
            rows,
            columns: page.chunk[1].min(page.look.width - left),
            stored_rows: if page.tiled { page.chunk[0] } else { rows },
        };
        visit(file, &chunk)?;
    }
    Ok(())
}

/// Whether the writer left the chunk out because all of it is zero.
fn is_left_out(page: &Page, chunk: &Chunk<'_>) -> bool {
    chunk.offset == 0 || chunk.length == 0 && page.packing != Packing::None
}

/// The unpacked bytes of a chunk, `None` where the writer left it out.
fn unpacked<'f>(
    file: &'f mut TiffFile<'_>,
    page: &Page,
    chunk: &Chunk<'_>,
) -> Result<Option<Box<dyn Read + 'f>>, Error> {
    if is_left_out(page, chunk) {
        return Ok(None);
    }
    let stored = match page.packing {
        // Some writers state a wrong length; what counts is what is there.
        Packing::None => page.row_bytes().saturating_mul(chunk.rows as u64),
        _ => chunk.length,
    };
    let name = format!("a strip or tile of page {}", page.number);
    file.check_inside(chunk.offset, stored, &name)?;
    file.reader
        .seek(SeekFrom::Start(chunk.offset))
        .map_err(Error::io(file.path, "reading"))?;
    let bytes = (&mut file.reader).take(stored);
    Ok(Some(match page.packing {
        Packing::None => Box::new(bytes),
        Packing::Deflate => Box::new(flate2::bufread::ZlibDecoder::new(bytes)),
        Packing::Lzw => Box::new(Lzw::new(bytes)),
        Packing::PackBits => Box::new(PackBits { bytes, run: None }),
        Packing::Jpeg => Box::new(jpeg::unpack(bytes, page, chunk)?),
    }))
}

fn read_row(
    bytes: &mut (dyn Read + '_),
    row: &mut [u8],
    page: &Page,
    chunk: &Chunk<'_>,
) -> Result<(), Error> {
    let found = crate::format::bytes::read_up_to(bytes, row)
        .map_err(|error| broken(chunk, page, &error))?;
    match found == row.len() {
        true => Ok(()),
        false => Err(short(chunk, page, found as u64, row.len() as u64)),
    }
}

fn short(chunk: &Chunk<'_>, page: &Page, found: u64, expected: u64) -> Error {
    Error::field(
        chunk.path,
        format!("page {}", page.number),
        format!("at an end after {found} of {expected} bytes of a strip, tile or row"),
        "must be complete",
        BROKEN,
    )
}

pub(super) fn broken(chunk: &Chunk<'_>, page: &Page, error: &dyn std::fmt::Display) -> Error {
    Error::field(
        chunk.path,
        format!("page {}", page.number),
        format!("unreadable ({error})"),
        "must be sound",
        BROKEN,
    )
}

/// Samples in the order of bytes that they have after the predictor is undone:
/// the floating-point predictor leaves them lowest byte first.
fn file_order_is_big(page: &Page, chunk: &Chunk<'_>) -> bool {
    chunk.big_endian && page.packing != Packing::Jpeg
}

fn undo_predictor(row: &mut [u8], page: &Page, big_endian: bool) {
    let together = page.together();
    let size = page.bits / 8;
    match page.predictor {
        Predictor::None => {}
        Predictor::Horizontal => match size {
            1 => {
                for i in together..row.len() {
                    row[i] = row[i].wrapping_add(row[i - together]);
                }
            }
            2 => add_up::<2>(row, together, big_endian),
            4 => add_up::<4>(row, together, big_endian),
            _ => add_up::<8>(row, together, big_endian),
        },
        Predictor::FloatingPoint => {
            for i in together..row.len() {
                row[i] = row[i].wrapping_add(row[i - together]);
            }
            // The first bytes of all samples, highest first, then the second ones.
            let shuffled = row.to_vec();
            let count = row.len() / size;
            for (i, sample) in row.chunks_exact_mut(size).enumerate() {
                for (k, byte) in sample.iter_mut().enumerate() {
                    let k = if big_endian { k } else { size - 1 - k };
                    *byte = shuffled[k * count + i];
                }
            }
        }
    }
}

/// Adds to each sample of `N` bytes the one `together` samples before.
fn add_up<const N: usize>(row: &mut [u8], together: usize, big_endian: bool) {
    let wide = |bytes: &[u8]| {
        let mut own = [0; 8];
        own[..N].copy_from_slice(bytes);
        if big_endian {
            own[..N].reverse();
        }
        u64::from_le_bytes(own)
    };
    for i in together..row.len() / N {
        let before = wide(&row[(i - together) * N..(i - together + 1) * N]);
        let sum = wide(&row[i * N..(i + 1) * N]).wrapping_add(before);
        let mut own = sum.to_le_bytes();
        if big_endian {
            own[..N].reverse();
        }
        row[i * N..(i + 1) * N].copy_from_slice(&own[..N]);
    }
}

/// The samples of a row, those of fewer than 8 bits from the highest bit on.
fn unpack_bits<T: Sample>(row: &[u8], page: &Page, big_endian: bool, out: &mut Vec<T>) {
    if page.bits < 8 {
        let (per_byte, mask) = (8 / page.bits, (1u8 << page.bits) - 1);
        let samples = page.chunk[1] * page.together();
        out.extend((0..samples).map(|i| {
            let shift = 8 - page.bits - i % per_byte * page.bits;
            T::of_le(&[row[i / per_byte] >> shift & mask])
        }));
        return;
    }
    let samples = row.chunks_exact(size_of::<T>());
    match big_endian {
        true => out.extend(samples.map(T::of_be)),
        false => out.extend(samples.map(T::of_le)),
    }
}

/// LZW as TIFF has it: highest bit first, codes that grow one early.
struct Lzw<R: Read> {
    bytes: BufReader<R>,
    decoder: weezl::decode::Decoder,
    ended: bool,
}

impl<R: Read> Lzw<R> {
    fn new(bytes: R) -> Self {
        let settings = weezl::decode::Configuration::with_tiff_size_switch(weezl::BitOrder::Msb, 8)
            .with_yield_on_full_buffer(true);
        Self {
            bytes: BufReader::new(bytes),
            decoder: settings.build(),
            ended: false,
        }
    }
}

impl<R: Read> Read for Lzw<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        use std::io::BufRead;
        while !self.ended && !buffer.is_empty() {
            let step = self.decoder.decode_bytes(self.bytes.fill_buf()?, buffer);
            self.bytes.consume(step.consumed_in);
            match step.status {
                Ok(weezl::LzwStatus::Ok) if step.consumed_out == 0 => {}
                Ok(weezl::LzwStatus::Ok) => return Ok(step.consumed_out),
                // The end, with or without its code.
                Ok(weezl::LzwStatus::Done | weezl::LzwStatus::NoProgress) => {
                    self.ended = true;
                    return Ok(step.consumed_out);
                }
                Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
            }
        }
        Ok(0)
    }
}

/// PackBits: runs of one byte, and bytes as they are.
struct PackBits<R> {
    bytes: R,
    run: Option<Run>,
}

enum Run {
    /// This many bytes as they are.
    Plain(usize),
    /// This many times the byte.
    Same(usize, u8),
}

impl<R: Read> Read for PackBits<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut one = [0];
        loop {
            match self.run.take() {
                Some(Run::Plain(left)) if left > 0 => {
                    let wanted = left.min(buffer.len());
                    let found = self.bytes.read(&mut buffer[..wanted])?;
                    if found > 0 {
                        self.run = Some(Run::Plain(left - found));
                    }
                    return Ok(found);
                }
                Some(Run::Same(left, byte)) if left > 0 => {
                    let wanted = left.min(buffer.len());
                    buffer[..wanted].fill(byte);
                    self.run = Some(Run::Same(left - wanted, byte));
                    return Ok(wanted);
                }
                _ => {}
            }
            if self.bytes.read(&mut one)? == 0 {
                return Ok(0);
            }
            self.run = match one[0] {
                plain @ 0..=127 => Some(Run::Plain(usize::from(plain) + 1)),
                128 => None,
                same => {
                    let times = 257 - usize::from(same);
                    if self.bytes.read(&mut one)? == 0 {
                        return Ok(0);
                    }
                    Some(Run::Same(times, one[0]))
                }
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packbits_of_the_definition() {
        // The example of the TIFF definition, section 9.
        let packed = [
            0xFE, 0xAA, 0x02, 0x80, 0x00, 0x2A, 0xFD, 0xAA, 0x80, 0x03, 0x80, 0x00, 0x2A, 0x22,
            0xF7, 0xAA,
        ];
        let mut found = Vec::new();
        let mut bytes = PackBits {
            bytes: &packed[..],
            run: None,
        };
        bytes.read_to_end(&mut found).expect("sound");
        let expected = [
            0xAA, 0xAA, 0xAA, 0x80, 0x00, 0x2A, 0xAA, 0xAA, 0xAA, 0xAA, 0x80, 0x00, 0x2A, 0x22,
            0xAA, 0xAA, 0xAA, 0xAA, 0xAA, 0xAA, 0xAA, 0xAA, 0xAA, 0xAA,
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn differences_are_added_up_in_both_orders() {
        let mut little = [1u8, 0, 2, 0, 255, 0, 1, 0];
        add_up::<2>(&mut little, 1, false);
        assert_eq!(little, [1, 0, 3, 0, 2, 1, 3, 1]);
        let mut big = [0u8, 1, 0, 2, 0, 255, 0, 1];
        add_up::<2>(&mut big, 2, true);
        assert_eq!(big, [0, 1, 0, 2, 1, 0, 0, 3]);
    }
}
