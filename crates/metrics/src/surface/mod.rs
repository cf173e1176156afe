//! How far the surface of a predicted structure is from that of the true one.
//!
//! In come the [`Labels`] of truth and prediction, a class, and [`SurfaceSettings`]:
//! spacing, tolerance, and what a surface is (programs differ, so each way has a name:
//! [`SurfaceVariant`]). Out come [`SurfaceScores`]. Formulae and variants with the
//! programs that they agree with: docs/metrics.md.
//!
//! ```text
//! labels > outlines of a class (outline) > distances (transform) > scores
//! ```

mod elements;
mod outline;
mod transform;

mod report;

use std::fmt;

use serde::{Deserialize, Serialize};
use unet3d_volume::Labels;

pub use report::{ClassSurface, LengthUnit, SurfaceCase, SurfaceReport, SurfaceSummary};

use crate::MismatchError;
use outline::Outlines;
use transform::squared_distances;

/// The share of the surface that the robust Hausdorff distance covers.
const ROBUST: f64 = 0.95;

/// Two numbers that differ by less than this share of them are the same: a distance of
/// three steps and a tolerance of three steps, each rounded.
const ROUNDING: f64 = 1e-12;

/// What counts as surface, and how the two directions make one 95th percentile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SurfaceVariant {
    /// Elements between the centres of eight voxels, weighted by their area, at the
    /// corners of voxels; HD95 is the greater of the two directions' percentiles. As
    /// DeepMind's `surface-distance`, whose surface Dice the Medical Segmentation
    /// Decathlon is scored with. The default: by area, surfaces count the same however
    /// thick the slices are.
    #[default]
    Elements,
    /// Border voxels, all of one weight; HD95 is the greater of the two directions'
    /// percentiles. As MONAI.
    Voxels,
    /// Border voxels, all of one weight; HD95 is the percentile of the distances of both
    /// directions together. As MedPy.
    VoxelsPooled,
}

impl SurfaceVariant {
    /// All of them, the default first.
    pub const ALL: [Self; 3] = [Self::Elements, Self::Voxels, Self::VoxelsPooled];

    /// Its name in files and flags.
    pub fn name(self) -> &'static str {
        match self {
            Self::Elements => "elements",
            Self::Voxels => "voxels",
            Self::VoxelsPooled => "voxels-pooled",
        }
    }
}

impl fmt::Display for SurfaceVariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What surfaces are measured with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SurfaceSettings {
    /// What a surface is.
    pub variant: SurfaceVariant,
    /// Distance of neighbouring voxels along `[z, y, x]`, each above 0. In mm, or 1 where
    /// it is not known; all distances are in its unit.
    pub spacing: [f64; 3],
    /// Surfaces up to this far apart count as the same in the surface Dice.
    pub tolerance: f64,
}

/// How far apart two surfaces are, in the unit of the spacing. Where one of the volumes
/// does not show the class, the distances are infinite and the surface Dice is 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SurfaceScores {
    /// Greatest distance from a surface to the other (Hausdorff distance).
    pub hausdorff: f64,
    /// 95th percentile of the distances, as the variant defines it.
    pub hausdorff95: f64,
    /// Mean distance over both surfaces (average symmetric surface distance).
    pub assd: f64,
    /// Mean distance from the surface of the truth to that of the prediction; `None`
    /// where the truth has no surface that counts.
    pub truth_to_prediction: Option<f64>,
    /// Mean distance from the surface of the prediction to that of the truth; `None`
    /// where the prediction has no surface that counts.
    pub prediction_to_truth: Option<f64>,
    /// Share of both surfaces that is within the tolerance of the other (normalised
    /// surface Dice).
    pub surface_dice: f64,
}

/// Compares the surfaces of class `class`. Surface at voxels annotated in `except`
/// does not count, but the distance to it does. `None` where no surface counts: the
/// class is in neither volume, or all of it is left out.
///
/// # Errors
/// Volumes of different shapes; a truth that is not annotated everywhere, because
/// nobody knows where its surfaces are.
///
/// # Panics
/// When `class` is not below [`Label::MAX_CLASSES`](unet3d_volume::Label::MAX_CLASSES).
pub fn compare_surfaces(
    class: usize,
    truth: &Labels,
    prediction: &Labels,
    except: Option<&Labels>,
    settings: &SurfaceSettings,
) -> Result<Option<SurfaceScores>, MismatchError> {
    MismatchError::check_shapes(truth, prediction, except)?;
    let unlabeled = truth.voxels.len() - truth.annotated_voxels();
    if unlabeled > 0 {
        return Err(MismatchError::PartlyAnnotated {
            unlabeled,
            voxels: truth.voxels.len(),
        });
    }
    let outlines = Outlines::of(class, [truth, prediction], except, settings);
    Ok(outlines.and_then(|outlines| {
        let directions =
            [[0, 1], [1, 0]].map(|[from, to]| Distances::new(&outlines, from, to, settings));
        scores(&directions, settings)
    }))
}

