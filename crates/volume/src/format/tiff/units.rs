//! Names of units of length.

/// Millimetres in one unit, by any of the names that programs write; `None`
/// for pixels and for names that nobody knows.
pub(super) fn millimetres(unit: &str) -> Option<f64> {
    Some(match unit.trim() {
        "m" | "meter" | "metre" => 1e3,
        "dm" => 1e2,
        "cm" | "centimeter" | "centimetre" => 1e1,
        "mm" | "millimeter" | "millimetre" => 1.0,
        "um" | "\u{b5}m" | "\u{3bc}m" | "micron" | "microns" | "micrometer" | "micrometre"
        | "micrometers" | "\\u00B5m" => 1e-3,
        "nm" | "nanometer" | "nanometre" | "nanometers" => 1e-6,
        "\u{c5}" | "\u{212b}" | "angstrom" => 1e-7,
        "pm" => 1e-9,
        "in" | "inch" | "inches" => 25.4,
        _ => return None,
    })
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
