//! Pages to samples `[c, z, y, x]`.
//!
//! All pages must agree in size and type. Each is decoded straight into its
//! place, so no second copy is needed. Before the memory of a large volume is
//! asked for, the file has to show that it holds one.

use std::io::{Seek, SeekFrom};
use std::path::Path;

use super::chain::Chain;
use super::decode::{decode, measure};
use super::directory::{TiffFile, tag};
use super::page::{Look, Packing, Page};
use super::{Arrangement, imagej, ome, shaped, vendors};
use crate::format::budget;
use crate::format::bytes::{ByteOrder, read_samples};
use crate::samples::{NumberType, Sample, Samples, each_type, sample_count};
use crate::words::counted;
use crate::{Error, Geometry, Volume};

pub(super) fn read(path: &Path) -> Result<Volume, Error> {
    let mut file = TiffFile::open(path)?;
    let chain = Chain::walk(&mut file)?;
    let first = Page::read(&mut file, chain.pages[0].offset, chain.pages[0].number)?;
    let mut arrangement = arrange(&mut file, &chain, &first)?;

    let look = first.look;
    let channels = arrangement.channels.saturating_mul(look.samples);
    let shape = [arrangement.slices, look.height, look.width];
    let count = sample_count(channels, shape)?;
    let geometry = Geometry {
        shape,
        spacing_mm: arrangement.spacing_mm.take(),
        world_from_volume: None,
        forms: None,
    };
    let samples = match arrangement.hidden {
        true => read_hidden(&mut file, &first, &arrangement)?,
        false => {
            check_sizes(&chain, &arrangement, path)?;
            check_contents(&mut file, &chain, &arrangement, &first, count)?;
            each_type!(look.number_type, T, variant =>
                variant(read_pages::<T>(&mut file, &chain, &arrangement, look, count)?))
        }
    };
    let mut volume = Volume::new(geometry, channels, samples)?;
    volume.notes = arrangement.notes;
    if chain.passed_over > 0 {
        volume.notes.push(format!(
            "{} marked as previews, pyramid levels or masks and passed over.",
            match chain.passed_over {
                1 => "1 page is".to_owned(),
                n => format!("{n} pages are"),
            }
        ));
    }
    Ok(volume)
}

/// Which page is which slice of which channel.
fn arrange(file: &mut TiffFile<'_>, chain: &Chain, first: &Page) -> Result<Arrangement, Error> {
    let path = file.path;
    let description = chain.description.as_str();
    let pages = chain.pages.len();
    let directory = file.directory(chain.pages[0].offset, chain.pages[0].number)?;
    if imagej::is_imagej(description) {
        let resolution = [
            file.fraction(&directory, tag::Y_RESOLUTION)?,
            file.fraction(&directory, tag::X_RESOLUTION)?,
        ];
        // Beyond 4 GB (and where tifffile is asked for it) only the first
        // page has a directory; the others follow it without a gap.
        let hidden = match pages == 1 && first.packing == Packing::None && first.bits >= 8 {
            true => hidden_pages(file, first),
            false => 1,
        };
        let arrangement = imagej::arrange(description, pages, hidden, resolution, path)?;
        shaped::check_channels_last(
            [
                arrangement.slices,
                arrangement.channels,
                first.look.height,
                first.look.width,
            ],
            path,
        )?;
        Ok(arrangement)
    } else if ome::is_ome(description) {
        ome::arrange(description, pages, first.look.samples, path)
    } else if shaped::is_shaped(description) {
        shaped::arrange(description, pages, first.look.samples, path)
    } else if let Some(planes) = vendors::metamorph_planes(&directory) {
        vendors::metamorph(planes, pages, first, hidden_pages(file, first), path)
    } else if let Some(entry) = directory.entry(tag::LSM_INFO) {
        vendors::zeiss(&file.all_bytes(entry)?, pages, path)
    } else {
        Ok(Arrangement::channels_fastest(1, pages, None))
    }
}

/// How many pages like the first fit between its samples and the end of the
/// file, where its samples are one run of bytes.
fn hidden_pages(file: &TiffFile<'_>, first: &Page) -> u64 {
    let row_bytes = first.row_bytes();
    let mut next = first.chunks[0].0;
    for (i, &(offset, _)) in first.chunks.iter().enumerate() {
        if offset != next || first.tiled || first.separate {
            return 1;
        }
        next = offset.saturating_add(row_bytes.saturating_mul(first.rows_in(i) as u64));
    }
    let page_bytes = row_bytes.saturating_mul(first.look.height as u64);
    file.file_bytes.saturating_sub(first.chunks[0].0) / page_bytes.max(1)
}

