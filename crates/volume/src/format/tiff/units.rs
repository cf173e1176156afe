//! Names of units of length.

/// Millimetres in one unit, by any of the names that programs write; `None`
/// for pixels and for names that nobody knows.
///
/// Names are read by their beginning, as ImageJ reads them: `micron`,
/// `microns`, `Micrometer` are one. Micro has two characters in Unicode, and
/// ImageJ writes either as `\u00B5`.
pub(super) fn millimetres(unit: &str) -> Option<f64> {
    let unit = unescaped(unit.trim_matches(|c: char| c.is_whitespace() || c == '\0' || c == '"'));
    let unit = unit.to_lowercase();
    /// Beginnings, the first that fits wins; whole names end in `.`.
    const NAMES: &[(&str, f64)] = &[
        ("pixel", f64::NAN),
        ("px", f64::NAN),
        ("voxel", f64::NAN),
        ("nm.", 1e-6),
        ("nano", 1e-6),
        ("millimicron", 1e-6),
        ("um.", 1e-3),
        ("micro", 1e-3),
        ("micm", 1e-3),
        ("mic.", 1e-3),
        ("mu.", 1e-3),
        ("mum.", 1e-3),
        // Both signs of micro, and what Latin-1 makes of the first in UTF-8.
        ("\u{b5}", 1e-3),
        ("\u{3bc}", 1e-3),
        ("\u{e2}\u{b5}", 1e-3),
        ("mm.", 1.0),
        ("milli", 1.0),
        ("cm.", 1e1),
        ("centi", 1e1),
        ("dm.", 1e2),
        ("deci", 1e2),
        ("m.", 1e3),
        ("meter", 1e3),
        ("metre", 1e3),
        ("pm.", 1e-9),
        ("pico", 1e-9),
        // Ring above, as one character (the angstrom sign is lowered to it).
        ("\u{e5}", 1e-7),
        ("angstr", 1e-7),
        ("in.", 25.4),
        ("inch", 25.4),
    ];
    // Units in the plural: `ums`, `mms`, `ins`.
    let matches = |name: &str| match name.strip_suffix('.') {
        Some(whole) => unit == whole || unit.strip_suffix(['s', '.']) == Some(whole),
        None => unit.starts_with(name),
    };
    NAMES
        .iter()
        .find(|(name, _)| matches(name))
        .map(|&(_, mm)| mm)
        .filter(|mm| !mm.is_nan())
}

/// A text with `\u00B5` turned into its character, as Java's properties have it.
fn unescaped(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("\\u") {
        out.push_str(&rest[..at]);
        let code = rest.get(at + 2..at + 6);
        let found = code
            .and_then(|code| u32::from_str_radix(code, 16).ok())
            .and_then(char::from_u32);
        match found {
            Some(c) => {
                out.push(c);
                rest = &rest[at + 6..];
            }
            None => {
                out.push_str("\\u");
                rest = &rest[at + 2..];
            }
        }
    }
    out.push_str(rest);
    out
}

/// The unit in which a spacing reads well: micrometres below 0.1 mm, the
/// boundary between microscopes and scanners.
pub(super) fn fitting(spacing_mm: [f64; 3]) -> (&'static str, f64) {
    let largest = spacing_mm.into_iter().fold(0.0, f64::max);
    if largest < 0.1 {
        ("micron", 1e-3)
    } else {
        ("mm", 1.0)
    }
}

/// `value * factor` for a factor that is a power of ten, without the rounding
/// of a factor below 1: 284 nm are 0.000284 mm, not 0.00028399999999999996.
pub(super) fn scaled(value: f64, factor: f64) -> f64 {
    if factor < 1.0 {
        value / (1.0 / factor).round()
    } else {
        value * factor
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_units_are_read_by_their_beginning() {
        for (mm, names) in [
            (
                1e-3,
                "um,\u{b5}m,\u{3bc}m,micron,microns,Micron,micrometer,micrometres,\\u00B5m,\\u03bcm,\\u00b5m,\u{c2}\u{b5}m,\u{b5},UM,um\0",
            ),
            (1e-6, "nm,nanometer,nanometers,NM,nanom"),
            (1.0, "mm,millimeter,millimetres,MM,mms"),
            (1e1, "cm,centimeter,centimetre"),
            (1e3, "m,meter,metres"),
            (25.4, "inch,inches,in"),
            (
                1e-7,
                "\u{c5},\u{212b},angstrom,Angstroms,\u{e5}ngstr\u{f6}m",
            ),
            (1e-9, "pm,picometer"),
        ] {
            for name in names.split(',') {
                assert_eq!(millimetres(name), Some(mm), "{name:?}");
            }
        }
        for name in [
            "", "pixel", "pixels", "px", "voxel", "unknown", "\\u", "furlong", "minute", " ",
        ] {
            assert_eq!(millimetres(name), None, "{name:?}");
        }
    }
}
