//! What one page says of itself: size, type of samples, and where its chunks
//! (strips or tiles) stand.
//!
//! A page that cannot be read is refused here by the name of the tag, before
//! anything of its size is allocated. Samples count as they are stored:
//! palettes are not looked up and "white is zero" is not inverted, since both
//! occur in label images.

use super::directory::{DAMAGED, Directory, TiffFile, tag};
use crate::Error;
use crate::format::budget;
use crate::samples::NumberType;

/// More strips or tiles than a page of 65536 x 65536 pixels has in tiles of
/// 64 x 64. Their list takes 16 MB.
const MOST_CHUNKS: usize = 1 << 20;

const CONVERT: &str = "Convert the file, in Fiji under Image > Type.";
const SAVE_PLAIN: &str = "Open it in Fiji (File > Import > Bio-Formats) and save it as TIFF, or use Bio-Formats' bfconvert.";

/// How the bytes of a chunk are packed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Packing {
    None,
    Lzw,
    Deflate,
    PackBits,
    Jpeg,
}

/// What is undone after unpacking.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Predictor {
    None,
    Horizontal,
    FloatingPoint,
}

/// What all pages of a volume must agree in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Look {
    pub(super) width: usize,
    pub(super) height: usize,
    /// Samples of one pixel.
    pub(super) samples: usize,
    pub(super) number_type: NumberType,
}

/// One page, ready to be decoded.
pub(super) struct Page {
    pub(super) look: Look,
    /// Number in the file, from 0.
    pub(super) number: usize,
    /// Bits of a sample in the file; memory holds at least 8.
    pub(super) bits: usize,
    pub(super) packing: Packing,
    pub(super) predictor: Predictor,
    /// Whether each sample of a pixel has chunks of its own.
    pub(super) separate: bool,
    /// Rows and columns of a chunk.
    pub(super) chunk: [usize; 2],
    pub(super) tiled: bool,
    /// Place and length of each chunk.
    pub(super) chunks: Vec<(u64, u64)>,
    pub(super) jpeg_tables: Option<Vec<u8>>,
}

impl Look {
    pub(super) fn pixels(&self) -> usize {
        self.width.saturating_mul(self.height)
    }
}

impl std::fmt::Display for Look {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = self.number_type.name();
        write!(
            f,
            "{} x {} pixels of {} {name}",
            self.width, self.height, self.samples
        )
    }
}

