//! The description that ImageJ and Fiji write into the first page: lines of
//! `key=value`.
//!
//! Pages are ordered channels fastest, then slices, then frames. `spacing` is
//! the distance of slices in `unit`; the resolution tags hold pixels per
//! `unit` along x and y. Absent keys mean 1.

use std::fmt::Write;
use std::path::Path;

use super::{Arrangement, units};
use crate::{Error, NumberType, Volume};

/// Whether a description is ImageJ's.
pub(super) fn is_imagej(description: &str) -> bool {
    description.starts_with("ImageJ=")
}

/// Number of pages that the description announces, whether or not each has a
/// directory of its own.
pub(super) fn announced_pages(description: &str) -> usize {
    value(description, "images")
        .and_then(|v| v.parse().ok())
        .unwrap_or(1)
}

/// Reads a description. `resolution` is pixels per unit along `[y, x]`.
pub(super) fn arrange(
    description: &str,
    page_count: usize,
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
    let images = count("images")?.unwrap_or(page_count);
    let channels = count("channels")?.unwrap_or(1);
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
    let slices = match count("slices")? {
        Some(slices) => slices,
        None => images / channels,
    };
    if channels.checked_mul(slices) != Some(images) {
        return Err(Error::field(
            path,
            "the ImageJ description's images",
            images,
            format!("must be channels times slices, {channels} x {slices}"),
            "The file may be damaged: save it again in Fiji.",
        ));
    }
    if images > page_count {
        return Err(Error::field(
            path,
            "the number of pages",
            page_count,
            format!("must be the {images} that the ImageJ description announces"),
            "The file may be truncated: copy it again.",
        ));
    }
    Ok(Arrangement::channels_fastest(
        channels,
        slices,
        spacing_mm(description, resolution),
    ))
}

fn spacing_mm(description: &str, [y, x]: [Option<f64>; 2]) -> Option<[f64; 3]> {
    let unit_mm = units::millimetres(value(description, "unit")?)?;
    let number = |text: &str| text.parse::<f64>().ok().map(f64::abs);
    let in_plane = |resolution: Option<f64>| resolution.map_or(1.0, |r| 1.0 / r);
    let depth = value(description, "spacing").map_or(Some(1.0), number)?;
    let spacing = [depth, in_plane(y), in_plane(x)].map(|s| units::scaled(s, unit_mm));
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
pub(super) fn describe(volume: &Volume) -> (String, Option<[f64; 2]>) {
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
    text.push_str("loop=false\n");
    (text, resolution)
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
        let found = arrange(text, 6, [Some(4.0), Some(8.0)], Path::new("a")).expect("valid");
        assert_eq!(found.pages, [0, 2, 4, 1, 3, 5]);
        assert_eq!(found.spacing_mm, Some([0.0005, 0.00025, 0.000125]));
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
                arrange(text, 6, [None, None], Path::new("a")).is_err(),
                "{text}"
            );
        }
    }
}
