//! `evaluate --surface`: flags into settings, labels into distances, distances into a
//! table.

use anyhow::{Context, bail};
use clap::Args;
use unet3d_metrics::{
    LengthUnit, SurfaceCase, SurfaceReport, SurfaceSettings, SurfaceSummary, SurfaceVariant,
    compare_surfaces,
};
use unet3d_volume::{Geometry, Labels};

use super::score;
use crate::console::{self, Console};
use crate::parse;
use crate::progress::Progress;

/// How far apart surfaces are.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Surfaces")]
pub(crate) struct SurfaceFlags {
    /// Measure distances between surfaces too: Hausdorff and its 95th percentile, average
    /// symmetric surface distance, surface Dice. VARIANT says what a surface is: elements
    /// (as surface-distance), voxels (as MONAI) or voxels-pooled (as MedPy)
    /// [default VARIANT: elements]
    #[arg(
        long,
        value_name = "VARIANT",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "elements",
        value_parser = parse::surface_variant
    )]
    surface: Option<SurfaceVariant>,

    /// Surfaces up to this far apart agree in the surface Dice [default: the longest edge
    /// of a voxel of TRUTH]
    #[arg(long, value_name = "X", requires = "surface", value_parser = parse::tolerance)]
    tolerance_mm: Option<f64>,

    /// Distance of neighbouring voxels in mm along z,y,x, where TRUTH does not hold it or
    /// holds a wrong one [default: what TRUTH holds, else voxels of edge 1]
    #[arg(long, value_name = "Z,Y,X", requires = "surface", value_parser = parse::spacing)]
    spacing: Option<[f64; 3]>,
}

impl SurfaceFlags {
    /// Begins to measure `files` pairs; `None` where nobody asked for it.
    pub(super) fn start(&self, files: usize, console: Console) -> Option<Surfaces<'_>> {
        Some(Surfaces {
            flags: self,
            variant: self.surface?,
            files,
            bar: Progress::new(console, "surfaces", "class"),
            unit: None,
            cases: Vec::new(),
        })
    }
}

/// The surfaces measured so far.
pub(super) struct Surfaces<'a> {
    flags: &'a SurfaceFlags,
    variant: SurfaceVariant,
    files: usize,
    bar: Progress,
    /// Unit of all cases, and the first of them.
    unit: Option<(LengthUnit, String)>,
    cases: Vec<SurfaceCase>,
}

impl Surfaces<'_> {
    /// Measures the surface of each class of a pair, which messages call `source`.
    pub(super) fn measure(
        &mut self,
        name: String,
        source: &str,
        [truth, prediction]: [&Labels; 2],
        except: Option<&Labels>,
    ) -> anyhow::Result<()> {
        let settings = self.settings(&truth.geometry, source)?;
        let classes = truth.classes.len();
        let mut scores = Vec::with_capacity(classes);
        for (c, class) in truth.classes.iter().enumerate() {
            let done = self.cases.len() * classes + c;
            let share = done as f64 / (self.files * classes) as f64;
            self.bar.update(share, done as u64, &class.name);
            let pair = compare_surfaces(c, truth, prediction, except, &settings);
            scores.push(pair.with_context(|| format!("{source}: --surface"))?);
        }
        self.cases
            .push(SurfaceCase::new(name, &settings, &truth.classes, &scores));
        Ok(())
    }

    /// What all pairs give.
    pub(super) fn finish(self) -> Option<SurfaceReport> {
        self.bar.finish();
        let (unit, _) = self.unit?;
        SurfaceReport::new(self.variant, unit, self.cases)
    }

    fn settings(&mut self, geometry: &Geometry, source: &str) -> anyhow::Result<SurfaceSettings> {
        if let Some(axis) = geometry.shape.iter().position(|&n| n == 1) {
            bail!(
                "{source}: has one voxel along {}, so all of a structure is its surface. --surface measures in three dimensions; leave it out.",
                parse::AXES[axis]
            );
        }
        let spacing = self.flags.spacing.or_else(|| geometry.spacing());
        let unit = match spacing {
            Some(_) => LengthUnit::Mm,
            None => LengthUnit::Voxels,
        };
        let (first_unit, first) = self.unit.get_or_insert((unit, source.to_owned()));
        if *first_unit != unit {
            let (with, without) = match unit {
                LengthUnit::Mm => (source, first.as_str()),
                LengthUnit::Voxels => (first.as_str(), source),
            };
            bail!(
                "{without}: holds no spacing, {with} does; distances in voxels and in mm have no mean. Give the spacing of all with --spacing z,y,x."
            );
        }
        let tolerance = match (self.flags.tolerance_mm, unit) {
            (Some(_), LengthUnit::Voxels) => bail!(
                "{source}: holds no spacing, so how many voxels --tolerance-mm is cannot be known. Give the spacing in mm with --spacing z,y,x, or leave --tolerance-mm out: one voxel."
            ),
            (Some(tolerance), LengthUnit::Mm) => tolerance,
            // What annotators can hardly agree on better than.
            (None, _) => spacing.unwrap_or([1.0; 3]).into_iter().fold(0.0, f64::max),
        };
        Ok(SurfaceSettings {
            variant: self.variant,
            spacing: spacing.unwrap_or([1.0; 3]),
            tolerance,
        })
    }
}

