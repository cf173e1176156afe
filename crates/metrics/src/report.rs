//! The scores of several cases, and all of it as a table for people.

use std::fmt;

use serde::Serialize;
use unet3d_volume::Class;
use unet3d_volume::words::counted;

use crate::scores::mean;
use crate::{Confusion, Scores};

/// Scores of one case of several.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CaseScores {
    /// Name of the case.
    pub name: String,
    /// Its scores.
    #[serde(flatten)]
    pub scores: Scores,
}

/// Scores of one or several cases. `serde_json` writes it as `evaluate --json`
/// prints it; scores that do not exist are `null`.
///
/// Over several cases the IoU and Dice of a class are the means over the cases
/// that show it (in truth or prediction), as medical challenges count, and
/// `mean_iou` and `mean_dice` are the means of these over the classes. Voxels,
/// `confusion` and `unpredicted` are sums, and `pooled_mean_iou` and
/// `pooled_mean_dice` are what these sums give, as if all cases were one volume.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Over all cases.
    #[serde(flatten)]
    pub overall: Scores,
    /// Mean IoU of all voxels pooled.
    pub pooled_mean_iou: Option<f64>,
    /// Mean Dice of all voxels pooled.
    pub pooled_mean_dice: Option<f64>,
    /// Each case; left out of JSON where there is only one.
    #[serde(skip_serializing_if = "is_single")]
    pub cases: Vec<CaseScores>,
}

fn is_single(cases: &[CaseScores]) -> bool {
    cases.len() < 2
}

impl Report {
    /// Gathers cases: their names and counts, all over the same `classes`.
    ///
    /// # Panics
    /// When a case was counted over another number of classes.
    pub fn new(classes: &[Class], cases: &[(String, Confusion)]) -> Self {
        Self::gather(classes, cases, &vec![true; classes.len()])
    }

    /// The same of data held out, whose scores are a promise or choose a model: over
    /// all cases, a class that no truth shows has no IoU and no Dice, and is in no
    /// mean. It could only count as 0, by a single voxel that is predicted as it.
    ///
    /// # Panics
    /// As [`new`](Self::new).
    pub fn of_held_out(classes: &[Class], cases: &[(String, Confusion)]) -> Self {
        let voxels = |c| cases.iter().map(|(_, n)| n.truth_voxels(c)).sum::<u64>();
        let shown: Vec<bool> = (0..classes.len()).map(|c| voxels(c) > 0).collect();
        Self::gather(classes, cases, &shown)
    }

    /// Gathers cases; of classes that are not `scored` there is no score over all.
    fn gather(classes: &[Class], cases: &[(String, Confusion)], scored: &[bool]) -> Self {
        let mut sum = Confusion::new(classes.len());
        cases.iter().for_each(|(_, c)| sum.merge(c));
        let pooled = Scores::new(&sum, classes).only(scored);
        let cases: Vec<CaseScores> = cases
            .iter()
            .map(|(name, confusion)| CaseScores {
                name: name.clone(),
                scores: Scores::new(confusion, classes),
            })
            .collect();
        let mut overall = pooled.clone();
        for (c, class) in overall.classes.iter_mut().enumerate() {
            class.iou = mean(cases.iter().map(|k| k.scores.classes[c].iou));
            class.dice = mean(cases.iter().map(|k| k.scores.classes[c].dice));
        }
        Self {
            overall: overall.only(scored),
            pooled_mean_iou: pooled.mean_iou,
            pooled_mean_dice: pooled.mean_dice,
            cases,
        }
    }
}

impl fmt::Display for Scores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.classes.iter().map(|c| c.name.chars().count());
        let width = names.max().unwrap_or(0).max("class".len());
        writeln!(
            f,
            "{:>6}  {:<width$}  {:>7}  {:>7}  {:>14}",
            "value", "class", "IoU", "Dice", "voxels"
        )?;
        for c in &self.classes {
            writeln!(
                f,
                "{:>6}  {:<width$}  {:>7}  {:>7}  {:>14}",
                c.value,
                c.name,
                score(c.iou),
                score(c.dice),
                c.voxels
            )?;
        }
        write!(
            f,
            "{:>6}  {:<width$}  {:>7}  {:>7}  {:>14}",
            "",
            "mean",
            score(self.mean_iou),
            score(self.mean_dice),
            self.voxels
        )?;
        if self.classes_averaged < self.classes.len() {
            write!(
                f,
                "\nThe mean is over the {} of {} classes that occur in truth or prediction.",
                self.classes_averaged,
                self.classes.len()
            )?;
        }
        let unpredicted: u64 = self.unpredicted.iter().sum();
        if unpredicted > 0 {
            write!(
                f,
                "\nUnlabeled in the prediction, counted as missed: {}.",
                counted(unpredicted, "voxel")
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.overall)?;
        if !is_single(&self.cases) {
            write!(
                f,
                "\nScores are means over {}, of each class over those that show it; all voxels pooled: mean IoU {}, mean Dice {}.",
                counted(self.cases.len(), "case"),
                score(self.pooled_mean_iou),
                score(self.pooled_mean_dice)
            )?;
        }
        Ok(())
    }
}

