//! `results.csv`: one line a finished run, for other programs.

use super::record::Record;
use super::tables::Tables;

/// The file.
pub(super) fn text(tables: &Tables<'_>) -> String {
    let classes = &tables.cases[0].labels.classes;
    let mut header: Vec<String> = [
        "experiment",
        "part",
        "setup",
        "network",
        "seed",
        "mean_iou",
        "foreground_iou",
        "mean_dice",
    ]
    .map(str::to_owned)
    .to_vec();
    header.extend(classes.iter().map(|c| format!("iou {}", c.name)));
    header.extend(classes.iter().map(|c| format!("dice {}", c.name)));
    header.extend(
        [
            "scored_voxels",
            "annotated_share",
            "iterations",
            "training_s",
            "prediction_s",
        ]
        .map(str::to_owned),
    );
    let mut out = line(&header);
    for record in tables.records {
        out += &line(&row(tables, record));
    }
    out
}

fn row(tables: &Tables<'_>, record: &Record) -> Vec<String> {
    let number = |value: Option<f64>| value.map_or(String::new(), |v| format!("{v:.6}"));
    let scores = &record.scores;
    let mut row = vec![
        tables.study.name.to_owned(),
        record.part.clone(),
        record.setup.clone().unwrap_or_default(),
        record.method.name().to_owned(),
        record.seed.map_or(String::new(), |seed| seed.to_string()),
        number(scores.mean_iou),
        number(record.foreground_iou(tables.background)),
        number(scores.mean_dice),
    ];
    row.extend(scores.classes.iter().map(|c| number(c.iou)));
    row.extend(scores.classes.iter().map(|c| number(c.dice)));
    row.extend([
        scores.voxels.to_string(),
        format!("{:.6}", record.annotated_share),
        record.iterations.to_string(),
        record
            .training_s
            .map_or(String::new(), |s| format!("{s:.3}")),
        format!("{:.3}", record.prediction_s),
    ]);
    row
}

/// One line; cells that hold a separator are quoted (RFC 4180).
fn line(cells: &[String]) -> String {
    let quoted = cells.iter().map(|cell| {
        if cell.contains([',', '"', '\n']) {
            format!("\"{}\"", cell.replace('"', "\"\""))
        } else {
            cell.clone()
        }
    });
    quoted.collect::<Vec<_>>().join(",") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators_are_quoted() {
        let cells = ["1,1,1", "a \"b\"", "c"].map(str::to_owned);
        assert_eq!(line(&cells), "\"1,1,1\",\"a \"\"b\"\"\",c\n");
    }
}
