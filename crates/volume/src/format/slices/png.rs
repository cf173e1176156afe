//! PNG to a volume of one slice and back, through the `png` crate.
//!
//! Samples count as they are stored: indices into a palette are not looked up,
//! and samples of 1, 2 or 4 bits are not stretched, for both are how label
//! images are kept small. RGB and alpha become channels.

use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::Path;

use png::{BitDepth, ColorType, Decoder, Encoder, EncodingError, Limits, Transformations};

use crate::format::budget;
use crate::samples::{NumberType, Samples, sample_count};
use crate::words::counted;
use crate::{Error, Geometry, Volume};

pub(super) const MAGIC: &[u8] = b"\x89PNG\r\n\x1a\n";

/// The most that deflate can expand, with one filter byte a row on top.
const EXPANSION: u64 = crate::format::bytes::DEFLATE_EXPANSION;

pub(super) fn read(path: &Path) -> Result<Volume, Error> {
    let opened = |error| Error::io(path, "opening")(error);
    let file_bytes = std::fs::metadata(path).map_err(opened)?.len();
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

    let limits = Limits {
        bytes: usize::try_from(budget::most_believed(file_bytes)).unwrap_or(usize::MAX),
    };
    let open = || -> Result<png::Reader<BufReader<File>>, Error> {
        let file = File::open(path).map_err(opened)?;
        let mut decoder = Decoder::new_with_limits(BufReader::new(file), limits);
        decoder.set_transformations(Transformations::IDENTITY);
        decoder.set_ignore_text_chunk(true);
        decoder.set_ignore_iccp_chunk(true);
        decoder.read_info().map_err(unreadable)
    };
    let mut reader = open()?;
    let (color, depth) = reader.output_color_type();
    let (width, height) = (reader.info().width as usize, reader.info().height as usize);
    let channels = color.samples();
    let bits = depth as usize;
    let count = sample_count(channels, [1, height, width])?;
    let sample_bytes = bits.div_ceil(8);
    let bytes = (count * sample_bytes) as u64;
    // A pixel of one bit takes a byte of memory: what deflate expands a
    // thousandfold would become eight thousandfold.
    if bytes > budget::most_believed(0).saturating_add(file_bytes.saturating_mul(EXPANSION)) {
        return Err(Error::field(
            path,
            "the PNG file",
            format!(
                "{} long for {width} x {height} pixels of {}",
                counted(file_bytes, "byte"),
                counted(channels, "sample")
            ),
            format!("must not become more than {EXPANSION} times as large in memory"),
            "The file may be damaged, or almost empty and far larger than a slice is: cut it into smaller pictures.",
        ));
    }
    if !budget::is_believed(bytes, file_bytes) {
        // Unpacked once without being kept, to see that it is all there.
        let mut rows = open()?;
        while rows.next_row().map_err(unreadable)?.is_some() {}
    }

    let line_bits = width * channels * bits;
    let samples = if reader.info().interlaced {
        let size = reader.output_buffer_size().unwrap_or(usize::MAX);
        let mut rows: Vec<u8> = budget::zeros(size, path)?;
        let frame = reader.next_frame(&mut rows).map_err(unreadable)?;
        let mut pixels = Pixels::new([height, width], channels, bits, path)?;
        for row in rows.chunks_exact(frame.line_size).take(height) {
            pixels.take_row(&row[..line_bits.div_ceil(8)]);
        }
        pixels.samples()
    } else {
        let mut pixels = Pixels::new([height, width], channels, bits, path)?;
        for _ in 0..height {
            match reader.next_row().map_err(unreadable)? {
                Some(row) => pixels.take_row(&row.data()[..line_bits.div_ceil(8)]),
                None => return Err(wrong("without its last rows".to_owned())),
            }
        }
        pixels.samples()
    };
    // Reads on to the end, so that a missing end is noticed.
    reader.finish().map_err(unreadable)?;
    Volume::new(Geometry::of_shape([1, height, width]), channels, samples)
}

/// Rows of pixels on their way to channels that follow each other.
struct Pixels {
    bits: usize,
    channels: usize,
    /// Pixels of a row, and of the picture.
    width: usize,
    size: usize,
    /// Pixels that are there already.
    found: usize,
    samples: Samples,
}

impl Pixels {
    fn new(
        [height, width]: [usize; 2],
        channels: usize,
        bits: usize,
        path: &Path,
    ) -> Result<Self, Error> {
        let size = height * width;
        let count = size * channels;
        Ok(Self {
            bits,
            channels,
            width,
            size,
            found: 0,
            samples: match bits {
                16 => Samples::U16(budget::zeros(count, path)?),
                _ => Samples::U8(budget::zeros(count, path)?),
            },
        })
    }

    fn take_row(&mut self, row: &[u8]) {
        let (bits, channels) = (self.bits, self.channels);
        let place = |found: usize, i: usize| i % channels * self.size + found + i / channels;
        // The last byte of a row may be filled up with bits of no pixel.
        let pixels = self.width.min(self.size - self.found);
        match &mut self.samples {
            Samples::U16(values) => {
                for (i, b) in row.chunks_exact(2).enumerate() {
                    values[place(self.found, i)] = u16::from_be_bytes([b[0], b[1]]);
                }
            }
            Samples::U8(values) if channels == 1 && bits == 8 => {
                values[self.found..self.found + pixels].copy_from_slice(&row[..pixels]);
            }
            Samples::U8(values) => {
                let mask = ((1u16 << bits) - 1) as u8;
                for i in 0..pixels * channels {
                    let shift = 8 - bits - (i * bits) % 8;
                    values[place(self.found, i)] = (row[i * bits / 8] >> shift) & mask;
                }
            }
            _ => {}
        }
        self.found += pixels;
    }

    fn samples(self) -> Samples {
        self.samples
    }
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

/// From channels outermost to channels innermost.
fn by_pixel<T: Copy>(values: &[T], channels: usize) -> Vec<T> {
    let size = values.len() / channels;
    (0..size)
        .flat_map(|i| (0..channels).map(move |c| values[c * size + i]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of few bits are filled up to whole bytes; pixels are not.
    #[test]
    fn pixels_of_few_bits_are_read_at_every_width() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("a.png");
        for (depth, bits) in [
            (BitDepth::One, 1),
            (BitDepth::Two, 2),
            (BitDepth::Four, 4),
            (BitDepth::Eight, 8),
        ] {
            for width in 1..=17usize {
                let values: Vec<u8> = (0..3 * width)
                    .map(|i| (i * 7 % (1 << bits)) as u8)
                    .collect();
                let mut rows = Vec::new();
                for row in values.chunks(width) {
                    let mut packed = vec![0u8; (width * bits).div_ceil(8)];
                    for (i, value) in row.iter().enumerate() {
                        packed[i * bits / 8] |= value << (8 - bits - i * bits % 8);
                    }
                    rows.extend(packed);
                }
                let file = File::create(&path).expect("created");
                let mut encoder = Encoder::new(file, width as u32, 3);
                encoder.set_depth(depth);
                encoder.set_color(ColorType::Grayscale);
                let mut encoder = encoder.write_header().expect("written");
                encoder.write_image_data(&rows).expect("written");
                encoder.finish().expect("written");
                let found = read(&path).expect("read");
                assert_eq!(found.geometry.shape, [1, 3, width]);
                assert_eq!(
                    found.samples,
                    Samples::U8(values),
                    "{bits} bits, {width} wide"
                );
            }
        }
    }
}