fn score(value: Option<f64>) -> String {
    value.map_or_else(|| "absent".into(), |v| format!("{v:.4}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use unet3d_volume::Label;

    fn classes() -> Vec<Class> {
        [(0, "background"), (1, "cell"), (4, "nucleus")]
            .map(|(value, name)| Class {
                value,
                name: name.into(),
            })
            .to_vec()
    }

    fn confusion(truth: &[usize], prediction: &[usize]) -> Confusion {
        let labels = |v: &[usize]| v.iter().map(|&c| Label::of_class(c)).collect::<Vec<_>>();
        let mut c = Confusion::new(3);
        c.add(&labels(truth), &labels(prediction), None);
        c
    }

    #[test]
    fn one_case_is_itself_and_absent_classes_are_said() {
        let report = Report::new(
            &classes(),
            &[("a".into(), confusion(&[0, 0, 1, 1], &[0, 1, 1, 1]))],
        );
        let scores = &report.overall;
        assert_eq!(scores.classes[0].iou, Some(0.5));
        assert_eq!(scores.classes[1].iou, Some(2.0 / 3.0));
        assert_eq!(scores.classes[2].iou, None);
        assert!((scores.mean_iou.unwrap() - 7.0 / 12.0).abs() < 1e-12);
        assert_eq!(*scores, report.cases[0].scores);
        assert_eq!(report.pooled_mean_iou, scores.mean_iou);
        let text = report.to_string();
        assert!(
            text.contains("nucleus") && text.contains("absent"),
            "{text}"
        );
        assert!(text.contains("over the 2 of 3 classes"), "{text}");
    }

    #[test]
    fn several_cases_are_averaged_over_those_that_show_the_class() {
        let report = Report::new(
            &classes(),
            &[
                ("a".into(), confusion(&[0, 0, 1, 1], &[0, 1, 1, 1])),
                ("b".into(), confusion(&[0, 2], &[0, 2])),
            ],
        );
        let iou: Vec<_> = report.overall.classes.iter().map(|c| c.iou).collect();
        assert_eq!(iou, [Some(0.75), Some(2.0 / 3.0), Some(1.0)]);
        // Pooled: background 2/3, cell 2/3, nucleus 1.
        assert!((report.pooled_mean_iou.unwrap() - 7.0 / 9.0).abs() < 1e-12);
        assert_eq!(report.overall.voxels, 6);
        assert_eq!(report.overall.confusion, [[2, 1, 0], [0, 2, 0], [0, 0, 1]]);
    }

    #[test]
    fn json_has_the_fields_that_scripts_rely_on() {
        let one = ("a".to_string(), confusion(&[0, 0, 1, 1], &[0, 0, 1, 1]));
        let json =
            serde_json::to_value(Report::new(&classes(), std::slice::from_ref(&one))).unwrap();
        assert_eq!(json["mean_iou"], 1.0);
        assert_eq!(json["mean_dice"], 1.0);
        assert_eq!(json["classes"][1]["value"], 1);
        assert_eq!(json["classes"][1]["name"], "cell");
        assert_eq!(json["classes"][1]["voxels"], 2);
        assert!(json["classes"][2]["iou"].is_null() && json["classes"][2]["dice"].is_null());
        assert_eq!(json["confusion"][0][0], 2);
        assert!(json.get("cases").is_none());

        let two = [one.clone(), ("b".to_string(), one.1)];
        let json = serde_json::to_value(Report::new(&classes(), &two)).unwrap();
        assert_eq!(json["cases"][1]["name"], "b");
        assert_eq!(json["cases"][1]["mean_iou"], 1.0);
    }

    #[test]
    fn a_class_that_no_truth_shows_is_in_no_mean() {
        // The nucleus is in neither truth, but predicted in one voxel of `a`.
        let cases = [
            ("a".to_string(), confusion(&[0, 0, 1, 1], &[0, 2, 1, 1])),
            ("b".to_string(), confusion(&[0, 1], &[0, 1])),
        ];
        let all = Report::new(&classes(), &cases);
        assert_eq!(all.overall.classes[2].iou, Some(0.0));
        let shown = Report::of_held_out(&classes(), &cases);
        assert_eq!(shown.overall.classes[2].iou, None);
        assert_eq!(shown.overall.classes[0], all.overall.classes[0]);
        assert_eq!(shown.overall.classes_averaged, 2);
        // Background 1/2 and 1, cell 1 and 1; pooled 2/3 and 1.
        assert_eq!(shown.overall.mean_iou, Some(0.875));
        assert!((shown.pooled_mean_iou.unwrap() - 5.0 / 6.0).abs() < 1e-12);
        assert_eq!(shown.cases, all.cases);
        // A class that one case shows counts, also in the case that does not.
        let one = [cases[0].clone(), ("b".into(), confusion(&[0, 2], &[0, 2]))];
        let held_out = Report::of_held_out(&classes(), &one);
        assert_eq!(held_out, Report::new(&classes(), &one));
        assert_eq!(held_out.overall.classes[2].iou, Some(0.5));
    }

    #[test]
    fn nothing_counted_has_no_score() {
        let report = Report::new(&classes(), &[("a".into(), Confusion::new(3))]);
        assert_eq!(report.overall.mean_iou, None);
        assert_eq!(report.overall.voxels, 0);
    }
}