/// The distances of each class and their means as a table, with what they mean.
pub(super) fn table(report: &SurfaceReport) -> String {
    let unit = unit(report.unit);
    let spacing = match (report.unit, report.spacing) {
        (LengthUnit::Voxels, _) => "the truth holds no spacing, --spacing gives it".into(),
        (LengthUnit::Mm, Some([z, y, x])) => format!("spacing {z} x {y} x {x}"),
        (LengthUnit::Mm, None) => "each file with its own spacing".into(),
    };
    let tolerance = match report.tolerance {
        Some(tolerance) => format!("{} {unit}", length(tolerance)),
        None => "the longest edge of a voxel of each file".into(),
    };
    let mut rows = vec![
        ["class", "value", "surface Dice", "HD95", "ASSD", "HD"]
            .map(String::from)
            .to_vec(),
    ];
    let row = |name: &str, value: String, summary: &SurfaceSummary| {
        vec![
            name.to_owned(),
            value,
            score(summary.surface_dice),
            distance(summary, summary.hausdorff95),
            distance(summary, summary.assd),
            distance(summary, summary.hausdorff),
        ]
    };
    for class in &report.classes {
        rows.push(row(&class.name, class.value.to_string(), &class.summary));
    }
    rows.push(row("mean", String::new(), &report.mean));
    let mut text = format!(
        "Surfaces ({}), distances in {unit}; {spacing}; surface Dice within {tolerance}:\n{}",
        report.variant,
        console::table(&rows, "<>>>>>")
    );
    let SurfaceSummary {
        pairs, infinite, ..
    } = report.mean;
    if infinite > 0 {
        text.push_str(&format!(
            "\n{infinite} of {pairs} pairs of surfaces have only one: a class is in one of the two volumes alone. Their distances are infinite and in no mean, their surface Dice of 0 is."
        ));
    }
    text
}

/// A distance of `summary`, or what it means that there is none.
pub(super) fn distance(summary: &SurfaceSummary, distance: Option<f64>) -> String {
    match distance {
        Some(distance) => length(distance),
        None if summary.infinite > 0 => "infinite".into(),
        None => "absent".into(),
    }
}

fn unit(unit: LengthUnit) -> &'static str {
    match unit {
        LengthUnit::Mm => "mm",
        LengthUnit::Voxels => "voxels",
    }
}

/// A distance to four digits, however small: microscopes measure in millionths of a mm.
fn length(distance: f64) -> String {
    if distance == 0.0 {
        return "0".into();
    }
    let magnitude = distance.abs().log10().floor() as i32;
    format!("{distance:.*}", (3 - magnitude).clamp(0, 12) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_have_four_digits() {
        let of = [0.0, 1.0, 12.345_67, 0.000_012_344, 99_999.4];
        let texts = of.map(length);
        assert_eq!(texts, ["0", "1.000", "12.35", "0.00001234", "99999"]);
    }
}
