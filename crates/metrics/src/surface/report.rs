//! The surface scores of one or several cases, gathered for `evaluate --json`.
//!
//! Means are as those of the overlap: of a class over the cases that show it, and of
//! these over the classes. An infinite distance (a class that only one of the two
//! volumes shows) enters no mean of distances, which it would make infinite, and no
//! JSON, which has no such number: it is counted in `infinite`. The surface Dice of such
//! a pair is 0 and does enter.

use serde::Serialize;
use unet3d_volume::Class;

use super::{SurfaceScores, SurfaceSettings, SurfaceVariant};
use crate::scores::mean;

/// What distances are measured in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LengthUnit {
    /// Millimetres.
    Mm,
    /// Voxels, whose edges all count 1: the spacing is not known.
    Voxels,
}

/// One pair of surfaces, or the means over several. `None` where there is nothing to
/// average.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct SurfaceSummary {
    /// Normalised surface Dice.
    pub surface_dice: Option<f64>,
    /// 95th percentile of the distances.
    pub hausdorff95: Option<f64>,
    /// Average symmetric surface distance.
    pub assd: Option<f64>,
    /// Hausdorff distance.
    pub hausdorff: Option<f64>,
    /// Mean distance from the surface of the truth to that of the prediction.
    pub truth_to_prediction: Option<f64>,
    /// Mean distance from the surface of the prediction to that of the truth.
    pub prediction_to_truth: Option<f64>,
    /// Pairs of surfaces, those of which only one exists among them.
    pub pairs: usize,
    /// Pairs of which only one surface exists: their distances are infinite, and left out
    /// of the means.
    pub infinite: usize,
}

/// The surface scores of one class.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassSurface {
    /// Value in label files.
    pub value: i64,
    /// Name for people.
    pub name: String,
    /// The scores.
    #[serde(flatten)]
    pub summary: SurfaceSummary,
}

/// The surface scores of one case.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SurfaceCase {
    /// Name of the case.
    pub name: String,
    /// Spacing `[z, y, x]` that it was measured with.
    pub spacing: [f64; 3],
    /// Tolerance of its surface Dice.
    pub tolerance: f64,
    /// Each class, in order of index.
    pub classes: Vec<ClassSurface>,
    /// Means over the classes.
    pub mean: SurfaceSummary,
}

/// The surface scores of one or several cases. `spacing` and `tolerance` are `None`
/// where cases differ in them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SurfaceReport {
    /// What a surface is.
    pub variant: SurfaceVariant,
    /// Unit of distances, spacings and tolerances.
    pub unit: LengthUnit,
    /// Spacing `[z, y, x]` of all cases.
    pub spacing: Option<[f64; 3]>,
    /// Tolerance of the surface Dice of all cases.
    pub tolerance: Option<f64>,
    /// Each class over all cases, in order of index.
    pub classes: Vec<ClassSurface>,
    /// Means over the classes.
    pub mean: SurfaceSummary,
    /// Each case; left out of JSON where there is only one.
    #[serde(skip_serializing_if = "is_single")]
    pub cases: Vec<SurfaceCase>,
}

fn is_single(cases: &[SurfaceCase]) -> bool {
    cases.len() < 2
}

impl SurfaceSummary {
    /// One pair of surfaces; `None` where the class is in neither volume.
    pub fn of(scores: Option<SurfaceScores>) -> Self {
        let Some(scores) = scores else {
            return Self::default();
        };
        let finite = |distance: f64| distance.is_finite().then_some(distance);
        Self {
            surface_dice: Some(scores.surface_dice),
            hausdorff95: finite(scores.hausdorff95),
            assd: finite(scores.assd),
            hausdorff: finite(scores.hausdorff),
            truth_to_prediction: scores.truth_to_prediction.and_then(finite),
            prediction_to_truth: scores.prediction_to_truth.and_then(finite),
            pairs: 1,
            infinite: usize::from(scores.hausdorff.is_infinite()),
        }
    }

