//! Spacing and orientation of NIfTI: sform, qform and `pixdim` to a
//! [`Geometry`], and back.
//!
//! The sform wins over the qform, as everywhere. Spacing is `pixdim`. Both are
//! brought from the file's unit to mm. Writing gives the affine as sform and,
//! where it is a rotation times the spacing, as qform too, so that every
//! reader finds the form it prefers.

use std::path::Path;

use crate::{Error, Geometry};

/// Axes count as perpendicular when the cosine between them is below this:
/// the forms are stored in f32 and often went through a few products.
const PERPENDICULAR: f64 = 1e-4;
/// Spacing and column lengths of the affine count as equal within this share.
const SAME_SPACING: f64 = 1e-4;
/// "Scanner coordinates": the code that viewers take for plain world space.
const SCANNER: i16 = 1;
/// `xyzt_units` of millimetres.
const MILLIMETRES: u8 = 2;

/// The fields of the header that say where the voxels are.
#[derive(Clone, Debug, Default)]
pub(super) struct Forms {
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

/// Columns x, y, z of a 3x3 matrix, each with rows x, y, z.
type Columns = [[f64; 3]; 3];

pub(super) fn geometry(shape: [usize; 3], forms: &Forms, path: &Path) -> Result<Geometry, Error> {
    let mm = match forms.units & 7 {
        1 => 1000.0,
        // Files that state no unit mean mm: it is the default of the field.
        0 | 2 => 1.0,
        3 => 0.001,
        code => {
            return Err(Error::field(
                path,
                "header field xyzt_units",
                code,
                "must be 0 (unknown), 1 (m), 2 (mm) or 3 (um) for space",
                "The file may be damaged.",
            ));
        }
    };
    let spacing: [f64; 3] = std::array::from_fn(|i| decimal(forms.pixdim[i + 1]).abs() * mm);

    let sform = (forms.sform_code > 0).then(|| Affine {
        columns: std::array::from_fn(|c| std::array::from_fn(|r| f64::from(forms.srow[r][c]) * mm)),
        translation: std::array::from_fn(|r| f64::from(forms.srow[r][3]) * mm),
    });
    let qform = (forms.qform_code > 0).then(|| qform(forms, mm));
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
        world_from_volume: affine.map(|a| {
            let [x, y, z] = a.columns;
            std::array::from_fn(|r| [z[r], y[r], x[r], a.translation[r]])
        }),
    })
}

pub(super) fn forms(geometry: &Geometry) -> Forms {
    let mut forms = Forms {
        pixdim: [1.0; 8],
        ..Forms::default()
    };
    let columns = geometry
        .world_from_volume
        .map(|m| [2, 1, 0].map(|c| std::array::from_fn(|r| m[r][c])));
    let spacing = geometry
        .spacing_mm
        .map(|[z, y, x]| [x, y, z])
        .or_else(|| columns.map(|c: Columns| c.map(length)));
    if let Some(spacing) = spacing {
        forms.units = MILLIMETRES;
        for i in 0..3 {
            forms.pixdim[i + 1] = spacing[i] as f32;
        }
    }
    if let (Some(world), Some(columns), Some(spacing)) =
        (geometry.world_from_volume, columns, spacing)
    {
        forms.sform_code = SCANNER;
        for r in 0..3 {
            forms.offset[r] = world[r][3] as f32;
            forms.srow[r] = [world[r][2], world[r][1], world[r][0], world[r][3]].map(|v| v as f32);
        }
        if let Some((quaternion, handedness)) = rotation(&columns, &spacing) {
            forms.qform_code = SCANNER;
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
