//! Lengths and volumes in the unit that suits them.
//!
//! Comes in: the spacing in mm, where it is known. Leaves: words such as `z 8 nm, y 8 nm,
//! x 8 nm`, volumes such as `1.24 mm³`, and a scale bar of a round length.

use crate::console::count;
use crate::parse::AXES;

/// A unit of length.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Unit {
    name: &'static str,
    mm: f64,
}

const NANOMETRE: Unit = Unit {
    name: "nm",
    mm: 1e-6,
};
const MICROMETRE: Unit = Unit {
    name: "µm",
    mm: 1e-3,
};
const MILLIMETRE: Unit = Unit {
    name: "mm",
    mm: 1.0,
};

/// Digits that are shown of a measured number: a spacing is hardly known better.
const DIGITS: i32 = 4;

/// The unit in which a length reads well: 0.35 µm rather than 350 nm, as microscopes
/// state it, and 20 µm rather than 0.02 mm.
fn unit_of(length_mm: f64) -> Unit {
    match length_mm {
        mm if mm < 1e-4 => NANOMETRE,
        mm if mm < 0.1 => MICROMETRE,
        _ => MILLIMETRE,
    }
}

/// The distance of neighbouring voxels along each axis, in one unit.
pub(super) fn spacing(spacing_mm: Option<[f64; 3]>) -> String {
    let Some(mm) = spacing_mm else {
        return "not stated by the file, so lengths and volumes are in voxels".into();
    };
    let unit = unit_of(mm.iter().copied().fold(f64::INFINITY, f64::min));
    let each = [0, 1, 2].map(|a| format!("{} {} {}", AXES[a], number(mm[a] / unit.mm), unit.name));
    each.join(", ")
}

/// How much space some numbers of voxels take, all in one unit; `None` where the
/// spacing is not known.
pub(super) fn volumes(voxels: &[u64], spacing_mm: Option<[f64; 3]>) -> Option<Vec<String>> {
    /// From here on the next unit reads better; it is as many times as large.
    const TOO_MANY: f64 = 1e9;
    let mm = spacing_mm?;
    let voxel_mm3: f64 = mm.iter().product();
    let largest_mm3 = voxel_mm3 * voxels.iter().copied().max().unwrap_or(0) as f64;
    let mut unit = unit_of(mm.iter().copied().fold(f64::INFINITY, f64::min));
    for next in [MICROMETRE, MILLIMETRE] {
        if largest_mm3 / unit.mm.powi(3) >= TOO_MANY && next.mm > unit.mm {
            unit = next;
        }
    }
    let text = |n: &u64| {
        let value = *n as f64 * voxel_mm3 / unit.mm.powi(3);
        format!("{} {}³", number(value), unit.name)
    };
    Some(voxels.iter().map(text).collect())
}

/// A scale bar for a picture this wide: the share of the width that it takes, and its
/// length in words.
pub(super) fn scale_bar(width_mm: f64) -> (f64, String) {
    /// Longer than this share of the picture is no bar any more.
    const LONGEST: f64 = 0.3;
    let most = LONGEST * width_mm;
    let power = 10f64.powf(most.log10().floor());
    let length_mm = [5.0, 2.0, 1.0]
        .into_iter()
        .map(|step| step * power)
        .find(|length| *length <= most * (1.0 + 1e-9))
        .unwrap_or(power);
    let unit = match length_mm {
        mm if mm < 0.999e-3 => NANOMETRE,
        mm if mm < 0.999 => MICROMETRE,
        _ => MILLIMETRE,
    };
    let text = format!("{} {}", number(length_mm / unit.mm), unit.name);
    (length_mm / width_mm, text)
}

/// A number with a few significant digits, thousands in groups and no idle zeros.
pub(super) fn number(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return format!("{value}");
    }
    let decimals = DIGITS - 1 - value.abs().log10().floor() as i32;
    if decimals <= 0 {
        // Whole numbers keep all their digits: they are counted in voxels.
        let sign = if value < 0.0 { "-" } else { "" };
        return format!("{sign}{}", count(value.abs().round() as u64));
    }
    let text = format!("{value:.*}", decimals as usize);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_true() {
        for (value, text) in [
            (0.0, "0"),
            (1.0, "1"),
            (1.76, "1.76"),
            (1.759_999_999_8, "1.76"),
            (0.000_123_456, "0.0001235"),
            (999.96, "1000"),
            (1_234_567.4, "1,234,567"),
            (-2.5, "-2.5"),
            (9.9999, "10"),
        ] {
            assert_eq!(number(value), text, "{value}");
        }
    }

    #[test]
    fn a_spacing_is_in_the_unit_of_its_kind_of_instrument() {
        for (mm, text) in [
            ([8e-6, 8e-6, 8e-6], "z 8 nm, y 8 nm, x 8 nm"),
            (
                [2.04e-3, 1.76e-3, 1.76e-3],
                "z 2.04 µm, y 1.76 µm, x 1.76 µm",
            ),
            ([1e-3, 3.5e-4, 3.5e-4], "z 1 µm, y 0.35 µm, x 0.35 µm"),
            ([0.02; 3], "z 20 µm, y 20 µm, x 20 µm"),
            ([3.0, 0.9375, 0.9375], "z 3 mm, y 0.9375 mm, x 0.9375 mm"),
        ] {
            assert_eq!(spacing(Some(mm)), text);
        }
        assert!(spacing(None).contains("not stated"));
    }

    #[test]
    fn volumes_share_one_unit_and_leave_it_where_numbers_get_long() {
        assert_eq!(
            volumes(&[1000, 1], Some([1.0; 3])),
            Some(vec!["1,000 mm³".into(), "1 mm³".into()])
        );
        assert_eq!(
            volumes(&[4000], Some([1e-3, 5e-4, 5e-4])),
            Some(vec!["1,000 µm³".into()])
        );
        // 500 x 500 x 500 voxels of 8 nm are 64 µm³.
        assert_eq!(
            volumes(&[125_000_000, 0], Some([8e-6; 3])),
            Some(vec!["64 µm³".into(), "0 µm³".into()])
        );
        assert_eq!(volumes(&[5], None), None);
    }

    #[test]
    fn scale_bars_are_round_and_fit() {
        for (width_mm, text) in [
            (0.2, "50 µm"),
            (1.0, "200 µm"),
            (4.0, "1 mm"),
            (250.0, "50 mm"),
            (5e-3, "1 µm"),
            (3e-3, "500 nm"),
        ] {
            let (share, found) = scale_bar(width_mm);
            assert_eq!(found, text, "{width_mm}");
            assert!((0.1..=0.3001).contains(&share), "{share}");
        }
    }
}
