//! Pages to samples `[c, z, y, x]`.
//!
//! All pages must agree in size and type. They are decoded in the order in
//! which their samples stand in memory, so no second copy is needed, and
//! memory grows only as far as a damaged file really has data.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use tiff::ColorType;
use tiff::decoder::ifd::Value;
use tiff::decoder::{ChunkType, Decoder, DecodingResult, Limits};
use tiff::tags::{CompressionMethod, SampleFormat, Tag};

use super::chain::{AsStored, Chain};
use super::{Arrangement, imagej, ome, shaped, wrong};
use crate::format::bytes::{ByteOrder, read_samples};
use crate::samples::{NumberType, Sample, Samples, each_type, sample_count};
use crate::words::counted;
use crate::{Error, Geometry, Volume};

/// The most that LZW can expand: a code of 12 bits for 4096 bytes, rounded
/// up. Deflate (1032) and PackBits (64) stay below.
const EXPANSION: u64 = 2800;

type TiffDecoder = Decoder<BufReader<AsStored<File>>>;

pub(super) fn read(path: &Path) -> Result<Volume, Error> {
    let opened = |error| Error::io(path, "opening")(error);
    let mut file = File::open(path).map_err(opened)?;
    let file_bytes = file.metadata().map_err(opened)?.len();
    let chain = Chain::walk(&mut BufReader::new(&mut file), file_bytes, path)?;
    let second = file.try_clone().map_err(opened)?;
    let stored = BufReader::new(AsStored::new(file, &chain).map_err(opened)?);
    let limits = limits(file_bytes);
    let mut decoder = Decoder::new(stored)
        .map_err(|error| wrong(path, &error))?
        .with_limits(limits);

    let page = Page::of(&mut decoder, path)?;
    let description = chain.description.as_str();
    let mut hidden_pages = false;
    let mut arrangement = if imagej::is_imagej(description) {
        let announced = imagej::announced_pages(description);
        // Beyond 4 GB (and where tifffile is asked for it) only the first
        // page has a directory; the others follow it without a gap.
        hidden_pages = announced > chain.pages && chain.pages == 1 && !page.compressed;
        let pages = if hidden_pages { announced } else { chain.pages };
        let resolution =
            [Tag::YResolution, Tag::XResolution].map(|tag| resolution(&mut decoder, tag));
        imagej::arrange(description, pages, resolution, path)?
    } else if ome::is_ome(description) {
        ome::arrange(description, chain.pages, page.samples, path)?
    } else if shaped::is_shaped(description) {
        shaped::arrange(description, chain.pages, page.samples, path)?
    } else {
        Arrangement::channels_fastest(1, chain.pages, None)
    };

    let channels = arrangement.channels.saturating_mul(page.samples);
    let shape = [arrangement.slices, page.height, page.width];
    let count = sample_count(channels, shape)?;
    check_length(&page, count, file_bytes, path)?;
    let geometry = Geometry {
        shape,
        spacing_mm: arrangement.spacing_mm.take(),
        world_from_volume: None,
        forms: None,
    };
    let samples = if hidden_pages {
        read_hidden(&mut decoder, second, &chain, &page, &arrangement, path)?
    } else {
        let mut pages = Pages {
            decoder,
            first: page,
            path,
        };
        each_type!(page.number_type, T, variant => variant(pages.read::<T>(&arrangement, count)?))
    };
    Volume::new(geometry, channels, samples)
}

fn limits(file_bytes: u64) -> Limits {
    let whole = usize::try_from(file_bytes).unwrap_or(usize::MAX);
    let mut limits = Limits::default();
    limits.decoding_buffer_size = whole.saturating_mul(EXPANSION as usize);
    limits.intermediate_buffer_size = limits.decoding_buffer_size;
    limits.ifd_value_size = whole.max(1 << 10);
    limits
}

fn check_length(page: &Page, count: usize, file_bytes: u64, path: &Path) -> Result<(), Error> {
    let bytes = (count * page.number_type.bytes()) as u64;
    let most = match page.compressed {
        true => file_bytes.saturating_mul(EXPANSION),
        false => file_bytes,
    };
    if bytes <= most {
        return Ok(());
    }
    Err(Error::field(
        path,
        "the length of the file",
        counted(file_bytes, "byte"),
        format!("cannot hold the {bytes} bytes of samples that its pages announce"),
        "The file may be truncated or damaged: copy it again.",
    ))
}

