//! Spacing and orientation of NIfTI: sform, qform and `pixdim` to a
//! [`Geometry`], and back.
//!
//! The sform wins over the qform, as everywhere. Spacing is `pixdim`. Both are
//! brought from the file's unit to mm. Where the forms contradict each other,
//! [`notes`] says which was used.
//!
//! A [`Geometry`] that came from a header keeps its [`Forms`] and is written with
//! exactly these, codes and unit included, as long as it still lies where they say.
//! Any other gives its affine as sform and, where it is a rotation times the
//! spacing, as qform too, so that every reader finds the form it prefers.

use std::path::Path;

use crate::place::{corners, is_same_place, precision_mm};
use crate::{Error, Geometry};

/// Axes count as perpendicular when the cosine between them is below this:
/// the forms are stored in f32 and often went through a few products.
const PERPENDICULAR: f64 = 1e-4;
/// Spacing and column lengths of the affine count as equal within this share.
const SAME_SPACING: f64 = 1e-4;
/// Forms of one header that differ by more are told: a share of a voxel or spacing.
const TOLD: f64 = 1e-3;
/// "Scanner coordinates": the code that viewers take for plain world space.
const SCANNER: i16 = 1;
/// `xyzt_units` of millimetres.
pub(super) const MILLIMETRES: u8 = 2;

/// Sform, qform, spacing and unit as a NIfTI header puts them: what a result keeps of
/// its image.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Forms {
    pub(super) pixdim: [f32; 8],
    pub(super) units: u8,
    pub(super) qform_code: i16,
    pub(super) sform_code: i16,
    /// b, c, d.
    pub(super) quaternion: [f32; 3],
    /// x, y, z.
    pub(super) offset: [f32; 3],
    pub(super) srow: [[f32; 4]; 3],
}

impl Forms {
    /// The forms of the part that begins at voxel `[z, y, x]`.
    pub(crate) fn beginning_at(&self, start: [usize; 3]) -> Self {
        let mut forms = self.clone();
        let [z, y, x] = start.map(|v| v as f64);
        // In the unit of the header, as its numbers are.
        let qform = qform(self, 1.0);
        for r in 0..3 {
            let along = |columns: [f64; 3]| columns[0] * x + columns[1] * y + columns[2] * z;
            let srow = self.srow[r].map(f64::from);
            forms.srow[r][3] = (along([srow[0], srow[1], srow[2]]) + srow[3]) as f32;
            forms.offset[r] = (along(qform.columns.map(|c| c[r])) + qform.translation[r]) as f32;
        }
        forms
    }

    /// Whether a geometry lies where these forms say, but for what f32 cannot hold.
    fn still_say(&self, geometry: &Geometry) -> bool {
        let Ok(said) = self::geometry(geometry.shape, self, Path::new("")) else {
            return false;
        };
        let same_spacing = match (said.spacing_mm, geometry.spacing_mm) {
            (Some(a), Some(b)) => (0..3).all(|i| (a[i] / b[i] - 1.0).abs() < 1e-6),
            (a, b) => a == b,
        };
        same_spacing && is_same_place(&said, geometry)
    }

    /// The same, without what readers complain about: signs of spacings and of the
    /// handedness.
    fn tidy(&self, geometry: &Geometry) -> Self {
        let mut forms = self.clone();
        forms.pixdim = [1.0; 8];
        if self.pixdim[0] < 0.0 {
            forms.pixdim[0] = -1.0;
        }
        let unit = mm_of(self.units).unwrap_or(1.0);
        let spacing = geometry.spacing_mm.map(|[z, y, x]| [x, y, z]);
        for i in 0..3 {
            let said = self.pixdim[i + 1].abs();
            forms.pixdim[i + 1] = match spacing {
                _ if said > 0.0 && said.is_finite() => said,
                Some(spacing) => (spacing[i] / unit) as f32,
                None => 1.0,
            };
        }
        forms
    }

    fn sform(&self, mm: f64) -> Option<Affine> {
        (self.sform_code > 0).then(|| Affine {
            columns: std::array::from_fn(|c| {
                std::array::from_fn(|r| f64::from(self.srow[r][c]) * mm)
            }),
            translation: std::array::from_fn(|r| f64::from(self.srow[r][3]) * mm),
        })
    }

