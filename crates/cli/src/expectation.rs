//! What to expect of a filled volume, in the words of its user.
//!
//! Comes in: the [`Estimate`] of a fill. Leaves: a table, sentences, JSON.

use serde_json::{Value, json};
use unet3d_metrics::Scores;
use unet3d_metrics::interval::COVERAGE;
use unet3d_metrics::{Calibration, Reliability};
use unet3d_train::Estimate;

use crate::absent::{self, Judge};
use crate::command::evaluate::score;
use crate::console;

/// `0.871 (0.84 to 0.90)`.
pub(crate) fn mean_iou(expected: &Estimate) -> String {
    with_interval(expected.scores.mean_iou, expected.interval)
}

fn with_interval(value: Option<f64>, interval: Option<[f64; 2]>) -> String {
    let value = score(value);
    match interval {
        Some([low, high]) => format!("{value} ({low:.2} to {high:.2})"),
        None => value,
    }
}

/// The interval in a sentence.
pub(crate) fn interval(expected: &Estimate) -> String {
    match expected.interval {
        Some([low, high]) => format!(
            "The true mean IoU probably lies between {low:.2} and {high:.2} (of 100 such statements about {:.0} hold).",
            100.0 * COVERAGE
        ),
        None => "Too little was held out to say how far from that the truth may lie.".into(),
    }
}

/// Which classes nothing can be said of, in a sentence; `None` where there is none.
pub(crate) fn not_shown(expected: &Estimate) -> Option<String> {
    let names = expected.not_shown.iter();
    let names: Vec<&str> = names
        .map(|c| expected.scores.classes[*c].name.as_str())
        .collect();
    absent::not_scored(&names, Judge::Slices)
}

/// The same of scores of held-out slices.
pub(crate) fn not_shown_by(scores: &Scores) -> Option<String> {
    let names = scores.classes.iter().filter(|c| c.voxels == 0);
    let names: Vec<&str> = names.map(|c| c.name.as_str()).collect();
    absent::not_scored(&names, Judge::Slices)
}

/// Scores to expect, of each class and their mean, with their intervals.
pub(crate) fn table(expected: &Estimate) -> String {
    let row = |name: &str, iou: String, dice: Option<f64>, voxels: u64| {
        vec![name.to_owned(), iou, score(dice), console::count(voxels)]
    };
    let heading = ["class", "IoU (interval)", "Dice", "voxels"];
    let mut rows = vec![heading.map(String::from).to_vec()];
    let scores = &expected.scores;
    for (class, interval) in scores.classes.iter().zip(&expected.class_intervals) {
        let iou = with_interval(class.iou, *interval);
        rows.push(row(&class.name, iou, class.dice, class.voxels));
    }
    rows.push(row(
        "mean",
        mean_iou(expected),
        scores.mean_dice,
        scores.voxels,
    ));
    console::table(&rows, "<>>>")
}

/// How far the probabilities can be trusted, in a sentence or more.
pub(crate) fn trust(expected: &Estimate) -> String {
    trust_of(&expected.calibration, &expected.reliability_before)
}

/// What an error of the certainty is worth to whoever uses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Grade {
    /// Of voxels called 80 % certain, about 80 % are right.
    Usable,
    /// Enough to compare voxels with each other.
    Rough,
    /// No probability at all.
    Unusable,
}

impl Grade {
    /// Below 3 percentage points three held-out slices can hardly tell an error from
    /// none (fitted temperatures leave about 1 to 2); from 10 on, "80 %" stands for what
    /// may as well be 70 or 90 %, and decisions that rest on it go wrong.
    fn of(error: f64) -> Self {
        match error {
            e if e < 0.03 => Self::Usable,
            e if e < 0.1 => Self::Rough,
            _ => Self::Unusable,
        }
    }
}

fn trust_of(calibration: &Calibration, before: &Reliability) -> String {
    const COMPARE: &str = "Compare voxels by it, but do not count on its numbers.";
    const JUDGE_OTHERWISE: &str = "Judge the result by its IoU and its pictures instead; more annotated slices or longer \
                                   training may mend this.";
    if before.expected_error().is_none() {
        return "How far its certainty can be trusted was not measured: no voxel was held out."
            .into();
    }
    let points = |share: f64| format!("{:.1} percentage points on average", 100.0 * share);
    let off = points(calibration.ece_before);
    if calibration.temperature == 1.0 {
        let off = format!("{} by {off}", lean(before));
        let uncorrected = "and no correction was found that holds on other slices";
        return match Grade::of(calibration.ece_before) {
            Grade::Usable => format!(
                "Its certainty can be taken as it is: it is off by {}.",
                points(calibration.ece_before)
            ),
            Grade::Rough => format!(
                "Its certainty is only roughly right: it is {off}, {uncorrected}. {COMPARE}"
            ),
            Grade::Unusable => format!(
                "Its certainty must not be taken as a probability: it is {off}, {uncorrected}. {JUDGE_OTHERWISE}"
            ),
        };
    }
    let (certain, way) = match calibration.temperature > 1.0 {
        true => ("too certain", "softened"),
        false => ("not certain enough", "sharpened"),
    };
    let left = format!(
        "The network is {certain}, by {off}. Its probabilities are {way} (temperature {:.2}), which leaves {:.1}",
        calibration.temperature,
        100.0 * calibration.ece_after
    );
    match Grade::of(calibration.ece_after) {
        Grade::Usable => format!("{left}: its certainty can be taken as it is now."),
        Grade::Rough => format!("{left}: its certainty is only roughly right. {COMPARE}"),
        Grade::Unusable => {
            format!(
                "{left}: even so its certainty must not be taken as a probability. {JUDGE_OTHERWISE}"
            )
        }
    }
}