fn resolution(decoder: &mut TiffDecoder, tag: Tag) -> Option<f64> {
    match decoder.find_tag(tag).ok()?? {
        Value::Rational(n, d) if n > 0 && d > 0 => Some(f64::from(n) / f64::from(d)),
        _ => None,
    }
}

/// What all pages must agree in.
#[derive(Clone, Copy, PartialEq)]
struct Page {
    width: usize,
    height: usize,
    /// Samples of one pixel.
    samples: usize,
    number_type: NumberType,
    compressed: bool,
}

impl Page {
    fn of(decoder: &mut TiffDecoder, path: &Path) -> Result<Self, Error> {
        let failed = |error| wrong(path, &error);
        let (width, height) = decoder.dimensions().map_err(failed)?;
        let color = decoder.colortype().map_err(failed)?;
        let (ColorType::Gray(bits)
        | ColorType::GrayA(bits)
        | ColorType::RGB(bits)
        | ColorType::RGBA(bits)
        | ColorType::Multiband {
            bit_depth: bits, ..
        }) = color
        else {
            return Err(Error::field(
                path,
                "PhotometricInterpretation",
                format!("{color:?}"),
                "must be gray, palette or RGB",
                "Convert the file to gray or RGB, in Fiji under Image > Type.",
            ));
        };
        let layout = decoder.image_buffer_layout().map_err(failed)?;
        // The decoder takes the last row of tiles of all planes but the first
        // for a whole one, and then fails or even panics.
        let rows = decoder.chunk_dimensions().1;
        if layout.planes > 1 && decoder.get_chunk_type() == ChunkType::Tile && height % rows != 0 {
            return Err(Error::field(
                path,
                "PlanarConfiguration",
                format!("separate, in tiles of {rows} rows for {height}"),
                "is not supported unless the tiles fit the rows exactly",
                "Save the file again without tiles, or with the samples of a pixel side by side.",
            ));
        }
        let format = layout.sample_format;
        let number_type = match (format, bits) {
            (SampleFormat::Uint | SampleFormat::Void, 8) => NumberType::U8,
            (SampleFormat::Uint | SampleFormat::Void, 16) => NumberType::U16,
            (SampleFormat::Uint | SampleFormat::Void, 32) => NumberType::U32,
            (SampleFormat::Uint | SampleFormat::Void, 64) => NumberType::U64,
            (SampleFormat::Int, 8) => NumberType::I8,
            (SampleFormat::Int, 16) => NumberType::I16,
            (SampleFormat::Int, 32) => NumberType::I32,
            (SampleFormat::Int, 64) => NumberType::I64,
            (SampleFormat::IEEEFP, 32) => NumberType::F32,
            (SampleFormat::IEEEFP, 64) => NumberType::F64,
            _ => {
                return Err(Error::field(
                    path,
                    "BitsPerSample and SampleFormat",
                    format!("{bits} and {format:?}"),
                    "must be 8, 16, 32 or 64 bits of whole or 32 or 64 bits of real numbers",
                    "Convert the file, in Fiji under Image > Type.",
                ));
            }
        };
        let compression = decoder
            .find_tag_unsigned::<u16>(Tag::Compression)
            .map_err(failed)?;
        Ok(Self {
            width: width as usize,
            height: height as usize,
            samples: usize::from(color.num_samples()),
            number_type,
            compressed: compression.is_some_and(|c| c != CompressionMethod::None.to_u16()),
        })
    }

    fn pixels(&self) -> usize {
        self.width * self.height
    }
}

impl std::fmt::Display for Page {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = self.number_type.name();
        write!(
            f,
            "{} x {} pixels of {} {name}",
            self.width, self.height, self.samples
        )
    }
}

/// Pages that all look like the first.
struct Pages<'a> {
    decoder: TiffDecoder,
    first: Page,
    path: &'a Path,
}