    fn qform(&self, mm: f64) -> Option<Affine> {
        (self.qform_code > 0).then(|| qform(self, mm))
    }
}

/// How many mm a unit of length is; `None` for none that NIfTI knows.
fn mm_of(units: u8) -> Option<f64> {
    match units & 7 {
        1 => Some(1000.0),
        // Files that state no unit mean mm: it is the default of the field.
        0 | 2 => Some(1.0),
        3 => Some(0.001),
        _ => None,
    }
}

/// Columns x, y, z of a 3x3 matrix, each with rows x, y, z.
type Columns = [[f64; 3]; 3];

pub(super) fn geometry(shape: [usize; 3], forms: &Forms, path: &Path) -> Result<Geometry, Error> {
    let Some(mm) = mm_of(forms.units) else {
        return Err(Error::field(
            path,
            "header field xyzt_units",
            forms.units & 7,
            "must be 0 (unknown), 1 (m), 2 (mm) or 3 (um) for space",
            "The file may be damaged.",
        ));
    };
    let spacing: [f64; 3] = std::array::from_fn(|i| decimal(forms.pixdim[i + 1]).abs() * mm);

    let (sform, qform) = (forms.sform(mm), forms.qform(mm));
    let stated = sform.is_some() || qform.is_some();
    let affine = [sform, qform].into_iter().flatten().find(Affine::is_usable);
    if stated && affine.is_none() {
        return Err(Error::field(
            path,
            "the transformation of the header (srow_x, srow_y, srow_z or quatern and pixdim)",
            "singular or not finite",
            "must have three independent axes",
            "Repair the header, or set sform_code and qform_code to 0.",
        ));
    }

    let says_nothing =
        !stated && forms.units & 7 == 0 && forms.pixdim[1..4].iter().all(|&p| p == 1.0);
    let usable = |s: &[f64; 3]| s.iter().all(|v| v.is_finite() && *v > 0.0);
    let spacing_xyz = Some(spacing)
        .filter(|s| usable(s) && !says_nothing)
        .or_else(|| affine.as_ref().map(|a| a.columns.map(length)));
    Ok(Geometry {
        shape,
        spacing_mm: spacing_xyz.map(|[x, y, z]| [z, y, x]),
        world_from_volume: affine.as_ref().map(Affine::world_from_volume),
        forms: (!says_nothing).then(|| forms.clone()),
    })
}

/// What a person should know of forms that contradict each other: which was used. A
/// sentence each.
pub(super) fn notes(geometry: &Geometry) -> Vec<String> {
    let Some(forms) = &geometry.forms else {
        return Vec::new();
    };
    let mm = mm_of(forms.units).unwrap_or(1.0);
    let mut notes = Vec::new();
    let (sform, qform) = (forms.sform(mm), forms.qform(mm));
    let used = match (&sform, &qform) {
        (Some(sform), _) if sform.is_usable() => "sform",
        _ => "qform",
    };
    if let (Some(sform), Some(qform)) = (&sform, &qform) {
        let codes = format!(
            "sform (code {}) and qform (code {})",
            forms.sform_code, forms.qform_code
        );
        if !sform.is_usable() || !qform.is_usable() {
            let singular = if used == "sform" { "qform" } else { "sform" };
            notes.push(format!(
                "of the header's {codes} the {singular} has no three independent axes; the {used} is used."
            ));
        } else if let Some(apart_mm) = apart_mm(geometry, sform, qform) {
            notes.push(format!(
                "the header's {codes} place the volume differently, a corner by {}; the sform is used. \
                 Programs that prefer the qform show it elsewhere.",
                length_text(apart_mm)
            ));
        }
    }
    let used = if used == "sform" { sform } else { None };
    if let (Some(sform), Some(spacing)) = (used.filter(Affine::is_usable), geometry.spacing_mm) {
        let [x, y, z] = sform.columns.map(length);
        let lengths = [z, y, x];
        if (0..3).any(|i| (lengths[i] / spacing[i] - 1.0).abs() > TOLD) {
            let text = |s: [f64; 3]| format!("{} x {} x {}", short(s[0]), short(s[1]), short(s[2]));
            notes.push(format!(
                "the header's pixdim has voxels of {} mm [z, y, x], its sform of {} mm; pixdim is used for \
                 sizes and distances, the sform for the place in the world.",
                text(spacing),
                text(lengths)
            ));
        }
    }
    notes
}