/// Distances from one surface to the other, ascending, each with how much surface it
/// stands for.
struct Distances(Vec<(f64, f64)>);

impl Distances {
    fn new(outlines: &Outlines, from: usize, to: usize, settings: &SurfaceSettings) -> Self {
        let Outlines {
            shape,
            codes,
            left_out,
            weights,
        } = outlines;
        let weight = |side: usize, i: usize| weights[usize::from(codes[side][i])];
        let squares = squared_distances(*shape, settings.spacing, |i| weight(to, i) > 0.0);
        let counts = |i: &usize| left_out.as_ref().is_none_or(|left_out| !left_out[*i]);
        let mut distances: Vec<(f64, f64)> = (0..squares.len())
            .filter(|&i| weight(from, i) > 0.0)
            .filter(counts)
            .map(|i| (squares[i].sqrt(), weight(from, i)))
            .collect();
        distances.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
        Self(distances)
    }

    fn weight(&self) -> f64 {
        self.0.iter().map(|(_, weight)| weight).sum()
    }

    fn weighted_sum(&self) -> f64 {
        self.0
            .iter()
            .map(|(distance, weight)| distance * weight)
            .sum()
    }

    /// How much of the surface is within `tolerance` of the other.
    fn weight_within(&self, tolerance: f64) -> f64 {
        let most = tolerance * (1.0 + ROUNDING);
        let within = self.0.iter().take_while(|(distance, _)| *distance <= most);
        within.map(|(_, weight)| weight).sum()
    }

    fn greatest(&self) -> Option<f64> {
        self.0.last().map(|(distance, _)| *distance)
    }

    /// The least distance within which at least `share` of the surface is.
    fn percentile_by_area(&self, share: f64) -> Option<f64> {
        let enough = self.weight() * share * (1.0 - ROUNDING);
        let mut sum = 0.0;
        let reached = self.0.iter().find(|(_, weight)| {
            sum += weight;
            sum >= enough
        });
        reached.map(|(distance, _)| *distance).or(self.greatest())
    }

    /// Percentile of distances of equal weight, linear between neighbours (as NumPy).
    fn percentile_by_count(&self, share: f64) -> Option<f64> {
        let at = share * (self.0.len().checked_sub(1)?) as f64;
        let [low, high] = [at.floor(), at.ceil()].map(|i| self.0[i as usize].0);
        // The difference of two infinite distances is no number.
        Some(if low == high {
            low
        } else {
            low + (high - low) * at.fract()
        })
    }
}

fn scores(directions: &[Distances; 2], settings: &SurfaceSettings) -> Option<SurfaceScores> {
    let weight: f64 = directions.iter().map(Distances::weight).sum();
    let greater = |of: &dyn Fn(&Distances) -> Option<f64>| {
        let [a, b] = [of(&directions[0]), of(&directions[1])];
        // `None` is less than any distance.
        if a > b { a } else { b }
    };
    let hausdorff95 = match settings.variant {
        SurfaceVariant::Elements => greater(&|d| d.percentile_by_area(ROBUST)),
        SurfaceVariant::Voxels => greater(&|d| d.percentile_by_count(ROBUST)),
        SurfaceVariant::VoxelsPooled => {
            let mut all = [&directions[0].0[..], &directions[1].0].concat();
            all.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
            Distances(all).percentile_by_count(ROBUST)
        }
    }?;
    let mean = |d: &Distances| (!d.0.is_empty()).then(|| d.weighted_sum() / d.weight());
    let within: f64 = directions
        .iter()
        .map(|d| d.weight_within(settings.tolerance))
        .sum();
    let sum: f64 = directions.iter().map(Distances::weighted_sum).sum();
    Some(SurfaceScores {
        hausdorff: greater(&Distances::greatest)?,
        hausdorff95,
        assd: sum / weight,
        truth_to_prediction: mean(&directions[0]),
        prediction_to_truth: mean(&directions[1]),
        surface_dice: within / weight,
    })
}

#[cfg(test)]
mod golden;
#[cfg(test)]
mod tests;