    /// Means of what there is.
    fn mean<'a>(all: impl Iterator<Item = &'a Self> + Clone) -> Self {
        let of = |field: fn(&Self) -> Option<f64>| mean(all.clone().map(field));
        Self {
            surface_dice: of(|s| s.surface_dice),
            hausdorff95: of(|s| s.hausdorff95),
            assd: of(|s| s.assd),
            hausdorff: of(|s| s.hausdorff),
            truth_to_prediction: of(|s| s.truth_to_prediction),
            prediction_to_truth: of(|s| s.prediction_to_truth),
            pairs: all.clone().map(|s| s.pairs).sum(),
            infinite: all.map(|s| s.infinite).sum(),
        }
    }
}

impl SurfaceCase {
    /// A case of which each class was measured.
    ///
    /// # Panics
    /// When there are not as many scores as classes.
    pub fn new(
        name: String,
        settings: &SurfaceSettings,
        classes: &[Class],
        scores: &[Option<SurfaceScores>],
    ) -> Self {
        assert_eq!(classes.len(), scores.len(), "one score per class");
        let classes: Vec<ClassSurface> = classes
            .iter()
            .zip(scores)
            .map(|(class, scores)| ClassSurface {
                value: class.value,
                name: class.name.clone(),
                summary: SurfaceSummary::of(*scores),
            })
            .collect();
        Self {
            name,
            spacing: settings.spacing,
            tolerance: settings.tolerance,
            mean: SurfaceSummary::mean(classes.iter().map(|c| &c.summary)),
            classes,
        }
    }
}

impl SurfaceReport {
    /// Gathers cases over the same classes; `None` where there is no case.
    pub fn new(variant: SurfaceVariant, unit: LengthUnit, cases: Vec<SurfaceCase>) -> Option<Self> {
        let first = cases.first()?;
        let classes: Vec<ClassSurface> = first
            .classes
            .iter()
            .enumerate()
            .map(|(c, class)| ClassSurface {
                summary: SurfaceSummary::mean(cases.iter().map(|k| &k.classes[c].summary)),
                ..class.clone()
            })
            .collect();
        let same_spacing = cases.iter().all(|k| k.spacing == first.spacing);
        let same_tolerance = cases.iter().all(|k| k.tolerance == first.tolerance);
        Some(Self {
            variant,
            unit,
            spacing: same_spacing.then_some(first.spacing),
            tolerance: same_tolerance.then_some(first.tolerance),
            mean: SurfaceSummary::mean(classes.iter().map(|c| &c.summary)),
            classes,
            cases,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(name: &str, scores: [Option<SurfaceScores>; 2]) -> SurfaceCase {
        let settings = SurfaceSettings {
            variant: SurfaceVariant::Elements,
            spacing: [1.0; 3],
            tolerance: 2.0,
        };
        let classes = [(0, "outside"), (1, "cell")].map(|(value, name)| Class {
            value,
            name: name.into(),
        });
        SurfaceCase::new(name.into(), &settings, &classes, &scores)
    }

    fn of_distance(distance: f64, surface_dice: f64) -> Option<SurfaceScores> {
        Some(SurfaceScores {
            hausdorff: distance,
            hausdorff95: distance,
            assd: distance,
            truth_to_prediction: Some(distance),
            prediction_to_truth: Some(distance).filter(|d| d.is_finite()),
            surface_dice,
        })
    }

    #[test]
    fn infinite_distances_are_counted_not_averaged_and_their_dice_is() {
        let cases = vec![
            case("a", [of_distance(1.0, 0.5), None]),
            case(
                "b",
                [of_distance(f64::INFINITY, 0.0), of_distance(4.0, 1.0)],
            ),
        ];
        let report = SurfaceReport::new(SurfaceVariant::Elements, LengthUnit::Mm, cases).unwrap();
        let first = &report.classes[0].summary;
        assert_eq!((first.assd, first.surface_dice), (Some(1.0), Some(0.25)));
        assert_eq!((first.pairs, first.infinite), (2, 1));
        assert_eq!(report.classes[1].summary.assd, Some(4.0));
        assert_eq!(report.mean.assd, Some(2.5));
        assert_eq!(report.mean.surface_dice, Some(0.625));
        assert_eq!(report.tolerance, Some(2.0));

        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["unit"], "mm");
        assert_eq!(json["variant"], "elements");
        assert_eq!(json["classes"][0]["name"], "outside");
        assert_eq!(json["classes"][0]["infinite"], 1);
        assert!(json["cases"][1]["classes"][0]["hausdorff95"].is_null());
    }
}
