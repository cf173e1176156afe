//! Strips and tiles that are JPEG pictures, through the `tiff` crate.
//!
//! The crate decodes whole files; so each chunk is put into a TIFF file of its
//! own, of one strip, in memory. What the JPEG itself says of its size is
//! compared with the chunk before, since decoders allocate by it.

use std::io::{Cursor, Read};

use tiff::decoder::{Decoder, DecodingResult, Limits};

use super::decode::{Chunk, broken};
use super::page::Page;
use crate::Error;

/// Pixels of a chunk that are decoded without question, and how many more for
/// each byte: a blank picture has 128 for one.
const ALWAYS_PIXELS: u64 = 8 << 20;
const PIXELS_FOR_A_BYTE: u64 = 128;

/// The samples of a chunk, those of a pixel side by side.
pub(super) fn unpack(
    mut bytes: impl Read,
    page: &Page,
    chunk: &Chunk<'_>,
) -> Result<Cursor<Vec<u8>>, Error> {
    let failed = |error: &dyn std::fmt::Display| broken(chunk, page, error);
    let mut packed = Vec::new();
    bytes
        .read_to_end(&mut packed)
        .map_err(|error| failed(&error))?;
    let columns = page.chunk[1];
    let samples = page.together();
    let announced = size(&packed);
    // The last strip is as high as its rows, or as high as the others.
    let rows = match announced {
        Some([y, ..]) if y == page.chunk[0] => y,
        _ => chunk.stored_rows,
    };
    if announced != Some([rows, columns, samples]) || packed.len() > i32::MAX as usize {
        return Err(failed(&format!(
            "a JPEG of {} in a chunk of {rows} x {columns} pixels of {samples} samples",
            announced.map_or_else(
                || "no known size".to_owned(),
                |[y, x, c]| format!("{y} x {x} pixels of {c}")
            )
        )));
    }
    let most = ALWAYS_PIXELS + PIXELS_FOR_A_BYTE * packed.len() as u64;
    if rows as u64 * columns as u64 * samples as u64 > most {
        return Err(failed(&format!(
            "{} bytes cannot hold {rows} x {columns} pixels",
            packed.len()
        )));
    }
    let file = tiff_of(
        &packed,
        page.jpeg_tables.as_deref(),
        [rows, columns, samples],
    );
    let mut limits = Limits::default();
    limits.intermediate_buffer_size = file.len();
    limits.decoding_buffer_size = rows * columns * samples;
    let mut decoder = Decoder::new(Cursor::new(file))
        .map_err(|error| failed(&error))?
        .with_limits(limits);
    let mut result = DecodingResult::U8(Vec::new());
    decoder
        .read_image_to_buffer(&mut result)
        .map_err(|error| failed(&error))?;
    match result {
        DecodingResult::U8(values) => Ok(Cursor::new(values)),
        _ => Err(failed(&"of another type than 8 bits")),
    }
}

/// Rows, columns and samples of a JPEG of 8 bits, from its frame header.
fn size(jpeg: &[u8]) -> Option<[usize; 3]> {
    let two = |at: usize| {
        let bytes = jpeg.get(at..at + 2)?;
        Some(usize::from(bytes[0]) << 8 | usize::from(bytes[1]))
    };
    let mut at = 2;
    loop {
        while *jpeg.get(at)? == 0xFF && *jpeg.get(at + 1)? == 0xFF {
            at += 1;
        }
        let marker = two(at)?;
        match marker {
            // Frames; 0xC4, 0xC8 and 0xCC are tables.
            0xFFC0..=0xFFCF if !matches!(marker, 0xFFC4 | 0xFFC8 | 0xFFCC) => {
                let is_8_bit = *jpeg.get(at + 4)? == 8;
                return is_8_bit.then_some([
                    two(at + 5)?,
                    two(at + 7)?,
                    usize::from(*jpeg.get(at + 9)?),
                ]);
            }
            // Markers without a length.
            0xFF01 | 0xFFD0..=0xFFD7 => at += 2,
            0xFF02..=0xFFFE => at += 2 + two(at + 2)?,
            _ => return None,
        }
    }
}

/// A TIFF file of one strip.
fn tiff_of(jpeg: &[u8], tables: Option<&[u8]>, [rows, columns, samples]: [usize; 3]) -> Vec<u8> {
    let tables = tables.unwrap_or_default();
    let entries: u32 = if tables.is_empty() { 9 } else { 10 };
    let after = 8 + 2 + 12 * entries + 4;
    let (bits_at, tables_at) = (after, after + 2 * samples as u32);
    let jpeg_at = tables_at + tables.len() as u32;
    let mut file = b"II*\0\x08\0\0\0".to_vec();
    file.extend((entries as u16).to_le_bytes());
    let mut entry = |tag: u16, field_type: u16, count: u32, value: u32| {
        file.extend(tag.to_le_bytes());
        file.extend(field_type.to_le_bytes());
        file.extend(count.to_le_bytes());
        file.extend(value.to_le_bytes());
    };
    let bits = match samples {
        1 => 8,
        2 => 8 | 8 << 16,
        _ => bits_at,
    };
    entry(256, 4, 1, columns as u32);
    entry(257, 4, 1, rows as u32);
    entry(258, 3, samples as u32, bits);
    entry(259, 3, 1, 7);
    entry(262, 3, 1, if samples == 3 { 2 } else { 1 });
    entry(273, 4, 1, jpeg_at);
    entry(277, 3, 1, samples as u32);
    entry(278, 4, 1, rows as u32);
    entry(279, 4, 1, jpeg.len() as u32);
    if !tables.is_empty() {
        entry(347, 7, tables.len() as u32, tables_at);
    }
    file.extend([0; 4]);
    file.extend([8, 0].repeat(samples));
    file.extend(tables);
    file.extend(jpeg);
    file
}
