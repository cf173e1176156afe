//! The small languages of flags: `64,96,96`, `12GiB`, `z=3,y=3,x=3`,
//! `0=inside,1=tubule`. Text in, checked values or a sentence that shows how
//! it is written.

use std::ops::Range;

use unet3d_metrics::SurfaceVariant;
use unet3d_volume::Class;
use unet3d_volume::labels::{Direction, StatedSlices};
use unet3d_volume::words::counted;

/// Names of the axes in the order of every array.
pub(crate) const AXES: [&str; 3] = ["z", "y", "x"];

/// Voxels along `z,y,x`: three numbers, or one for all three.
pub(crate) fn shape(text: &str) -> Result<[usize; 3], String> {
    let hint = "write voxels along z,y,x, for example 64,96,96, or one number for all three";
    let numbers = text
        .split([',', 'x'])
        .map(|part| part.trim().parse::<usize>().ok().filter(|&n| n > 0))
        .collect::<Option<Vec<_>>>()
        .ok_or_else(|| format!("not three numbers above 0; {hint}"))?;
    match numbers[..] {
        [n] => Ok([n; 3]),
        [z, y, x] => Ok([z, y, x]),
        _ => Err(format!("{}; {hint}", counted(numbers.len(), "number"))),
    }
}

/// Voxel ranges along z,y,x: `first:end`, the end not included.
pub(crate) fn ranges(text: &str) -> Result<[Range<usize>; 3], String> {
    let hint = "write first:end along z,y,x, for example 0:128,0:128,0:128";
    let range = |part: &str| {
        let (first, end) = part.trim().split_once(':')?;
        Some(first.parse().ok()?..end.parse().ok()?)
    };
    let ranges = text.split(',').map(range).collect::<Option<Vec<_>>>();
    let ranges = ranges.ok_or_else(|| format!("not three ranges; {hint}"))?;
    <[Range<usize>; 3]>::try_from(ranges)
        .map_err(|n| format!("{}; {hint}", counted(n.len(), "range")))
}

/// Distances in mm along `z,y,x`.
pub(crate) fn spacing(text: &str) -> Result<[f64; 3], String> {
    let hint = "write millimetres along z,y,x, for example 0.002,0.00176,0.00176";
    let numbers = text
        .split(',')
        .map(|part| {
            let value = part.trim().parse::<f64>().ok();
            value.filter(|v| v.is_finite() && *v > 0.0)
        })
        .collect::<Option<Vec<_>>>()
        .ok_or_else(|| format!("not three numbers above 0; {hint}"))?;
    <[f64; 3]>::try_from(numbers).map_err(|n| format!("{}; {hint}", counted(n.len(), "number")))
}

/// What a surface is, by its name.
pub(crate) fn surface_variant(text: &str) -> Result<SurfaceVariant, String> {
    let found = SurfaceVariant::ALL.into_iter().find(|v| v.name() == text);
    found.ok_or_else(|| {
        let names = SurfaceVariant::ALL.map(SurfaceVariant::name).join(", ");
        format!("must be one of {names}")
    })
}

/// A distance in mm, 0 or more.
pub(crate) fn tolerance(text: &str) -> Result<f64, String> {
    let value = text.parse::<f64>().ok();
    let value = value.filter(|v| v.is_finite() && *v >= 0.0);
    value.ok_or_else(|| "must be a number of millimetres, 0 or more, for example 1 or 0.5".into())
}

/// Bytes: `800MB`, `12GiB`, `4G`.
pub(crate) fn memory(text: &str) -> Result<u64, String> {
    let hint = "write a number and a unit, for example 12GiB or 800MB";
    let split = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .ok_or_else(|| format!("the unit is missing; {hint}"))?;
    let (number, unit) = text.split_at(split);
    let number: f64 = number
        .parse()
        .map_err(|_| format!("no number before the unit; {hint}"))?;
    // One letter means what operating systems show: powers of 1024.
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "kb" => 1000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        _ => return Err(format!("unknown unit {unit:?}; {hint}")),
    };
    let bytes = number * factor as f64;
    if bytes < 1.0 {
        return Err(format!("must be above 0; {hint}"));
    }
    // Also what is no number any more. A configuration holds whole numbers to 2^63.
    if bytes > (1u64 << 60) as f64 {
        return Err(format!("more than any computer has; {hint}"));
    }
    Ok(bytes as u64)
}

/// Minutes above 0.
pub(crate) fn minutes(text: &str) -> Result<f64, String> {
    let value = text.parse::<f64>().map_err(|e| e.to_string())?;
    if value.is_finite() && value > 0.0 {
        Ok(value)
    } else {
        Err("must be a number of minutes above 0, for example 10 or 0.5".into())
    }
}

