//! The description that ImageJ and Fiji write into the first page: lines of
//! `key=value`.
//!
//! Pages are ordered channels fastest, then slices, then frames. `spacing` is
//! the distance of slices in `unit`; the resolution tags hold pixels per
//! `unit` along x and y. Absent keys mean 1.

use std::fmt::Write;
use std::path::Path;

use super::{Arrangement, units};
use crate::labels::colours;
use crate::words::counted;
use crate::{Class, Error, NumberType, Volume};

/// Tags of ImageJ's own block: lengths of its parts, and the parts.
pub(super) const METADATA_LENGTHS: u16 = 50838;
pub(super) const METADATA: u16 = 50839;

/// Whether a description is ImageJ's.
pub(super) fn is_imagej(description: &str) -> bool {
    description.starts_with("ImageJ=")
}

/// Channels of a single slice from which on they may well be slices: more than
/// a colour picture has.
const MANY_CHANNELS: usize = 4;

/// Reads a description. `pages` have directories of their own, and where only
/// one has, `hidden` follow each other without one. `resolution` is pixels per
/// unit along `[y, x]`.
pub(super) fn arrange(
    description: &str,
    pages: usize,
    hidden: u64,
    resolution: [Option<f64>; 2],
    path: &Path,
) -> Result<Arrangement, Error> {
    let count = |key: &str| -> Result<Option<usize>, Error> {
        value(description, key)
            .map(|found| {
                found.parse().ok().filter(|&n| n > 0).ok_or_else(|| {
                    Error::field(
                        path,
                        format!("the ImageJ description's {key}"),
                        format!("{found:?}"),
                        "must be a whole number of at least 1",
                        "The file may be damaged: save it again in Fiji.",
                    )
                })
            })
            .transpose()
    };
    let images = count("images")?;
    let channels = count("channels")?.unwrap_or(1);
    let stated_slices = count("slices")?;
    let frames = count("frames")?.unwrap_or(1);
    if frames > 1 {
        return Err(Error::field(
            path,
            "the ImageJ description's frames",
            frames,
            "must be 1: only one time point is supported",
            "If these are slices, swap them in Fiji (Image > Properties); else save one file for each time point.",
        ));
    }
    let product = stated_slices.map(|slices| channels.saturating_mul(slices));
    let announced = images.or(product).unwrap_or(pages);
    let slices = stated_slices.unwrap_or(announced / channels);
    if channels.checked_mul(slices) != Some(announced) {
        return Err(Error::field(
            path,
            "the ImageJ description's images",
            announced,
            format!("must be channels times slices, {channels} x {slices}"),
            "The file may be damaged: save it again in Fiji.",
        ));
    }
    let is_hidden = announced > pages && pages == 1 && announced as u64 <= hidden;
    let found =
        |rule: String, advice: &str| Error::field(path, "the number of pages", pages, rule, advice);
    if announced > pages && !is_hidden {
        return Err(found(
            format!("must be the {announced} that the ImageJ description announces"),
            "The file may be truncated: copy it again. If it was cut or edited by another program, \
             open it in Fiji with File > Import > Bio-Formats and save it again.",
        ));
    }
    if announced < pages && channels > 1 {
        return Err(found(
            format!(
                "must be the {announced} ({channels} channels of {slices} slices) that the ImageJ description announces"
            ),
            "Pages may have been added by another program: save the file again in Fiji.",
        ));
    }
    let mut arrangement = Arrangement::channels_fastest(
        channels,
        slices.max(if channels == 1 { pages } else { 1 }),
        spacing_mm(description, resolution),
    );
    arrangement.hidden = is_hidden;
    if announced < pages {
        arrangement.notes.push(format!(
            "the ImageJ description announces {}, the file has {}: all {pages} are read as slices.",
            counted(announced, "image"),
            counted(pages, "page")
        ));
    }
    if channels >= MANY_CHANNELS && slices == 1 {
        arrangement.notes.push(format!(
            "{channels} channels of one slice. If these are slices ({}), give them with their axes \
             (tifffile: metadata={{'axes': 'ZYX'}}), or turn them into slices with unet3d convert --channels-are-slices.",
            "tifffile stores them as channels with imagej=True"
        ));
    }
    Ok(arrangement)
}

fn spacing_mm(description: &str, [y, x]: [Option<f64>; 2]) -> Option<[f64; 3]> {
    // ImageJ writes yunit and zunit where they differ from unit.
    let unit = value(description, "unit")?;
    let unit_mm = |key: &str| units::millimetres(value(description, key).unwrap_or(unit));
    let [z_mm, y_mm, x_mm] = [unit_mm("zunit")?, unit_mm("yunit")?, unit_mm("unit")?];
    let number = |text: &str| text.parse::<f64>().ok().map(f64::abs);
    let in_plane = |resolution: Option<f64>| resolution.map_or(1.0, |r| 1.0 / r);
    let depth = value(description, "spacing").map_or(Some(1.0), number)?;
    let spacing = [
        units::scaled(depth, z_mm),
        units::scaled(in_plane(y), y_mm),
        units::scaled(in_plane(x), x_mm),
    ];
    spacing
        .iter()
        .all(|s| s.is_finite() && *s > 0.0)
        .then_some(spacing)
}

fn value<'a>(description: &'a str, key: &str) -> Option<&'a str> {
    description
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
        .map(|value| value.trim_end_matches('\0').trim())
}

/// Whether ImageJ has this type of sample.
pub(super) fn knows(number_type: NumberType) -> bool {
    matches!(
        number_type,
        NumberType::U8 | NumberType::U16 | NumberType::I16 | NumberType::F32
    )
}

