//! TIFF: stacks of pages, as ImageJ/Fiji, OME (Bio-Formats), tifffile and
//! plain multi-page files arrange them.
//!
//! Reading: [`chain`] walks the pages and finds the description of the first
//! one; [`imagej`], [`ome`], [`shaped`] or [`vendors`] make an [`Arrangement`]
//! of it (which page is which slice of which channel, and the spacing);
//! [`page`] says where the samples of a page stand, and [`decode`] brings them
//! to their places. Writing ([`write`]) gives an ImageJ hyperstack where ImageJ
//! knows the sample type, else a stack in tifffile's own description.
//!
//! The `tiff` crate writes the files, and decodes JPEG; it does not read the
//! rest, since it allocates what a directory says before it looks whether the
//! file holds it.

// The file as it is: directories, their chain, one page.
mod chain;
mod directory;
mod page;

// What the pages are.
mod imagej;
mod ome;
mod shaped;
mod sidecar;
mod units;
mod vendors;
mod xml;

// Samples.
mod decode;
mod jpeg;
mod read;

mod write;

use std::path::Path;

use super::{Format, Source};
use crate::{Class, Error, Volume};

pub(super) struct Tiff;

/// Which pages of a file are what.
#[derive(Debug, PartialEq)]
struct Arrangement {
    channels: usize,
    slices: usize,
    /// Index of the page of each slice of each channel, `[c, z]`.
    pages: Vec<usize>,
    spacing_mm: Option<[f64; 3]>,
    /// Whether only the first page has a directory, and the others follow its
    /// samples without a gap.
    hidden: bool,
    /// What a person should be told.
    notes: Vec<String>,
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
            hidden: false,
            notes: Vec::new(),
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

    fn write(&self, path: &Path, volume: &Volume, classes: Option<&[Class]>) -> Result<(), Error> {
        super::atomic::write_file(path, |writer| write::write(writer, path, volume, classes))
    }
}

/// Writes into a folder that will be renamed as a whole.
pub(super) fn write_inside(
    path: &Path,
    volume: &Volume,
    classes: Option<&[Class]>,
) -> Result<(), Error> {
    super::atomic::write_inside(path, |writer| write::write(writer, path, volume, classes))
}

#[cfg(test)]
mod tests;