impl Page {
    pub(super) fn read(file: &mut TiffFile<'_>, at: u64, number: usize) -> Result<Self, Error> {
        let path = file.path;
        let directory = file.directory(at, number)?;
        let wrong = |field: &str, found: String, rule: &str, advice: &str| {
            Error::field(
                path,
                format!("{field} of page {number}"),
                found,
                rule,
                advice,
            )
        };
        let mut size = |name: &str, tag: u16| -> Result<usize, Error> {
            let found = file.one(&directory, tag)?.unwrap_or(0);
            usize::try_from(found)
                .ok()
                // Else products of four sizes would leave 64 bits.
                .filter(|&n| n > 0 && n <= u32::MAX as usize)
                .ok_or_else(|| wrong(name, found.to_string(), "must be 1 to 2^32 - 1", DAMAGED))
        };
        let width = size("ImageWidth", tag::IMAGE_WIDTH)?;
        let height = size("ImageLength", tag::IMAGE_LENGTH)?;
        let samples = match file.one(&directory, tag::SAMPLES_PER_PIXEL)? {
            Some(n) if (1..=65535).contains(&n) => n as usize,
            None => 1,
            Some(n) => {
                return Err(wrong(
                    "SamplesPerPixel",
                    n.to_string(),
                    "must be 1 to 65535",
                    DAMAGED,
                ));
            }
        };
        let photometric = file.one(&directory, tag::PHOTOMETRIC)?.unwrap_or(1);
        let is_plain = match photometric {
            0 | 1 => true,
            2 => samples >= 3,
            3 => samples == 1,
            _ => false,
        };
        if !is_plain {
            return Err(wrong(
                "PhotometricInterpretation",
                photometric_name(photometric),
                "must be gray, palette or RGB",
                "Convert the file to gray or RGB, in Fiji under Image > Type.",
            ));
        }
        let (number_type, bits) = sample_type(file, &directory, samples, number)?;
        let packing = packing(file, &directory, number)?;
        let predictor = match file.one(&directory, tag::PREDICTOR)?.unwrap_or(1) {
            1 => Predictor::None,
            2 if bits >= 8 => Predictor::Horizontal,
            3 if !number_type.is_integer() => Predictor::FloatingPoint,
            other => {
                return Err(wrong(
                    "Predictor",
                    other.to_string(),
                    "must be 1 (none), 2 (differences of 8 bits and more) or 3 (floating point)",
                    SAVE_PLAIN,
                ));
            }
        };
        if packing == Packing::Jpeg && (bits != 8 || predictor != Predictor::None) {
            return Err(wrong(
                "BitsPerSample",
                bits.to_string(),
                "must be 8 where Compression is JPEG",
                SAVE_PLAIN,
            ));
        }
        if bits < 8 && file.one(&directory, tag::FILL_ORDER)? == Some(2) {
            return Err(wrong(
                "FillOrder",
                "2".to_owned(),
                "must be 1 where samples have fewer than 8 bits",
                SAVE_PLAIN,
            ));
        }
        let separate = samples > 1 && file.one(&directory, tag::PLANAR_CONFIGURATION)? == Some(2);

        let tiled = directory.entry(tag::TILE_OFFSETS).is_some();
        let chunk = match tiled {
            true => [
                size_of_tile(file, &directory, tag::TILE_LENGTH, "TileLength", number)?,
                size_of_tile(file, &directory, tag::TILE_WIDTH, "TileWidth", number)?,
            ],
            false => {
                let rows = file.one(&directory, tag::ROWS_PER_STRIP)?;
                let rows = rows.map_or(height, |n| usize::try_from(n).unwrap_or(height));
                if rows == 0 {
                    return Err(wrong(
                        "RowsPerStrip",
                        "0".to_owned(),
                        "must be at least 1",
                        DAMAGED,
                    ));
                }
                [rows.min(height), width]
            }
        };
        let planes = if separate { samples } else { 1 };
        let count = height
            .div_ceil(chunk[0])
            .checked_mul(width.div_ceil(chunk[1]))
            .and_then(|n| n.checked_mul(planes))
            .filter(|&n| n <= MOST_CHUNKS)
            .ok_or_else(|| {
                wrong(
                    "the number of strips or tiles",
                    format!(
                        "that of {height} x {width} pixels in {} x {}",
                        chunk[0], chunk[1]
                    ),
                    &format!("must be at most {MOST_CHUNKS}"),
                    SAVE_PLAIN,
                )
            })?;
        let mut page = Self {
            look: Look {
                width,
                height,
                samples,
                number_type,
            },
            number,
            bits,
            packing,
            predictor,
            separate,
            chunk,
            tiled,
            chunks: Vec::new(),
            jpeg_tables: None,
        };
        // A row of a tile may be much longer than one of its page.
        if !budget::is_believed(page.row_bytes(), file.file_bytes) {
            return Err(wrong(
                "the length of a row",
                format!("{} bytes", page.row_bytes()),
                &format!(
                    "must be shorter: the file of {} bytes cannot hold it",
                    file.file_bytes
                ),
                DAMAGED,
            ));
        }
        page.chunks = chunks(file, &directory, &page, count)?;
        if let (Packing::Jpeg, Some(&entry)) = (packing, directory.entry(tag::JPEG_TABLES)) {
            page.jpeg_tables = Some(file.all_bytes(&entry)?);
        }
        Ok(page)
    }

    /// Samples that stand side by side in a chunk.
    pub(super) fn together(&self) -> usize {
        if self.separate { 1 } else { self.look.samples }
    }

    /// Bytes of a row of a chunk; rows begin at whole bytes.
    pub(super) fn row_bytes(&self) -> u64 {
        (self.chunk[1] as u64)
            .saturating_mul(self.together() as u64 * self.bits as u64)
            .div_ceil(8)
    }

    /// Rows that the chunk in this row of chunks has in the image.
    pub(super) fn rows_in(&self, down: usize) -> usize {
        self.chunk[0].min(self.look.height - down * self.chunk[0])
    }

    /// Chunks side by side, and one below the other.
    pub(super) fn grid(&self) -> [usize; 2] {
        [
            self.look.height.div_ceil(self.chunk[0]),
            self.look.width.div_ceil(self.chunk[1]),
        ]
    }
}

fn size_of_tile(
    file: &mut TiffFile<'_>,
    directory: &Directory,
    tag: u16,
    name: &str,
    number: usize,
) -> Result<usize, Error> {
    let found = file.one(directory, tag)?.unwrap_or(0);
    if (1..=1 << 20).contains(&found) {
        return Ok(found as usize);
    }
    Err(Error::field(
        file.path,
        format!("{name} of page {number}"),
        found,
        "must be 1 to 1048576",
        DAMAGED,
    ))
}

