//! What to expect of a filled volume, in the words of its user.
//!
//! Comes in: the [`Estimate`] of a fill. Leaves: a table, sentences, JSON.

use serde_json::{Value, json};
use unet3d_metrics::interval::COVERAGE;
use unet3d_train::Estimate;

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
    let (last, others) = names.split_last()?;
    let named = match others {
        [] => (*last).to_owned(),
        _ => format!("{} or {last}", others.join(", ")),
    };
    Some(format!(
        "The held-out slices do not show {named}: how good that is cannot be said, \
         and the mean is of the other classes. Annotate further slices that show it."
    ))
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

/// How far the probabilities can be trusted, in a sentence or two.
pub(crate) fn trust(expected: &Estimate) -> String {
    let calibration = expected.calibration;
    let error = |share: f64| format!("{:.1}", 100.0 * share);
    let before = error(calibration.ece_before);
    if calibration.temperature == 1.0 {
        return format!(
            "Its certainty can be taken as it is: it is off by {before} percentage points on average."
        );
    }
    let (certain, way) = match calibration.temperature > 1.0 {
        true => ("too certain", "softened"),
        false => ("not certain enough", "sharpened"),
    };
    format!(
        "The network is {certain}, by {before} percentage points on average. Its probabilities are {way} \
         (temperature {:.2}), which leaves {}.",
        calibration.temperature,
        error(calibration.ece_after)
    )
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
