//! What may be done to a patch, and how much of it.
//!
//! The paper names rotation, scaling, gray-value augmentation and a smooth
//! elastic deformation, and gives numbers for the last alone. Each field says
//! where its default comes from: *paper*, *Caffe* (the authors' published
//! layers and their network definitions), or *ours*.

use serde::{Deserialize, Serialize};

/// The changes that a patch goes through. The default is the paper's, with the
/// authors' published settings or modest choices of ours where it is silent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AugmentConfig {
    /// The smooth deformation (paper).
    pub elastic: Elastic,
    /// Rotation about z, y, x: smallest and largest angle in degrees, each
    /// drawn uniformly. In space, not in voxels: where voxels are longer along
    /// one axis the rotation accounts for it. Default -5 to 5 about each axis
    /// (Caffe; the paper gives no angle).
    pub rotation_degrees: [[f64; 2]; 3],
    /// Smallest and largest factor by which structures grow, drawn uniformly
    /// in its logarithm, one for all axes. Default 0.9 to 1.1 (ours: the paper
    /// names scaling, its published layers have none).
    pub scaling: [f64; 2],
    /// Axes z, y, x along which every second patch is mirrored. Default none
    /// (the paper names no mirroring; Caffe has a flag without effect). Useful
    /// where left and right do not matter, wrong where a class is one side.
    pub mirror: [bool; 3],
    /// The change of gray values (the paper names it; the form is Caffe's).
    pub gray: Gray,
    /// What stands outside the volume. Default `Mirror` (Caffe's default, and
    /// what prediction does).
    pub border: Border,
}

/// A smooth deformation: cubic B-splines over a grid of random vectors.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Elastic {
    /// Whether patches are deformed so. Default yes (paper).
    pub enabled: bool,
    /// Distance of the grid points along z, y, x in voxels. Default 32 (paper).
    pub spacing_voxels: [usize; 3],
    /// Standard deviation of the vectors' components along z, y, x in voxels.
    /// Default 4 (paper). They are spline coefficients, not displacements that
    /// the spline passes through (Caffe), so a component of the displacement
    /// has a root mean square of a third of this, 1.33 voxels.
    pub std_voxels: [f64; 3],
}

/// A random monotone curve of gray values, one for each channel and patch.
///
/// The curve runs over 0..1, where 0 and 1 stand for the 1st and the 99th
/// percentile of the channel in this patch; it is linear outside. (Caffe takes
/// images in 0..1 and clips. Inputs here are normalised in many ways, so the
/// range comes from the patch, and percentiles keep a few extreme voxels from
/// setting it.)
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Gray {
    /// Whether gray values are changed. Default yes (paper).
    pub enabled: bool,
    /// Smallest and largest value that 0 becomes. Default -0.05 to 0.05 (Caffe).
    pub black: [f64; 2],
    /// Smallest and largest value that 1 becomes. Default 0.95 to 1.05 (Caffe).
    pub white: [f64; 2],
    /// Smallest and largest slope of the curve between its points. Default 0.8
    /// to 1.2 (Caffe).
    pub slope: [f64; 2],
    /// How often a random point is put between each two points of the curve,
    /// which begins as a line: n times makes 2^n + 1 points. Default 2 (Caffe).
    pub insertions: u32,
}

/// What stands outside the volume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Border {
    /// The volume mirrored at its outermost voxels, which are not repeated.
    /// Labels are mirrored with the image, and count: a mirrored structure is
    /// as true an example as one that mirroring as augmentation makes.
    #[default]
    Mirror,
    /// The value 0, for an image normalised to mean 0 its mean; labels outside
    /// are unlabeled, so they have weight 0.
    Zero,
}

/// A setting that makes no sense.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("augmentation: {field} {found}, {rule}")]
pub struct AugmentError {
    /// Name of the field.
    pub field: &'static str,
    /// Value found.
    pub found: String,
    /// What it must be.
    pub rule: &'static str,
}

impl Default for AugmentConfig {
    fn default() -> Self {
        Self {
            elastic: Elastic::default(),
            rotation_degrees: [[-5.0, 5.0]; 3],
            scaling: [0.9, 1.1],
            mirror: [false; 3],
            gray: Gray::default(),
            border: Border::default(),
        }
    }
}

impl Default for Elastic {
    fn default() -> Self {
        Self {
            enabled: true,
            spacing_voxels: [32; 3],
            std_voxels: [4.0; 3],
        }
    }
}

impl Default for Gray {
    fn default() -> Self {
        Self {
            enabled: true,
            black: [-0.05, 0.05],
            white: [0.95, 1.05],
            slope: [0.8, 1.2],
            insertions: 2,
        }
    }
}

impl AugmentConfig {
    /// No change: patches are the voxels of the volume.
    pub fn none() -> Self {
        Self {
            elastic: Elastic {
                enabled: false,
                ..Elastic::default()
            },
            rotation_degrees: [[0.0; 2]; 3],
            scaling: [1.0; 2],
            mirror: [false; 3],
            gray: Gray {
                enabled: false,
                ..Gray::default()
            },
            border: Border::default(),
        }
    }

    /// Only what turns a patch into another equally plausible one at no risk of
    /// blurring: mirroring along every axis and the gray-value curve (ours, for
    /// data without up or down and short training).
    pub fn light() -> Self {
        Self {
            mirror: [true; 3],
            gray: Gray::default(),
            ..Self::none()
        }
    }