/// Composes a description; also returns pixels per unit along `[y, x]`.
pub(super) fn describe(volume: &Volume, classes: Option<&[Class]>) -> (String, Option<[f64; 2]>) {
    let slices = volume.geometry.shape[0];
    let mut text = format!("ImageJ=1.54f\nimages={}\n", volume.channels * slices);
    // Writing to a String cannot fail.
    if volume.channels > 1 {
        let _ = writeln!(text, "channels={}", volume.channels);
    }
    if slices > 1 {
        let _ = writeln!(text, "slices={slices}");
    }
    if volume.channels > 1 {
        text.push_str("hyperstack=true\nmode=grayscale\n");
    }
    let resolution = volume.geometry.spacing().map(|spacing_mm| {
        let (unit, unit_mm) = units::fitting(spacing_mm);
        let [z, y, x] = spacing_mm.map(|s| s / unit_mm);
        let _ = writeln!(text, "unit={unit}\nspacing={}", significant(z));
        [1.0 / y, 1.0 / x]
    });
    if let Some(classes) = classes {
        let (low, high) = match volume.samples.number_type() {
            // The table of colours has one for each value.
            NumberType::U8 => (0, 255),
            // ImageJ keeps these without sign.
            NumberType::I16 => {
                let (low, high) = colours::display_range(classes);
                (low + 32768, high + 32768)
            }
            _ => colours::display_range(classes),
        };
        let _ = writeln!(text, "min={low}.0\nmax={high}.0");
    }
    text.push_str("loop=false\n");
    (text, resolution)
}

/// Names of classes as ImageJ's Image > Show Info shows them: the lengths of
/// the parts of its block (a list of what is there, then the text), and the
/// block.
pub(super) fn legend(classes: &[Class]) -> ([u32; 2], Vec<u8>) {
    // Lowest byte first, as the files of this program are: `IJIJ` and `info`
    // read backwards.
    let mut block = b"JIJIofni\x01\0\0\0".to_vec();
    let list = block.len() as u32;
    let text = colours::legend(classes);
    block.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
    ([list, block.len() as u32 - list], block)
}

/// Twelve digits: what a unit change rounds falls away.
pub(super) fn significant(value: f64) -> f64 {
    format!("{value:.11e}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fijis_own_words_are_understood() {
        let text = "ImageJ=1.53t\nimages=6\nchannels=2\nslices=3\nhyperstack=true\nunit=\\u00B5m\nspacing=0.5\n";
        let found = arrange(text, 6, 1, [Some(4.0), Some(8.0)], Path::new("a")).expect("valid");
        assert_eq!(found.pages, [0, 2, 4, 1, 3, 5]);
        assert_eq!(found.spacing_mm, Some([0.0005, 0.00025, 0.000125]));
    }

    #[test]
    fn each_axis_has_its_unit() {
        let at = |text: &str| {
            let text = format!("ImageJ=1.54f\nimages=5\nslices=5\n{text}spacing=0.5\n");
            let resolution = [Some(4.0), Some(8.0)];
            arrange(&text, 5, 1, resolution, Path::new("a"))
                .expect("valid")
                .spacing_mm
        };
        let nm_um = at("unit=nm\nzunit=um\n").expect("stated");
        assert_eq!(nm_um, [5e-4, 2.5e-7, 1.25e-7]);
        let mixed = at("unit=micron\nyunit=nm\nzunit=\\u00B5m\n").expect("stated");
        assert_eq!(mixed, [5e-4, 2.5e-7, 1.25e-4]);
        assert_eq!(at("unit=um\nzunit=pixel\n"), None);
        assert_eq!(at("zunit=um\n"), None);
    }

    #[test]
    fn pages_are_never_dropped_in_silence() {
        let read =
            |text: &str, pages, hidden| arrange(text, pages, hidden, [None, None], Path::new("a"));
        for said in [1, 4, 6] {
            let text = format!("ImageJ=1.53t\nimages={said}\nslices={said}\n");
            let found = read(&text, 7, 1).expect("all are read");
            assert_eq!((found.slices, found.pages.len()), (7, 7));
            assert!(
                found.notes[0].contains(&said.to_string()),
                "{:?}",
                found.notes
            );
            assert!(found.notes[0].contains('7'), "{:?}", found.notes);
        }
        for (text, pages, hidden) in [
            ("ImageJ=1\nimages=9\nslices=9\n", 7, 100),
            ("ImageJ=1\nimages=9\nslices=9\n", 1, 8),
            ("ImageJ=1\nimages=4000000000\nslices=4000000000\n", 1, 1),
            ("ImageJ=1\nimages=6\nchannels=2\nslices=3\n", 7, 1),
        ] {
            let error = read(text, pages, hidden).expect_err(text).to_string();
            assert!(error.contains(&pages.to_string()), "{error}");
        }
        let hidden = read("ImageJ=1\nimages=9\nslices=9\n", 1, 9).expect("they fit");
        assert!(hidden.hidden && hidden.slices == 9 && hidden.notes.is_empty());
    }

    #[test]
    fn time_and_contradictions_are_refused() {
        for text in [
            "ImageJ=1\nimages=6\nframes=6\n",
            "ImageJ=1\nimages=6\nchannels=4\nslices=3\n",
            "ImageJ=1\nimages=600\nslices=600\n",
            "ImageJ=1\nimages=0\n",
            "ImageJ=1\nimages=6\nchannels=x\n",
        ] {
            assert!(
                arrange(text, 6, 1, [None, None], Path::new("a")).is_err(),
                "{text}"
            );
        }
    }
}
