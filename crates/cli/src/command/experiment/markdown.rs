//! `results.md`: our tables with the paper's numbers beside them, and how they
//! came about.

use std::fmt::Write;

use unet3d_train::experiment::Comparison;
use unet3d_train::{Budget, TrainConfig};

use super::grid::{Grid, averages};
use super::method::Method;
use super::record::{Record, mean};
use super::tables::Tables;
use crate::console;

/// The file.
pub(super) fn text(tables: &Tables<'_>, mean_iou: &Grid) -> String {
    let study = tables.study;
    let mut out = format!("# {}: {}\n\n", study.name, study.title);
    let finished = tables.records.len();
    if finished < tables.planned {
        let _ = writeln!(
            out,
            "**{finished} of {} runs are finished.** A dash stands for a run that is not.\n",
            tables.planned
        );
    }
    if !tables.failures.is_empty() {
        out += "**Failed, and in no number below:**\n\n";
        for failure in tables.failures {
            let _ = writeln!(out, "- {failure}");
        }
        out.push('\n');
    }
    out += "![Mean IoU of each network](results.svg)\n\n## Mean IoU\n\n";
    let _ = writeln!(out, "{}", explain(tables));
    out += &grid(mean_iou);
    let _ = write!(out, "\nThe paper's own table, on other data:\n\n");
    out += &paper(tables);

    if tables.background.is_some() {
        let measure = |record: &Record| record.foreground_iou(tables.background);
        out += "\n## Foreground IoU\n\nThe mean over the classes but the background.\n\n";
        let foreground = without_paper(Grid::new(
            study,
            tables.records,
            tables.common.seeds,
            &measure,
        ));
        out += &grid(&foreground);
    }
    out += "\n## Classes\n\nIoU / Dice of each class, averaged as above.\n\n";
    out += &classes(tables);
    out += "\n## Training\n\n";
    out += &training(tables);
    out += "\n## How it was done\n\n";
    for note in study.notes.iter().chain(&how(tables)) {
        let _ = writeln!(out, "- {note}");
    }
    out
}

fn explain(tables: &Tables<'_>) -> String {
    let seeds = match tables.common.seeds {
        1 => "one seed".to_owned(),
        n => format!(
            "mean ± standard deviation over {n} seeds, in brackets how many there are where they are fewer"
        ),
    };
    format!(
        "The mean over all classes that occur; {seeds}. The paper does not state which classes its IoU is over, and its \
         volumes are not public: its numbers are for the shape of the result, not for their height.\n"
    )
}

/// A grid; a column of the paper's beside each of ours that it has numbers for.
fn grid(grid: &Grid) -> String {
    let has_paper: Vec<bool> = (0..grid.columns.len())
        .map(|c| grid.cells.iter().any(|row| row[c].paper.is_some()))
        .collect();
    let mut header = vec![grid.corner.to_owned()];
    for (column, has_paper) in grid.columns.iter().zip(&has_paper) {
        header.push(column.title.clone());
        if *has_paper {
            header.push("paper".into());
        }
    }
    let mut rows = Vec::new();
    for (number, name) in grid.rows.iter().enumerate() {
        let mut row = vec![name.clone()];
        for (column, has_paper) in has_paper.iter().enumerate() {
            row.push(grid.cell_text(number, column));
            if *has_paper {
                let cell = &grid.cells[number][column];
                row.push(cell.paper.map_or(String::new(), |v| format!("{v:.3}")));
            }
        }
        rows.push(row);
    }
    table(&header, &rows)
}

fn without_paper(mut grid: Grid) -> Grid {
    let cells = grid.cells.iter_mut().flatten();
    cells.for_each(|cell| cell.paper = None);
    grid
}

fn paper(tables: &Tables<'_>) -> String {
    let paper = &tables.study.paper;
    let mut header = vec![paper.corner.to_owned()];
    header.extend(paper.columns.iter().map(|c| (*c).to_owned()));
    let rows: Vec<Vec<String>> = paper
        .rows
        .iter()
        .map(|(name, values)| {
            let values = values.iter().map(|v| format!("{v:.3}"));
            std::iter::once((*name).to_owned()).chain(values).collect()
        })
        .collect();
    format!("{}\n\n{}", paper.title, table(&header, &rows))
}

/// A row a method (and set-up), a column a class.
fn classes(tables: &Tables<'_>) -> String {
    let study = tables.study;
    let parts = study.protocol.parts();
    let mut setups: Vec<&Option<String>> = Vec::new();
    for part in parts {
        if !setups.contains(&&part.setup) {
            setups.push(&part.setup);
        }
    }
    let names = &tables.cases[0].labels.classes;
    let mut header = vec![String::new()];
    header.extend(names.iter().map(|class| class.name.clone()));
    let mut rows = Vec::new();
    for method in &study.methods {
        for &setup in &setups {
            let wanted = |r: &Record| r.setup == *setup;
            let each = parts.iter().filter(|part| part.setup == *setup).count();
            let mut row = vec![match setup {
                Some(setup) => format!("{}, slices {setup}", method.title()),
                None => method.title().to_owned(),
            }];
            for class in 0..names.len() {
                let of = |measure: &dyn Fn(&Record) -> Option<f64>| {
                    let spread = averages(tables.records, *method, measure, each, &wanted);
                    spread.map_or("-".into(), |s| format!("{:.3}", s.mean))
                };
                let iou = of(&|r| r.scores.classes[class].iou);
                let dice = of(&|r| r.scores.classes[class].dice);
                row.push(format!("{iou} / {dice}"));
            }
            rows.push(row);
        }
    }
    table(&header, &rows)
}