/// Slices along each axis: `z=3,y=3,x=3`; an axis that is not named has none.
pub(crate) fn slices(text: &str) -> Result<[usize; 3], String> {
    let hint = "write how many slices each direction keeps, for example z=3,y=3,x=3";
    let mut counts = [0; 3];
    let mut seen = [false; 3];
    for part in text.split(',') {
        let (name, count) = part
            .split_once('=')
            .ok_or_else(|| format!("{part:?} has no =; {hint}"))?;
        let axis = axis(name.trim()).map_err(|e| format!("{e}; {hint}"))?;
        if std::mem::replace(&mut seen[axis], true) {
            return Err(format!("axis {} is named twice; {hint}", AXES[axis]));
        }
        counts[axis] = count
            .trim()
            .parse()
            .map_err(|_| format!("{count:?} is not a number; {hint}"))?;
    }
    if counts == [0; 3] {
        return Err(format!("keeps no slice at all; {hint}"));
    }
    Ok(counts)
}

/// One axis by its letter.
pub(crate) fn axis(text: &str) -> Result<usize, String> {
    AXES.iter()
        .position(|a| *a == text)
        .ok_or_else(|| format!("axis {text:?} is not one of z, y, x"))
}

/// One direction by its letter, or by the plane of the body.
pub(crate) fn direction(text: &str) -> Result<Direction, String> {
    text.trim().parse()
}

/// Slices that were annotated: `z=4,14,24`, `z=every:10`, `axial=4..54:10,y=3`.
pub(crate) fn annotated_slices(text: &str) -> Result<StatedSlices, String> {
    text.parse()
}

/// One class, `VALUE=NAME` or only `VALUE`.
pub(crate) fn class(text: &str) -> Result<Class, String> {
    let (value, name) = match text.split_once('=') {
        Some((value, name)) => (value.trim(), name.trim().to_owned()),
        None => (text.trim(), String::new()),
    };
    let value: i64 = value.parse().map_err(|_| {
        format!("{value:?} is not a whole number; write VALUE=NAME, for example 0=inside,1=tubule")
    })?;
    let name = if name.is_empty() {
        format!("class {value}")
    } else {
        name
    };
    Ok(Class { value, name })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crops() {
        assert_eq!(ranges("0:128, 3:4,5:6"), Ok([0..128, 3..4, 5..6]));
        for bad in ["", "0:1", "0:1,2:3", "0-1,0:1,0:1", "a:b,0:1,0:1"] {
            assert!(ranges(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn shapes() {
        assert_eq!(shape("116,132,132"), Ok([116, 132, 132]));
        assert_eq!(shape("64"), Ok([64; 3]));
        assert_eq!(shape("1x64x64"), Ok([1, 64, 64]));
        for bad in ["", "0", "1,2", "1,2,3,4", "-1,2,3", "a,b,c", "1.5"] {
            assert!(shape(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn memory_sizes() {
        assert_eq!(memory("12GiB"), Ok(12 << 30));
        assert_eq!(memory("800MB"), Ok(800_000_000));
        assert_eq!(memory("1.5g"), Ok(3 << 29));
        for bad in ["", "12", "GiB", "0GB", "3 apples", "-1GB", "1e3MB", "..MB"] {
            assert!(memory(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn surface_variants() {
        assert_eq!(surface_variant("voxels"), Ok(SurfaceVariant::Voxels));
        assert!(surface_variant("voxel").is_err_and(|e| e.contains("voxels-pooled")));
    }

    #[test]
    fn slices_by_axis() {
        assert_eq!(slices("z=3,y=2,x=1"), Ok([3, 2, 1]));
        assert_eq!(slices("x=1"), Ok([0, 0, 1]));
        for bad in ["", "3", "z=0", "w=1", "z=1,z=2", "z=a", "z=-1"] {
            assert!(slices(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn classes() {
        assert_eq!(class("1=tubule").map(|c| c.name), Ok("tubule".into()));
        assert_eq!(class("-2").map(|c| c.value), Ok(-2));
        assert!(class("tubule").is_err());
    }

    #[test]
    fn spacings_and_minutes() {
        assert_eq!(spacing("1,0.5,0.5"), Ok([1.0, 0.5, 0.5]));
        assert!(spacing("1,0,1").is_err() && spacing("1").is_err() && spacing("nan,1,1").is_err());
        assert_eq!(tolerance("0"), Ok(0.0));
        assert!(tolerance("-1").is_err() && tolerance("inf").is_err() && tolerance("").is_err());
        assert_eq!(minutes("0.5"), Ok(0.5));
        assert!(minutes("0").is_err() && minutes("inf").is_err() && minutes("-1").is_err());
    }
}