    /// The same without anything that mixes slices: no rotation but about z, no
    /// displacement along z. For networks that see one slice at a time and for
    /// volumes whose slices are far apart.
    pub fn in_plane(mut self) -> Self {
        self.rotation_degrees[1] = [0.0; 2];
        self.rotation_degrees[2] = [0.0; 2];
        self.elastic.std_voxels[0] = 0.0;
        self
    }

    /// Refuses settings that make no sense.
    ///
    /// # Errors
    /// Names the first field whose value breaks its rule.
    pub fn check(&self) -> Result<(), AugmentError> {
        // Beyond these a patch shows nothing of its surroundings; they also
        // keep positions within what the warping kernel can address.
        const MOST_VOXELS: f64 = 1000.0;
        const MOST_SCALING: f64 = 100.0;
        const MOST_INSERTIONS: u32 = 6; // 65 points for 256 table entries
        // Far beyond any patch; the warping kernel keeps a table as long.
        const MOST_SPACING: usize = 10_000;
        let rule = "each must be from 1 to 10000";
        let spacing = self.elastic.spacing_voxels;
        ensure(
            spacing.iter().all(|n| (1..=MOST_SPACING).contains(n)),
            "elastic.spacing_voxels",
            spacing,
            rule,
        )?;
        let rule = "each must be from 0 to 1000";
        let std = self.elastic.std_voxels;
        let fine = |std: &f64| (0.0..=MOST_VOXELS).contains(std);
        ensure(std.iter().all(fine), "elastic.std_voxels", std, rule)?;
        for range in self.rotation_degrees {
            let rule = "must be a smallest and a largest angle from -360 to 360";
            ensure(
                ordered(range, -360.0, 360.0),
                "rotation_degrees",
                range,
                rule,
            )?;
        }
        let rule = "must be a smallest and a largest factor from 0.01 to 100";
        let fine = ordered(self.scaling, 1.0 / MOST_SCALING, MOST_SCALING);
        ensure(fine, "scaling", self.scaling, rule)?;
        let gray = &self.gray;
        let rule = "must be a smallest and a largest value from -1 to 2";
        ensure(
            ordered(gray.black, -1.0, 2.0),
            "gray.black",
            gray.black,
            rule,
        )?;
        ensure(
            ordered(gray.white, -1.0, 2.0),
            "gray.white",
            gray.white,
            rule,
        )?;
        let rule = "must be below the smallest white, or the curve would fall";
        ensure(
            gray.black[1] < gray.white[0],
            "gray.black",
            gray.black,
            rule,
        )?;
        let rule = "must be a smallest and a largest slope from 0 to 100";
        ensure(
            ordered(gray.slope, 0.0, 100.0),
            "gray.slope",
            gray.slope,
            rule,
        )?;
        let rule = "must be at most 6";
        let fine = gray.insertions <= MOST_INSERTIONS;
        ensure(fine, "gray.insertions", gray.insertions, rule)?;
        Ok(())
    }
}

fn ordered([low, high]: [f64; 2], least: f64, most: f64) -> bool {
    least <= low && low <= high && high <= most
}

fn ensure(
    fine: bool,
    field: &'static str,
    found: impl std::fmt::Debug,
    rule: &'static str,
) -> Result<(), AugmentError> {
    if fine {
        return Ok(());
    }
    let found = format!("is {found:?}");
    Err(AugmentError { field, found, rule })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_are_valid_and_survive_a_file() {
        let presets = [
            AugmentConfig::default(),
            AugmentConfig::none(),
            AugmentConfig::light(),
            AugmentConfig::default().in_plane(),
        ];
        for preset in presets {
            preset.check().unwrap();
            let text = serde_json::to_string(&preset).unwrap();
            let back: AugmentConfig = serde_json::from_str(&text).unwrap();
            assert_eq!(back, preset, "{text}");
        }
    }

    #[test]
    fn what_a_file_leaves_out_is_the_default() {
        let config: AugmentConfig = toml::from_str("mirror = [true, false, true]").unwrap();
        let expected = AugmentConfig {
            mirror: [true, false, true],
            ..AugmentConfig::default()
        };
        assert_eq!(config, expected);
        assert!(toml::from_str::<AugmentConfig>("mirrored = true").is_err());
    }

    #[test]
    fn senseless_settings_are_named() {
        type Spoil = fn(&mut AugmentConfig);
        let cases: [(&str, Spoil); 9] = [
            ("elastic.spacing_voxels", |c| {
                c.elastic.spacing_voxels[1] = 0;
            }),
            ("elastic.spacing_voxels", |c| {
                c.elastic.spacing_voxels[2] = 1 << 31;
            }),
            ("elastic.std_voxels", |c| {
                c.elastic.std_voxels[2] = f64::NAN;
            }),
            ("rotation_degrees", |c| c.rotation_degrees[0] = [5.0, -5.0]),
            ("scaling", |c| c.scaling = [0.0, 1.0]),
            ("gray.black", |c| c.gray.black = [0.0, 0.96]),
            ("gray.white", |c| c.gray.white = [1.0, f64::INFINITY]),
            ("gray.slope", |c| c.gray.slope = [-1.0, 1.0]),
            ("gray.insertions", |c| c.gray.insertions = 7),
        ];
        for (field, spoil) in cases {
            let mut config = AugmentConfig::default();
            spoil(&mut config);
            assert_eq!(config.check().unwrap_err().field, field);
        }
    }
}