/// Distance of the corners that two forms of one header place furthest apart, where it
/// is worth telling.
fn apart_mm(geometry: &Geometry, sform: &Affine, qform: &Affine) -> Option<f64> {
    let [a, b] = [sform, qform].map(Affine::world_from_volume);
    let world = |m: &[[f64; 4]; 3], [z, y, x]: [f64; 3]| {
        m.map(|row| row[0] * z + row[1] * y + row[2] * x + row[3])
    };
    let furthest = corners(geometry.shape)
        .into_iter()
        .map(|corner| {
            let (a, b) = (world(&a, corner), world(&b, corner));
            length([a[0] - b[0], a[1] - b[1], a[2] - b[2]])
        })
        .fold(0.0, f64::max);
    let voxel = sform
        .columns
        .map(length)
        .into_iter()
        .fold(f64::INFINITY, f64::min);
    (furthest > TOLD * voxel + precision_mm(geometry)).then_some(furthest)
}

/// A length to three digits, however small.
fn length_text(mm: f64) -> String {
    match mm {
        0.1.. => format!("{} mm", short(mm)),
        _ => format!("{} um", short(mm * 1000.0)),
    }
}

/// A number to four digits, without trailing zeros.
fn short(value: f64) -> String {
    let digits = 3 - value.abs().max(1e-12).log10().floor() as i32;
    let text = format!("{value:.*}", digits.clamp(0, 12) as usize);
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// The forms that a geometry is written with: those it was read with where they still
/// hold, else new ones in the same unit and with the same codes.
pub(super) fn forms(geometry: &Geometry) -> Forms {
    match &geometry.forms {
        Some(forms) if forms.still_say(geometry) => forms.tidy(geometry),
        read => computed(geometry, read.as_ref()),
    }
}

fn computed(geometry: &Geometry, read: Option<&Forms>) -> Forms {
    let mut forms = Forms {
        pixdim: [1.0; 8],
        ..Forms::default()
    };
    let stated = read.filter(|f| f.units & 7 != 0 && mm_of(f.units).is_some());
    let units = stated.map_or(MILLIMETRES, |f| f.units);
    let unit = mm_of(units).unwrap_or(1.0);
    let columns = geometry
        .world_from_volume
        .map(|m| [2, 1, 0].map(|c| std::array::from_fn(|r| m[r][c])));
    let spacing = geometry
        .spacing_mm
        .map(|[z, y, x]| [x, y, z])
        .or_else(|| columns.map(|c: Columns| c.map(length)));
    if let Some(spacing) = spacing {
        forms.units = units;
        for i in 0..3 {
            forms.pixdim[i + 1] = (spacing[i] / unit) as f32;
        }
    }
    if let (Some(world), Some(columns), Some(spacing)) =
        (geometry.world_from_volume, columns, spacing)
    {
        let (sform_code, qform_code) = match read {
            Some(read) if read.sform_code > 0 || read.qform_code > 0 => {
                (read.sform_code.max(0), read.qform_code.max(0))
            }
            _ => (SCANNER, SCANNER),
        };
        forms.sform_code = sform_code;
        for r in 0..3 {
            forms.offset[r] = (world[r][3] / unit) as f32;
            forms.srow[r] =
                [world[r][2], world[r][1], world[r][0], world[r][3]].map(|v| (v / unit) as f32);
        }
        let rotation = rotation(&columns, &spacing);
        if rotation.is_none() {
            // Only the sform can say it.
            forms.sform_code = sform_code.max(SCANNER);
        }
        if let Some((quaternion, handedness)) = rotation {
            forms.qform_code = qform_code;
            forms.quaternion = quaternion.map(|v| v as f32);
            forms.pixdim[0] = handedness;
        }
    }
    forms
}

struct Affine {
    columns: Columns,
    translation: [f64; 3],
}

impl Affine {
    /// As [`Geometry`] has it.
    fn world_from_volume(&self) -> [[f64; 4]; 3] {
        let [x, y, z] = self.columns;
        std::array::from_fn(|r| [z[r], y[r], x[r], self.translation[r]])
    }

    fn is_usable(&self) -> bool {
        let lengths = self.columns.map(length);
        let volume: f64 = lengths.iter().product();
        volume > 0.0
            && volume.is_finite()
            && self.translation.iter().all(|v| v.is_finite())
            // Relative to the box that the axes span: a flat one is singular.
            && determinant(&self.columns).abs() > 1e-6 * volume
    }
}

fn qform(forms: &Forms, mm: f64) -> Affine {
    let [b, c, d] = forms.quaternion.map(f64::from);
    let rest = 1.0 - (b * b + c * c + d * d);
    // Rounding may leave a unit quaternion slightly too long.
    let (a, b, c, d) = if rest < 1e-7 {
        let n = (b * b + c * c + d * d).sqrt();
        (0.0, b / n, c / n, d / n)
    } else {
        (rest.sqrt(), b, c, d)
    };
    let rotation: Columns = [
        [
            a * a + b * b - c * c - d * d,
            2.0 * (b * c + a * d),
            2.0 * (b * d - a * c),
        ],
        [
            2.0 * (b * c - a * d),
            a * a + c * c - b * b - d * d,
            2.0 * (c * d + a * b),
        ],
        [
            2.0 * (b * d + a * c),
            2.0 * (c * d - a * b),
            a * a + d * d - b * b - c * c,
        ],
    ];
    let handedness = if forms.pixdim[0] < 0.0 { -1.0 } else { 1.0 };
    let scale = [1.0, 1.0, handedness];
    Affine {
        columns: std::array::from_fn(|i| {
            let s = decimal(forms.pixdim[i + 1]).abs() * mm * scale[i];
            rotation[i].map(|v| v * s)
        }),
        translation: forms.offset.map(|v| f64::from(v) * mm),
    }
}

/// Quaternion b, c, d (with a >= 0) and handedness of an affine that is a
/// rotation times the spacing; `None` for any other.
fn rotation(columns: &Columns, spacing: &[f64; 3]) -> Option<([f64; 3], f32)> {
    let lengths = columns.map(length);
    let same = (0..3).all(|i| (lengths[i] / spacing[i] - 1.0).abs() < SAME_SPACING);
    let mut r: Columns = std::array::from_fn(|i| columns[i].map(|v| v / lengths[i]));
    let perpendicular = [(0, 1), (0, 2), (1, 2)]
        .iter()
        .all(|&(i, j)| dot(&r[i], &r[j]).abs() < PERPENDICULAR);
    if !same || !perpendicular {
        return None;
    }
    let handedness = if determinant(&r) < 0.0 {
        r[2] = r[2].map(|v| -v);
        -1.0
    } else {
        1.0
    };
    // m[row][column]; the largest of the four components is found first, so
    // that no division is by a small number.
    let m = |row: usize, column: usize| r[column][row];
    let squares = [
        1.0 + m(0, 0) + m(1, 1) + m(2, 2),
        1.0 + m(0, 0) - m(1, 1) - m(2, 2),
        1.0 - m(0, 0) + m(1, 1) - m(2, 2),
        1.0 - m(0, 0) - m(1, 1) + m(2, 2),
    ];
    let largest = (0..4).fold(
        0,
        |best, i| if squares[i] > squares[best] { i } else { best },
    );
    let s = 2.0 * squares[largest].sqrt();
    let quarter = s / 4.0;
    let [a, b, c, d] = match largest {
        0 => [
            quarter,
            (m(2, 1) - m(1, 2)) / s,
            (m(0, 2) - m(2, 0)) / s,
            (m(1, 0) - m(0, 1)) / s,
        ],
        1 => [
            (m(2, 1) - m(1, 2)) / s,
            quarter,
            (m(0, 1) + m(1, 0)) / s,
            (m(0, 2) + m(2, 0)) / s,
        ],
        2 => [
            (m(0, 2) - m(2, 0)) / s,
            (m(0, 1) + m(1, 0)) / s,
            quarter,
            (m(1, 2) + m(2, 1)) / s,
        ],
        _ => [
            (m(1, 0) - m(0, 1)) / s,
            (m(0, 2) + m(2, 0)) / s,
            (m(1, 2) + m(2, 1)) / s,
            quarter,
        ],
    };
    let sign = if a < 0.0 { -1.0 } else { 1.0 };
    Some(([b * sign, c * sign, d * sign], handedness))
}

/// The number that a person meant who stored it as f32: 0.1, not 0.10000000149.
fn decimal(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(f64::from(value))
}

fn dot(a: &[f64; 3], b: &[f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

fn length(column: [f64; 3]) -> f64 {
    dot(&column, &column).sqrt()
}

fn determinant([x, y, z]: &Columns) -> f64 {
    let cross = [
        y[1] * z[2] - y[2] * z[1],
        y[2] * z[0] - y[0] * z[2],
        y[0] * z[1] - y[1] * z[0],
    ];
    dot(x, &cross)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn there_and_back(geometry: &Geometry) -> (Geometry, Geometry) {
        let forms = forms(geometry);
        let by_sform = super::geometry(geometry.shape, &forms, Path::new("a")).expect("valid");
        let only_qform = Forms {
            sform_code: 0,
            ..forms
        };
        let by_qform = super::geometry(geometry.shape, &only_qform, Path::new("a")).expect("valid");
        (by_sform, by_qform)
    }

    fn distance(a: &Geometry, b: &Geometry) -> f64 {
        match (a.world_from_volume, b.world_from_volume) {
            (Some(a), Some(b)) => a
                .iter()
                .flatten()
                .zip(b.iter().flatten())
                .map(|(a, b)| (a - b).abs())
                .fold(0.0, f64::max),
            _ => f64::INFINITY,
        }
    }

    proptest! {
        // Any rotation, spacing and handedness survives in both forms. The
        // bound: values below 100 in f32, eps 6e-8, a few roundings.
        #[test]
        fn both_forms_carry_a_rotation(
            angles in [0.0..6.3f64, 0.0..6.3, 0.0..6.3],
            spacing in [0.1..5.0f64, 0.1..5.0, 0.1..5.0],
            shift in [-90.0..90.0f64, -90.0..90.0, -90.0..90.0],
            mirrored: bool,
        ) {
            let turn = |m: [[f64; 3]; 3], i: usize, j: usize, angle: f64| {
                let (sin, cos) = angle.sin_cos();
                let mut out = m;
                for r in 0..3 {
                    out[r][i] = cos * m[r][i] - sin * m[r][j];
                    out[r][j] = sin * m[r][i] + cos * m[r][j];
                }
                out
            };
            let mut m = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
            m = turn(m, 0, 1, angles[0]);
            m = turn(m, 1, 2, angles[1]);
            m = turn(m, 0, 2, angles[2]);
            if mirrored {
                m.iter_mut().for_each(|row| row[1] = -row[1]);
            }
            let world = std::array::from_fn(|r| {
                [m[r][0] * spacing[0], m[r][1] * spacing[1], m[r][2] * spacing[2], shift[r]]
            });
            let geometry = Geometry {
                shape: [2, 3, 4],
                spacing_mm: Some(spacing),
                world_from_volume: Some(world),
                forms: None,
            };
            let (by_sform, by_qform) = there_and_back(&geometry);
            prop_assert!(distance(&geometry, &by_sform) < 1e-5);
            // Near half a turn the quaternion's real part is the root of a
            // small difference: sqrt(6e-8) * 5 mm.
            prop_assert!(distance(&geometry, &by_qform) < 3e-3);
        }
    }

    #[test]
    fn a_sheared_volume_has_no_qform() {
        let geometry = Geometry {
            shape: [2, 3, 4],
            spacing_mm: Some([1.0, 1.0, 1.0]),
            world_from_volume: Some([
                [0.0, 0.3, 1.0, 5.0],
                [0.0, 0.95, 0.0, 6.0],
                [1.0, 0.0, 0.0, 7.0],
            ]),
            forms: None,
        };
        let forms = forms(&geometry);
        assert_eq!((forms.sform_code, forms.qform_code), (1, 0));
    }

    #[test]
    fn a_volume_without_place_stays_so() {
        let geometry = Geometry::of_shape([2, 3, 4]);
        let forms = forms(&geometry);
        assert_eq!(
            super::geometry([2, 3, 4], &forms, Path::new("a")).expect("valid"),
            geometry
        );
    }

    #[test]
    fn micrometres_become_millimetres() {
        let forms = Forms {
            pixdim: [1.0, 0.1, 0.2, 5.0, 0.0, 0.0, 0.0, 0.0],
            units: 3,
            ..Forms::default()
        };
        let geometry = super::geometry([2, 3, 4], &forms, Path::new("a")).expect("valid");
        assert_eq!(geometry.spacing_mm, Some([0.005, 0.0002, 0.0001]));
    }
}
