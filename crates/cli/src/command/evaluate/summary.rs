//! `evaluate --summary`: the scores as nnU-Net (version 2) writes them, in its
//! `summary.json`, so that scripts made for it read them.
//!
//! As there: keys in alphabetical order, four spaces, labels as text, label 0 left out
//! because it is background, counts of `mean` as fractions, and `NaN` (which is no JSON,
//! but what Python writes and reads) where a class is in neither volume. `mean` leaves
//! NaN out; `foreground_mean`, over labels, is NaN where one of them is.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::ser::PrettyFormatter;
use unet3d_metrics::Confusion;
use unet3d_volume::Class;

/// A whole file.
#[derive(Serialize)]
pub(super) struct Summary {
    foreground_mean: Metrics<f64>,
    mean: BTreeMap<String, Metrics<f64>>,
    metric_per_case: Vec<Case>,
}

#[derive(Serialize)]
struct Case {
    metrics: BTreeMap<String, Metrics<u64>>,
    prediction_file: String,
    reference_file: String,
}

/// The scores of one label: counts of one case, or means of counts.
#[derive(Clone, Copy, Serialize)]
struct Metrics<Count> {
    #[serde(rename = "Dice")]
    dice: f64,
    #[serde(rename = "FN")]
    missed: Count,
    #[serde(rename = "FP")]
    invented: Count,
    #[serde(rename = "IoU")]
    iou: f64,
    #[serde(rename = "TN")]
    right_elsewhere: Count,
    #[serde(rename = "TP")]
    right: Count,
    n_pred: Count,
    n_ref: Count,
}

/// One case: where its prediction and truth are, and what was counted.
pub(super) struct Counted<'a> {
    pub(super) prediction_file: String,
    pub(super) reference_file: String,
    pub(super) confusion: &'a Confusion,
}

impl Summary {
    /// The scores of cases over the same classes.
    pub(super) fn new(classes: &[Class], cases: &[Counted<'_>]) -> Self {
        let labels: Vec<(usize, String)> = classes
            .iter()
            .enumerate()
            .filter(|(_, class)| class.value != 0)
            .map(|(c, class)| (c, class.value.to_string()))
            .collect();
        let of_case = |case: &Counted<'_>| Case {
            metrics: labels
                .iter()
                .map(|(c, label)| (label.clone(), Metrics::count(case.confusion, *c)))
                .collect(),
            prediction_file: case.prediction_file.clone(),
            reference_file: case.reference_file.clone(),
        };
        let metric_per_case: Vec<Case> = cases.iter().map(of_case).collect();
        let mean: BTreeMap<String, Metrics<f64>> = labels
            .iter()
            .map(|(_, label)| {
                let of_label = metric_per_case.iter().map(|case| case.metrics[label]);
                let all: Vec<_> = of_label.map(Metrics::to_fractions).collect();
                (label.clone(), Metrics::mean(&all, |v| !v.is_nan()))
            })
            .collect();
        let over_labels: Vec<_> = mean.values().copied().collect();
        Self {
            foreground_mean: Metrics::mean(&over_labels, |_| true),
            mean,
            metric_per_case,
        }
    }

    /// The text of the file.
    ///
    /// # Errors
    /// None that this data could cause; what the serializer says.
    pub(super) fn to_text(&self) -> anyhow::Result<String> {
        let mut bytes = Vec::new();
        let format = PrettyFormatter::with_indent(b"    ");
        self.serialize(&mut serde_json::Serializer::with_formatter(
            &mut bytes, format,
        ))?;
        // The serializer writes null for a number that is none. No text ends a line
        // like this: it would end with its quotation mark.
        let text = String::from_utf8(bytes)?;
        Ok(text
            .replace(": null,\n", ": NaN,\n")
            .replace(": null\n", ": NaN\n"))
    }
}

impl Metrics<u64> {
    fn count(confusion: &Confusion, class: usize) -> Self {
        let right = confusion.count(class, class);
        let (n_ref, n_pred) = (
            confusion.truth_voxels(class),
            confusion.predicted_voxels(class),
        );
        Self {
            dice: confusion.dice(class).unwrap_or(f64::NAN),
            missed: n_ref - right,
            invented: n_pred - right,
            iou: confusion.iou(class).unwrap_or(f64::NAN),
            right_elsewhere: confusion.voxels() + right - n_ref - n_pred,
            right,
            n_pred,
            n_ref,
        }
    }

    fn to_fractions(self) -> Metrics<f64> {
        Metrics {
            dice: self.dice,
            missed: self.missed as f64,
            invented: self.invented as f64,
            iou: self.iou,
            right_elsewhere: self.right_elsewhere as f64,
            right: self.right as f64,
            n_pred: self.n_pred as f64,
            n_ref: self.n_ref as f64,
        }
    }
}

impl Metrics<f64> {
    /// Mean of each field over the values of which `counts`; NaN where none does.
    fn mean(all: &[Self], counts: fn(&f64) -> bool) -> Self {
        let of = |field: fn(&Self) -> f64| {
            let values: Vec<f64> = all.iter().map(field).filter(counts).collect();
            values.iter().sum::<f64>() / values.len() as f64
        };
        Self {
            dice: of(|m| m.dice),
            missed: of(|m| m.missed),
            invented: of(|m| m.invented),
            iou: of(|m| m.iou),
            right_elsewhere: of(|m| m.right_elsewhere),
            right: of(|m| m.right),
            n_pred: of(|m| m.n_pred),
            n_ref: of(|m| m.n_ref),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use unet3d_volume::Label;

    #[test]
    fn counts_means_and_nan_are_those_of_nnunet() {
        let classes = [0, 1, 2].map(|value| Class {
            value,
            name: value.to_string(),
        });
        let confusion = |truth: [usize; 6], prediction: [usize; 6]| {
            let labels = |of: [usize; 6]| of.map(Label::of_class);
            let mut confusion = Confusion::new(3);
            confusion.add(&labels(truth), &labels(prediction), None);
            confusion
        };
        let of = [
            confusion([0, 0, 1, 1, 1, 0], [0, 1, 1, 1, 0, 0]),
            confusion([0, 0, 0, 0, 0, 1], [0, 0, 0, 0, 1, 1]),
        ];
        let cases = of.each_ref().map(|confusion| Counted {
            prediction_file: "p: null".into(),
            reference_file: "r".into(),
            confusion,
        });
        let text = Summary::new(&classes, &cases).to_text().expect("text");
        // What Python writes for the same masks, by `json.dump` with sorted keys.
        let first_case = r#"            "metrics": {
                "1": {
                    "Dice": 0.6666666666666666,
                    "FN": 1,
                    "FP": 1,
                    "IoU": 0.5,
                    "TN": 2,
                    "TP": 2,
                    "n_pred": 3,
                    "n_ref": 3
                },
                "2": {
                    "Dice": NaN,
                    "FN": 0,
                    "FP": 0,
                    "IoU": NaN,
                    "TN": 6,
                    "TP": 0,
                    "n_pred": 0,
                    "n_ref": 0
                }
            },
            "prediction_file": "p: null",
            "reference_file": "r"
"#;
        assert!(text.contains(first_case), "{text}");
        let start = r#"{
    "foreground_mean": {
        "Dice": NaN,
        "FN": 0.25,
        "FP": 0.5,
        "IoU": NaN,
        "TN": 4.5,
        "TP": 0.75,
        "n_pred": 1.25,
        "n_ref": 1.0
    },
    "mean": {
        "1": {
            "Dice": 0.6666666666666666,
            "FN": 0.5,
"#;
        assert!(text.starts_with(start), "{text}");
    }
}
