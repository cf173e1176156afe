//! Stacks as two microscope programs write them into TIFF: MetaMorph (`.stk`)
//! and Zeiss LSM.

use std::path::Path;

use super::directory::{DAMAGED, Directory, tag};
use super::page::{Packing, Page};
use super::{Arrangement, units};
use crate::Error;

/// Number of planes of a MetaMorph stack of more than one.
pub(super) fn metamorph_planes(directory: &Directory) -> Option<u64> {
    directory
        .entry(tag::UIC2)
        .map(|entry| entry.count)
        .filter(|&planes| planes > 1)
}

/// MetaMorph: one directory, and the planes one after the other. `fitting`
/// planes have room between the first sample and the end of the file.
pub(super) fn metamorph(
    planes: u64,
    pages: usize,
    first: &Page,
    fitting: u64,
    path: &Path,
) -> Result<Arrangement, Error> {
    let wrong = |found: String, rule: &str, advice: &str| {
        Error::field(path, "the MetaMorph stack", found, rule, advice)
    };
    if first.packing != Packing::None || first.bits < 8 {
        return Err(wrong(
            format!("{planes} planes that are compressed or of fewer than 8 bits"),
            "is read only where it is neither",
            "Open it in Fiji (File > Import > Bio-Formats) and save it as TIFF.",
        ));
    }
    if pages > 1 {
        return Err(wrong(
            format!("{planes} planes in a file of {pages} pages"),
            "must have one page that stands for all planes",
            "Open it in Fiji (File > Import > Bio-Formats) and save it as TIFF.",
        ));
    }
    let slices = usize::try_from(planes)
        .ok()
        .filter(|_| planes <= fitting)
        .ok_or_else(|| {
            wrong(
                format!("{planes} planes"),
                &format!("must have no more than the {fitting} that the file has room for"),
                "The file may be truncated: copy it again.",
            )
        })?;
    let mut arrangement = Arrangement::channels_fastest(1, slices, None);
    arrangement.hidden = true;
    arrangement.notes.push(format!(
        "the {planes} planes of this MetaMorph stack are read as slices, its spacing is not."
    ));
    Ok(arrangement)
}

/// Zeiss LSM: a page for each slice (previews are marked and gone by now), its
/// channels side by side or as separate planes. The block of numbers is
/// always lowest byte first.
pub(super) fn zeiss(block: &[u8], pages: usize, path: &Path) -> Result<Arrangement, Error> {
    let number = |at: usize| {
        let bytes = block.get(at..at + 4)?;
        Some(i32::from_le_bytes(bytes.try_into().ok()?))
    };
    let metres = |at: usize| {
        let bytes = block.get(at..at + 8)?;
        Some(f64::from_le_bytes(bytes.try_into().ok()?))
    };
    let (slices, times) = (number(16), number(24));
    if let Some(times) = times.filter(|&times| times > 1) {
        return Err(Error::field(
            path,
            "the number of time points of the Zeiss LSM file",
            times,
            "must be 1",
            "Save one file for each time point: in Fiji, Image > Duplicate, then File > Save As > Tiff.",
        ));
    }
    if slices.and_then(|n| usize::try_from(n).ok()) != Some(pages) {
        return Err(Error::field(
            path,
            "the number of slices that the Zeiss LSM header announces",
            slices.map_or("missing".to_owned(), |n| n.to_string()),
            format!("must be that of the {pages} full pages"),
            DAMAGED,
        ));
    }
    let spacing = [metres(56), metres(48), metres(40)];
    let spacing_mm = match spacing {
        [Some(z), Some(y), Some(x)] => Some([z, y, x].map(|s| units::scaled(s, 1e3)))
            .filter(|spacing| spacing.iter().all(|s| s.is_finite() && *s > 0.0)),
        _ => None,
    };
    Ok(Arrangement::channels_fastest(1, pages, spacing_mm))
}