/// Refuses pages of several sizes, before their number is taken for a length.
fn check_sizes(chain: &Chain, arrangement: &Arrangement, path: &Path) -> Result<(), Error> {
    let first = chain.pages[0];
    let other = arrangement
        .pages
        .iter()
        .map(|&i| chain.pages[i])
        .find(|at| (at.width, at.height) != (first.width, first.height));
    let Some(other) = other else {
        return Ok(());
    };
    Err(Error::field(
        path,
        format!("the size of page {} (the first is page 0)", other.number),
        format!("{} x {} pixels", other.width, other.height),
        format!(
            "must be that of the first, {} x {}",
            first.width, first.height
        ),
        "Pages of several sizes are those of pyramids and of files with a preview (pages that are \
         marked as such are passed over; this one is not): export the full resolution alone, in \
         Fiji with File > Import > Bio-Formats and File > Save As > Tiff.",
    ))
}

/// Refuses a file that is too short for what its pages announce. What is large
/// for its file must be shown to be there.
fn check_contents(
    file: &mut TiffFile<'_>,
    chain: &Chain,
    arrangement: &Arrangement,
    first: &Page,
    count: usize,
) -> Result<(), Error> {
    let bytes = (count * first.look.number_type.bytes()) as u64;
    let file_bytes = file.file_bytes;
    if budget::is_believed(bytes, file_bytes) {
        return Ok(());
    }
    let mut packed = 0u64;
    for &index in &arrangement.pages {
        let at = chain.pages[index];
        let page = Page::read(file, at.offset, at.number)?;
        packed = packed.saturating_add(match page.packing {
            Packing::None => page.row_bytes().saturating_mul(page.look.height as u64),
            _ => measure(file, &page)?,
        });
        // Strips and tiles that share their bytes hold less than they seem to.
        if packed > file_bytes {
            return Err(too_short(file.path, file_bytes, bytes));
        }
    }
    Ok(())
}

fn too_short(path: &Path, file_bytes: u64, bytes: u64) -> Error {
    Error::field(
        path,
        "the length of the file",
        counted(file_bytes, "byte"),
        format!(
            "cannot hold the {} of samples that its pages announce",
            counted(bytes, "byte")
        ),
        "The file may be truncated or damaged: copy it again.",
    )
}

fn read_pages<T: Sample>(
    file: &mut TiffFile<'_>,
    chain: &Chain,
    arrangement: &Arrangement,
    look: Look,
    count: usize,
) -> Result<Vec<T>, Error> {
    let mut values: Vec<T> = budget::zeros(count, file.path)?;
    let slices = arrangement.slices;
    for (i, &index) in arrangement.pages.iter().enumerate() {
        let (c, z) = (i / slices, i % slices);
        let at = chain.pages[index];
        let page = Page::read(file, at.offset, at.number)?;
        if page.look != look {
            return Err(Error::field(
                file.path,
                format!("page {} (the first is page 0)", at.number),
                page.look,
                format!("must be like the first, {look}"),
                "All pages of a volume need one type: save it again in Fiji, after Image > Type.",
            ));
        }
        let start = |s: usize| ((c * look.samples + s) * slices + z) * look.pixels();
        decode(file, &page, &mut values, start)?;
    }
    Ok(values)
}

/// Pages without directories of their own: one run of samples.
fn read_hidden(
    file: &mut TiffFile<'_>,
    page: &Page,
    arrangement: &Arrangement,
) -> Result<Samples, Error> {
    let path = file.path;
    file.reader
        .seek(SeekFrom::Start(page.chunks[0].0))
        .map_err(Error::io(path, "reading the samples"))?;
    let order = match file.big_endian {
        true => ByteOrder::Big,
        false => ByteOrder::Little,
    };
    let look = page.look;
    let count = arrangement.pages.len() * look.pixels() * look.samples;
    let number_type: NumberType = look.number_type;
    let stored = read_samples(&mut file.reader, path, number_type, order, count)?;
    if arrangement.channels == 1 && look.samples == 1 {
        return Ok(stored);
    }
    each_type!(number_type, T, variant => {
        let stored = T::of_samples(&stored).unwrap_or_default();
        let mut values: Vec<T> = budget::reserved(count, path)?;
        let page_samples = look.pixels() * look.samples;
        for pages in arrangement.pages.chunks(arrangement.slices) {
            for s in 0..look.samples {
                for &p in pages {
                    let pixels = &stored[p * page_samples..(p + 1) * page_samples];
                    values.extend(pixels.iter().skip(s).step_by(look.samples));
                }
            }
        }
        Ok(variant(values))
    })
}