fn chunks(
    file: &mut TiffFile<'_>,
    directory: &Directory,
    page: &Page,
    count: usize,
) -> Result<Vec<(u64, u64)>, Error> {
    let number = page.number;
    let (offsets_tag, lengths_tag, name) = match page.tiled {
        true => (tag::TILE_OFFSETS, tag::TILE_BYTE_COUNTS, "tiles"),
        false => (tag::STRIP_OFFSETS, tag::STRIP_BYTE_COUNTS, "strips"),
    };
    let short = |file: &TiffFile<'_>, what: &str, found: usize| {
        Error::field(
            file.path,
            format!("the number of {what} of page {number}"),
            found,
            format!("must be {count}, that of its {name}"),
            DAMAGED,
        )
    };
    let offsets = file
        .list(directory, offsets_tag, count)?
        .unwrap_or_default();
    if offsets.len() < count {
        return Err(short(file, "places of strips or tiles", offsets.len()));
    }
    let lengths = match file.list(directory, lengths_tag, count)? {
        Some(lengths) if lengths.len() == count => lengths,
        // Old writers leave them out where there is nothing to say.
        None if page.packing == Packing::None => vec![u64::MAX; count],
        lengths => {
            let found = lengths.map_or(0, |l| l.len());
            return Err(short(file, "lengths of strips or tiles", found));
        }
    };
    Ok(offsets.into_iter().zip(lengths).collect())
}

fn sample_type(
    file: &mut TiffFile<'_>,
    directory: &Directory,
    samples: usize,
    number: usize,
) -> Result<(NumberType, usize), Error> {
    let same = |values: Option<Vec<u64>>, missing: u64| {
        let values = values.unwrap_or_default();
        let first = values.first().copied().unwrap_or(missing);
        values.iter().all(|&v| v == first).then_some(first)
    };
    let bits = same(file.list(directory, tag::BITS_PER_SAMPLE, samples)?, 1);
    let format = same(file.list(directory, tag::SAMPLE_FORMAT, samples)?, 1);
    Ok(match (format, bits) {
        (Some(1 | 4), Some(bits @ (1 | 2 | 4 | 8))) => (NumberType::U8, bits as usize),
        (Some(1 | 4), Some(16)) => (NumberType::U16, 16),
        (Some(1 | 4), Some(32)) => (NumberType::U32, 32),
        (Some(1 | 4), Some(64)) => (NumberType::U64, 64),
        (Some(2), Some(8)) => (NumberType::I8, 8),
        (Some(2), Some(16)) => (NumberType::I16, 16),
        (Some(2), Some(32)) => (NumberType::I32, 32),
        (Some(2), Some(64)) => (NumberType::I64, 64),
        (Some(3), Some(32)) => (NumberType::F32, 32),
        (Some(3), Some(64)) => (NumberType::F64, 64),
        (format, bits) => {
            let kind = match format {
                Some(1 | 4) => "whole numbers".to_owned(),
                Some(2) => "whole numbers with a sign".to_owned(),
                Some(3) => "real numbers".to_owned(),
                Some(5 | 6) => "complex numbers".to_owned(),
                Some(other) => format!("SampleFormat {other}"),
                None => "several kinds in one pixel".to_owned(),
            };
            return Err(Error::field(
                file.path,
                format!(
                    "the type of the samples of page {number} (BitsPerSample and SampleFormat)"
                ),
                match bits {
                    Some(bits) => format!("{bits} bits, {kind}"),
                    None => "several sizes in one pixel".to_owned(),
                },
                "must be 1, 2, 4, 8, 16, 32 or 64 bits of whole or 32 or 64 bits of real numbers",
                CONVERT,
            ));
        }
    })
}

fn packing(
    file: &mut TiffFile<'_>,
    directory: &Directory,
    number: usize,
) -> Result<Packing, Error> {
    let code = file.one(directory, tag::COMPRESSION)?.unwrap_or(1);
    let name = match code {
        1 => return Ok(Packing::None),
        5 => return Ok(Packing::Lzw),
        7 => return Ok(Packing::Jpeg),
        8 | 32946 => return Ok(Packing::Deflate),
        32773 => return Ok(Packing::PackBits),
        2..=4 => "CCITT fax",
        6 => "JPEG of the old kind",
        33003 | 33004 | 33005 | 34712 | 34713 => "JPEG 2000",
        34887 => "LERC",
        34892 => "lossy JPEG of DNG",
        34925 => "LZMA",
        50000 | 34926 => "Zstandard",
        50001 | 34927 => "WebP",
        50002 | 34934 => "JPEG XL",
        22610 | 34933 => "PNG or JPEG XR",
        _ => "an unknown kind",
    };
    Err(Error::field(
        file.path,
        format!("Compression of page {number}"),
        format!("{code} ({name})"),
        "must be none, LZW, deflate, PackBits or JPEG",
        SAVE_PLAIN,
    ))
}

fn photometric_name(code: u64) -> String {
    let name = match code {
        2 => "RGB of fewer than 3 samples",
        3 => "palette of several samples",
        4 => "a mask",
        5 => "CMYK",
        6 => "YCbCr",
        8..=10 => "Lab",
        32803 => "the raw pixels of a camera",
        _ => "an unknown kind",
    };
    format!("{code} ({name})")
}