impl Pages<'_> {
    fn read<T: Sample>(
        &mut self,
        arrangement: &Arrangement,
        count: usize,
    ) -> Result<Vec<T>, Error> {
        let mut values = Vec::new();
        reserve(&mut values, count, self.path)?;
        let samples = self.first.samples;
        // The samples of one pixel are channels of their own: all but the
        // first wait aside until the channel of the first is complete.
        let mut aside: Vec<Vec<T>> = vec![Vec::new(); samples - 1];
        for pages in arrangement.pages.chunks(arrangement.slices) {
            for &page in pages {
                let (pixels, interleaved) = self.page::<T>(page)?;
                let size = self.first.pixels();
                let take = |out: &mut Vec<T>, s: usize| match interleaved {
                    true => out.extend(pixels.iter().skip(s).step_by(samples)),
                    false => out.extend_from_slice(&pixels[s * size..(s + 1) * size]),
                };
                take(&mut values, 0);
                for (s, out) in aside.iter_mut().enumerate() {
                    take(out, s + 1);
                }
            }
            for out in &mut aside {
                values.append(out);
            }
        }
        Ok(values)
    }

    /// The samples of one page, and whether those of one pixel are neighbours.
    fn page<T: Sample>(&mut self, index: usize) -> Result<(Vec<T>, bool), Error> {
        let path = self.path;
        let failed = |error| wrong(path, &error);
        self.decoder.seek_to_image(index).map_err(failed)?;
        let page = Page::of(&mut self.decoder, path)?;
        if page
            != (Page {
                compressed: page.compressed,
                ..self.first
            })
        {
            return Err(Error::field(
                path,
                format!("page {index} (the first is page 0)"),
                page,
                format!("must be like the first, {}", self.first),
                "Pages of several sizes, as in pyramids and files with a preview, are not supported: export the full resolution alone.",
            ));
        }
        let mut result = DecodingResult::U8(Vec::new());
        let layout = self
            .decoder
            .read_image_to_buffer(&mut result)
            .map_err(failed)?;
        let samples = samples(result);
        match samples.map(|s| T::vec_of(s)) {
            Some(Some(values)) if values.len() == page.pixels() * page.samples => {
                Ok((values, layout.planes <= 1))
            }
            _ => Err(Error::field(
                path,
                format!("page {index}"),
                "of another type than it announces",
                format!("must be {}", page.number_type.name()),
                "The file may be damaged: save it again with the program that made it.",
            )),
        }
    }
}

fn samples(result: DecodingResult) -> Option<Samples> {
    Some(match result {
        DecodingResult::U8(v) => Samples::U8(v),
        DecodingResult::U16(v) => Samples::U16(v),
        DecodingResult::U32(v) => Samples::U32(v),
        DecodingResult::U64(v) => Samples::U64(v),
        DecodingResult::I8(v) => Samples::I8(v),
        DecodingResult::I16(v) => Samples::I16(v),
        DecodingResult::I32(v) => Samples::I32(v),
        DecodingResult::I64(v) => Samples::I64(v),
        DecodingResult::F32(v) => Samples::F32(v),
        DecodingResult::F64(v) => Samples::F64(v),
        DecodingResult::F16(_) => return None,
    })
}

fn reserve<T>(values: &mut Vec<T>, count: usize, path: &Path) -> Result<(), Error> {
    values.try_reserve_exact(count).map_err(|_| {
        Error::io(path, "reserving memory for the samples")(std::io::ErrorKind::OutOfMemory.into())
    })
}

/// Pages without directories of their own: one run of samples.
fn read_hidden(
    decoder: &mut TiffDecoder,
    mut file: File,
    chain: &Chain,
    page: &Page,
    arrangement: &Arrangement,
    path: &Path,
) -> Result<Samples, Error> {
    let start = decoder
        .find_tag_unsigned_vec::<u64>(Tag::StripOffsets)
        .map_err(|error| wrong(path, &error))?
        .and_then(|offsets| offsets.first().copied())
        .ok_or_else(|| {
            Error::field(
                path,
                "StripOffsets",
                "missing",
                "must be there in an ImageJ file with one directory for many pages",
                "Save the file again in Fiji.",
            )
        })?;
    let failed = |error| Error::io(path, "reading the samples")(error);
    file.seek(SeekFrom::Start(start)).map_err(failed)?;
    let mut reader = BufReader::new(file);
    let order = match chain.big_endian {
        true => ByteOrder::Big,
        false => ByteOrder::Little,
    };
    let count = arrangement.pages.len() * page.pixels() * page.samples;
    let stored = read_samples(&mut reader.by_ref(), path, page.number_type, order, count)?;
    if arrangement.channels == 1 && page.samples == 1 {
        return Ok(stored);
    }
    each_type!(page.number_type, T, variant => {
        let stored = T::of_samples(&stored).unwrap_or_default();
        let mut values: Vec<T> = Vec::new();
        reserve(&mut values, count, path)?;
        let page_samples = page.pixels() * page.samples;
        for pages in arrangement.pages.chunks(arrangement.slices) {
            for s in 0..page.samples {
                for &p in pages {
                    let pixels = &stored[p * page_samples..(p + 1) * page_samples];
                    values.extend(pixels.iter().skip(s).step_by(page.samples));
                }
            }
        }
        Ok(variant(values))
    })
}
