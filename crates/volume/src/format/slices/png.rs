//! PNG to a volume of one slice and back, through the `png` crate.
//!
//! Samples count as they are stored: indices into a palette are not looked up,
//! and samples of 1, 2 or 4 bits are not stretched, for both are how label
//! images are kept small. RGB and alpha become channels.

use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::Path;

use png::{BitDepth, ColorType, Decoder, Encoder, EncodingError, Limits, Transformations};

use crate::samples::{NumberType, Samples};
use crate::words::counted;
use crate::{Error, Geometry, Volume};

pub(super) const MAGIC: &[u8] = b"\x89PNG\r\n\x1a\n";

/// The most that deflate can expand, with one filter byte a row on top.
const EXPANSION: u64 = crate::format::bytes::DEFLATE_EXPANSION;

pub(super) fn read(path: &Path) -> Result<Volume, Error> {
    let opened = |error| Error::io(path, "opening")(error);
    let file = File::open(path).map_err(opened)?;
    let file_bytes = file.metadata().map_err(opened)?.len();
    let wrong = |found: String| {
        Error::field(
            path,
            "the PNG file",
            found,
            "must be a sound PNG",
            "The file may be truncated or damaged: copy it again.",
        )
    };
    let unreadable = |error: png::DecodingError| wrong(format!("unreadable ({error})"));

    let most = usize::try_from(file_bytes.saturating_mul(EXPANSION)).unwrap_or(usize::MAX);
    let mut decoder = Decoder::new_with_limits(BufReader::new(file), Limits { bytes: most });
    decoder.set_transformations(Transformations::IDENTITY);
    decoder.set_ignore_text_chunk(true);
    let mut reader = decoder.read_info().map_err(unreadable)?;
    let (color, depth) = reader.output_color_type();
    let (width, height) = (reader.info().width as usize, reader.info().height as usize);
    let channels = color.samples();
    let bytes = reader
        .output_buffer_size()
        .filter(|&bytes| bytes <= most)
        .ok_or_else(|| {
            wrong(format!(
                "{} long, which cannot hold {width} x {height} pixels",
                counted(file_bytes, "byte")
            ))
        })?;
    let mut rows = vec![0; bytes];
    let frame = reader.next_frame(&mut rows).map_err(unreadable)?;
    // Reads on to the end, so that a missing end is noticed.
    reader.finish().map_err(unreadable)?;

    let mut pixels = Vec::with_capacity(width * height * channels);
    let rows = rows.chunks_exact(frame.line_size).take(height);
    let samples = if depth == BitDepth::Sixteen {
        for row in rows {
            let row = row[..width * channels * 2].chunks_exact(2);
            pixels.extend(row.map(|b| u16::from_be_bytes([b[0], b[1]])));
        }
        Samples::U16(by_channel(&pixels, channels))
    } else {
        let bits = depth as usize;
        let mask = ((1u16 << bits) - 1) as u8;
        let mut pixels = Vec::with_capacity(width * height * channels);
        for row in rows {
            for i in 0..width * channels {
                let shift = 8 - bits - (i * bits) % 8;
                pixels.push((row[i * bits / 8] >> shift) & mask);
            }
        }
        Samples::U8(by_channel(&pixels, channels))
    };
    Volume::new(Geometry::of_shape([1, height, width]), channels, samples)
}

/// Whether a PNG can hold the samples and channels of a slice.
pub(super) fn can_hold(slice: &Volume) -> bool {
    fits(slice.channels, slice.samples.number_type())
}

/// Whether as many channels of this type fit PNG.
pub(super) fn fits(channels: usize, number_type: NumberType) -> bool {
    matches!(number_type, NumberType::U8 | NumberType::U16) && matches!(channels, 1 | 3)
}

pub(super) fn write(
    writer: &mut BufWriter<File>,
    path: &Path,
    slice: &Volume,
) -> Result<(), Error> {
    let [_, height, width] = slice.geometry.shape;
    let wrong = |found: String| {
        Error::field(
            path,
            "the slice",
            found,
            "must fit the PNG format",
            "Choose another format for this volume: .tif, .nii.gz or .npy.",
        )
    };
    let (depth, bytes) = match &slice.samples {
        Samples::U8(values) => (BitDepth::Eight, by_pixel(values, slice.channels)),
        Samples::U16(values) => {
            let pixels = by_pixel(values, slice.channels);
            (
                BitDepth::Sixteen,
                pixels.iter().flat_map(|v| v.to_be_bytes()).collect(),
            )
        }
        other => return Err(wrong(format!("of type {}", other.number_type().name()))),
    };
    let (Ok(width), Ok(height)) = (u32::try_from(width), u32::try_from(height)) else {
        return Err(wrong(format!("{width} x {height} pixels large")));
    };
    let failed = |error: EncodingError| match error {
        EncodingError::IoError(error) => Error::io(path, "writing")(error),
        other => wrong(format!("not writable ({other})")),
    };
    let mut encoder = Encoder::new(writer, width, height);
    encoder.set_depth(depth);
    encoder.set_color(match slice.channels {
        1 => ColorType::Grayscale,
        _ => ColorType::Rgb,
    });
    let mut encoder = encoder.write_header().map_err(failed)?;
    encoder.write_image_data(&bytes).map_err(failed)?;
    encoder.finish().map_err(failed)
}

/// From channels innermost to channels outermost.
fn by_channel<T: Copy>(pixels: &[T], channels: usize) -> Vec<T> {
    (0..channels)
        .flat_map(|c| pixels.iter().skip(c).step_by(channels).copied())
        .collect()
}

/// From channels outermost to channels innermost.
fn by_pixel<T: Copy>(values: &[T], channels: usize) -> Vec<T> {
    let size = values.len() / channels;
    (0..size)
        .flat_map(|i| (0..channels).map(move |c| values[c * size + i]))
        .collect()
}