/// Whether certainty is above or below the share that is right; `off` where it is both,
/// here above and there below.
fn lean(reliability: &Reliability) -> &'static str {
    let bins = &reliability.bins;
    let gaps = || bins.iter().map(|b| b.certainty - b.right);
    let (net, gross) = (gaps().sum::<f64>(), gaps().map(f64::abs).sum::<f64>());
    // Half of all gaps on one side are not outweighed by the other.
    match net {
        n if n > 0.5 * gross => "too high",
        n if n < -0.5 * gross => "too low",
        _ => "off",
    }
}

/// Scores to expect of each class, as `--json` gives them.
pub(crate) fn classes(expected: &Estimate) -> Vec<Value> {
    let classes = expected.scores.classes.iter();
    classes
        .zip(&expected.class_intervals)
        .map(|(class, interval)| {
            let mut value = json!(class);
            value["interval"] = json!(interval);
            value
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of a network that is right in `right` of 100 voxels and says
    /// `certainty`, and is calibrated by `temperature` to an error of `after`.
    fn said(certainty: f64, right: u32, temperature: f64, after: f64) -> String {
        let mut before = Reliability::default();
        for i in 0..100 {
            before.add(certainty, i < right, 1.0);
        }
        let calibration = Calibration {
            temperature,
            ece_before: before.expected_error().unwrap_or_default(),
            ece_after: after,
            mirrored: false,
        };
        trust_of(&calibration, &before)
    }

    #[test]
    fn an_error_that_no_temperature_mends_is_said_by_its_size() {
        for (certainty, right, expected) in [
            (
                0.90,
                90,
                "can be taken as it is: it is off by 0.0 percentage points",
            ),
            (
                0.90,
                88,
                "can be taken as it is: it is off by 2.0 percentage points",
            ),
            (
                0.90,
                86,
                "only roughly right: it is too high by 4.0 percentage points",
            ),
            (
                0.90,
                81,
                "only roughly right: it is too high by 9.0 percentage points",
            ),
            (
                0.85,
                91,
                "only roughly right: it is too low by 6.0 percentage points",
            ),
            (
                0.90,
                79,
                "must not be taken as a probability: it is too high by 11.0",
            ),
            (
                0.99,
                44,
                "must not be taken as a probability: it is too high by 55.0",
            ),
            (
                0.51,
                90,
                "must not be taken as a probability: it is too low by 39.0",
            ),
        ] {
            let said = said(certainty, right, 1.0, 0.0);
            assert!(said.contains(expected), "{expected}: {said}");
            let is_usable = said.contains("can be taken as it is");
            assert_eq!(is_usable, expected.contains("can be taken"), "{said}");
            // Where it is no probability, what to go by instead.
            assert_eq!(
                said.contains("IoU"),
                expected.contains("must not"),
                "{said}"
            );
        }
    }

    #[test]
    fn what_a_temperature_leaves_is_said_by_its_size() {
        for (temperature, after, expected) in [
            (
                1.8,
                0.012,
                "leaves 1.2: its certainty can be taken as it is now.",
            ),
            (
                1.8,
                0.05,
                "leaves 5.0: its certainty is only roughly right.",
            ),
            (
                1.8,
                0.2,
                "leaves 20.0: even so its certainty must not be taken",
            ),
            (
                0.6,
                0.012,
                "leaves 1.2: its certainty can be taken as it is now.",
            ),
            (
                0.6,
                0.2,
                "leaves 20.0: even so its certainty must not be taken",
            ),
        ] {
            let (way, certain) = match temperature > 1.0 {
                true => ("softened", "too certain, by 45.0 percentage points"),
                false => ("sharpened", "not certain enough, by 45.0 percentage points"),
            };
            let said = said(0.95, 50, temperature, after);
            for part in [way, certain, expected] {
                assert!(said.contains(part), "{part}: {said}");
            }
        }
    }

    #[test]
    fn errors_to_both_sides_are_neither_too_high_nor_too_low() {
        let mut both = Reliability::default();
        for i in 0..100 {
            both.add(0.95, i < 80, 1.0);
            both.add(0.55, i < 70, 1.0);
        }
        assert_eq!(lean(&both), "off");
        assert_eq!(lean(&Reliability::default()), "off");
    }

    #[test]
    fn where_nothing_was_held_out_nothing_is_claimed() {
        let calibration = Calibration {
            temperature: 1.0,
            ece_before: 0.0,
            ece_after: 0.0,
            mirrored: false,
        };
        let said = trust_of(&calibration, &Reliability::default());
        assert!(
            said.contains("not measured") && !said.contains("can be taken"),
            "{said}"
        );
    }
}