/// What each network took.
fn training(tables: &Tables<'_>) -> String {
    let header = [
        "network",
        "parameters",
        "patch z, y, x",
        "batch",
        "runs",
        "steps",
        "training",
        "prediction",
    ]
    .map(str::to_owned);
    let mut rows = Vec::new();
    for method in &tables.study.methods {
        let of: Vec<&Record> = tables
            .records
            .iter()
            .filter(|r| r.method == *method)
            .collect();
        let Some(first) = of.first() else { continue };
        let average = |f: &dyn Fn(&Record) -> f64| mean(of.iter().map(|r| f(r))).unwrap_or(0.0);
        let config: Option<TrainConfig> =
            serde_json::from_value(first.configuration["train"].clone()).ok();
        let (parameters, patch, batch) = match config {
            Some(config) => shape_of(&config),
            None => Default::default(),
        };
        let known_s: Option<Vec<f64>> = of.iter().map(|r| r.training_s).collect();
        let known_s = known_s.and_then(|known| mean(known.into_iter()));
        let (steps, training) = match method {
            Method::Network(_) => (
                console::count(average(&|r| r.iterations as f64).round() as u64),
                known_s.map_or("-".into(), console::duration),
            ),
            Method::Baseline(_) => Default::default(),
        };
        rows.push(vec![
            method.title().to_owned(),
            parameters,
            patch,
            batch,
            of.len().to_string(),
            steps,
            training,
            console::duration(average(&|r| r.prediction_s)),
        ]);
    }
    let note = "Steps and times are means over the runs; patch and batch those of the first. \
        A run that was resumed under a budget of steps does not know its time.\n\n";
    format!("{note}{}", table(&header, &rows))
}

/// Number of parameters, patch and batch.
fn shape_of(config: &TrainConfig) -> (String, String, String) {
    let network = config.network.clone().map(unet3d_unet::Network::new);
    let parameters = match network {
        Some(Ok(network)) => console::count(network.parameter_count() as u64),
        _ => String::new(),
    };
    let [z, y, x] = config.patch.unwrap_or_default();
    let batch = config.batch.unwrap_or_default();
    (parameters, format!("{z}, {y}, {x}"), batch.to_string())
}

/// `1,000 steps`, `10 min`.
pub(super) fn budget_text(budget: &Budget) -> String {
    match (budget.iterations, budget.minutes) {
        (Some(n), Some(minutes)) => format!("{} or {minutes} min", console::counted(n, "step")),
        (Some(n), None) => console::counted(n, "step"),
        (None, Some(minutes)) => format!("{minutes} min"),
        (None, None) => String::new(),
    }
}

/// Sentences on data and machine.
fn how(tables: &Tables<'_>) -> Vec<String> {
    // More than a few names would hide what stands around them.
    const NAMED: usize = 6;
    let cases = tables.cases;
    let named = cases.iter().take(NAMED).map(|case| {
        format!(
            "{} ({}, {} annotated)",
            case.name,
            console::shape(case.image.geometry.shape),
            console::percent(
                case.labels.annotated_voxels() as f64 / case.labels.voxels.len().max(1) as f64
            )
        )
    });
    let mut volumes = named.collect::<Vec<_>>().join("; ");
    if cases.len() > NAMED {
        let _ = write!(volumes, "; and {} more", cases.len() - NAMED);
    }
    let budget = &tables.budget;
    let mut how = vec![
        format!("Volumes: {volumes}."),
        format!("Each network was trained for {}.", budget_text(budget)),
    ];
    let flat = Method::Network(Comparison::Normalised2d);
    if budget.minutes.is_none() && tables.study.methods.contains(&flat) {
        how.push(
            "A step of the 2D network is shorter and shows it less than one of the 3D network: --minutes is the fairer budget."
                .into(),
        );
    }
    let mut machines: Vec<String> = tables
        .records
        .iter()
        .map(|r| format!("{}, {}", r.program, r.machine))
        .collect();
    machines.sort_unstable();
    machines.dedup();
    if !machines.is_empty() {
        how.push(format!("Made by {}.", machines.join("; ")));
    }
    how.push(
        "\"With BN\" is normalisation by the statistics of each patch by itself in training, and of each tile in prediction, which is the whole volume where memory allows (but one slice in 2D): the paper's batch normalisation at its batch size of one."
            .into(),
    );
    how
}

fn table(header: &[String], rows: &[Vec<String>]) -> String {
    let line = |cells: &[String]| {
        let cells = cells.iter().map(|cell| cell.replace('|', "\\|"));
        format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "))
    };
    let mut out = line(header);
    out += &format!("|---|{}\n", "---:|".repeat(header.len().saturating_sub(1)));
    rows.iter().for_each(|row| out += &line(row));
    out
}
