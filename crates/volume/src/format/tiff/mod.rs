//! TIFF: stacks of pages, as ImageJ/Fiji, OME (Bio-Formats), tifffile and
//! plain multi-page files arrange them.
//!
//! Reading: [`chain`] walks the pages and finds the description of the first
//! one; [`imagej`], [`ome`] or [`shaped`] make an [`Arrangement`] of it (which
//! page is which slice of which channel, and the spacing); [`read`] lets the
//! `tiff` crate decode the pages in that order. Writing ([`write`]) gives an
//! ImageJ hyperstack where ImageJ knows the sample type, else a stack in
//! tifffile's own description.

mod chain;
mod imagej;
mod ome;
mod read;
mod shaped;
mod sidecar;
mod units;
mod write;

use std::path::Path;

use super::{Format, Source};
use crate::{Error, Volume};

pub(super) struct Tiff;

/// Which pages of a file are what.
#[derive(Debug, PartialEq)]
struct Arrangement {
    channels: usize,
    slices: usize,
    /// Index of the page of each slice of each channel, `[c, z]`.
    pages: Vec<usize>,
    spacing_mm: Option<[f64; 3]>,
}

impl Arrangement {
    /// Every page a slice, or, with `channels` > 1, channels fastest.
    fn channels_fastest(channels: usize, slices: usize, spacing_mm: Option<[f64; 3]>) -> Self {
        Self {
            channels,
            slices,
            pages: (0..channels)
                .flat_map(|c| (0..slices).map(move |z| z * channels + c))
                .collect(),
            spacing_mm,
        }
    }
}

impl Format for Tiff {
    fn name(&self) -> &'static str {
        "TIFF"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &[".tif", ".tiff", ".btf", ".tf8"]
    }

    fn recognises(&self, source: &Source) -> bool {
        [b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"]
            .iter()
            .any(|magic| source.start.starts_with(*magic))
    }

    fn read(&self, path: &Path) -> Result<Volume, Error> {
        let mut volume = read::read(path)?;
        sidecar::apply(path, &mut volume);
        Ok(volume)
    }

    fn write(&self, path: &Path, volume: &Volume) -> Result<(), Error> {
        super::atomic::write_file(path, |writer| write::write(writer, path, volume))
    }
}

/// Writes into a folder that will be renamed as a whole.
pub(super) fn write_inside(path: &Path, volume: &Volume) -> Result<(), Error> {
    super::atomic::write_inside(path, |writer| write::write(writer, path, volume))
}

fn wrong(path: &Path, source: &tiff::TiffError) -> Error {
    Error::field(
        path,
        "a page of the TIFF file",
        format!("unreadable ({source})"),
        "must be sound and of a kind that is supported",
        "The file may be truncated or damaged: copy it again, or save it again in Fiji as a TIFF.",
    )
}

#[cfg(test)]
mod tests;
