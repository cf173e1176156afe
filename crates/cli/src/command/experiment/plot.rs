//! `results.svg`: the table of the mean IoU as a picture. Every seed is a dot,
//! their mean a larger one; what the paper found is a diamond.

use std::fmt::Write;

use super::grid::{Grid, Layout};
use super::method::Method;
use super::study::Study;
use crate::report::palette;

/// Drawing area in SVG units, with room around it for words.
const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 20.0;
const BOTTOM: f64 = 40.0;

/// Height of a line of the legend.
const LINE: f64 = 20.0;

/// Width of a letter of the labels, about.
const LETTER: f64 = 7.0;

/// Columns of one method share a colour, or each volume has its own.
struct Style {
    colour: String,
    dashed: bool,
}

/// The picture.
pub(super) fn svg(study: &Study, grid: &Grid) -> String {
    let connected = study.layout == Layout::BySetup;
    let legend = legend(study, grid);
    let per_line = 3;
    let legend_height = LINE * (legend.len().div_ceil(per_line)) as f64;
    let rotated = is_crowded(grid);
    let bottom = if rotated { 3.0 * BOTTOM } else { BOTTOM };
    let height = HEIGHT + legend_height + bottom - BOTTOM;
    let (lowest, highest) = range(grid);
    let area = Area {
        top: TOP + legend_height,
        bottom: height - bottom,
        lowest,
        highest,
        band: (WIDTH - LEFT - RIGHT) / grid.rows.len().max(1) as f64,
        // Just enough to see dots that lines join, else side by side.
        step: if connected { 5.0 } else { 26.0 },
    };
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"system-ui, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif\" font-size=\"13\" role=\"img\" \
         aria-label=\"mean IoU\">\n<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>\n"
    );
    for (i, (style, title)) in legend.iter().enumerate() {
        let x = LEFT + (i % per_line) as f64 * (WIDTH - LEFT - RIGHT) / per_line as f64;
        let y = TOP + (i / per_line) as f64 * LINE;
        key(&mut out, x, y, style.as_ref(), title, connected);
    }
    axes(&mut out, &area, grid, rotated);
    for (c, column) in grid.columns.iter().enumerate() {
        let style = style(study, grid, c);
        let x = |row: usize| area.x(row, c, grid.columns.len());
        let means: Vec<(f64, f64)> = (0..grid.rows.len())
            .filter_map(|row| {
                let ours = grid.cells[row][c].ours.as_ref()?;
                Some((x(row), area.y(ours.mean)))
            })
            .collect();
        if connected && means.len() > 1 {
            line(&mut out, &means, &style);
        }
        for row in 0..grid.rows.len() {
            let cell = &grid.cells[row][c];
            if let Some(paper) = cell.paper {
                diamond(&mut out, x(row), area.y(paper), &style.colour);
            }
            let Some(ours) = &cell.ours else { continue };
            for value in ours.values.iter().filter(|_| ours.values.len() > 1) {
                dot(&mut out, x(row), area.y(*value), 2.5, &style, 0.45);
            }
            let title = format!(
                "{}, {}: {}",
                grid.rows[row],
                column.title,
                grid.cell_text(row, c)
            );
            let _ = write!(out, "<g><title>{}</title>", escaped(&title));
            dot(&mut out, x(row), area.y(ours.mean), 5.0, &style, 1.0);
            out += "</g>\n";
        }
    }
    out += "</svg>\n";
    out
}

/// Where things stand.
struct Area {
    top: f64,
    bottom: f64,
    lowest: f64,
    highest: f64,
    band: f64,
    /// Distance of columns at most.
    step: f64,
}

impl Area {
    /// Columns of a row stand side by side in the middle of its band.
    fn x(&self, row: usize, column: usize, columns: usize) -> f64 {
        let step = (0.7 * self.band / columns.max(1) as f64).min(self.step);
        let middle = LEFT + (row as f64 + 0.5) * self.band;
        middle + (column as f64 - (columns as f64 - 1.0) / 2.0) * step
    }

    fn y(&self, value: f64) -> f64 {
        let share = (value - self.lowest) / (self.highest - self.lowest);
        self.bottom - share * (self.bottom - self.top)
    }
}

/// Tenths around all numbers: an axis from 0 would hide what differs.
fn range(grid: &Grid) -> (f64, f64) {
    let cells = grid.cells.iter().flatten();
    let all: Vec<f64> = cells
        .flat_map(|cell| {
            let ours = cell.ours.iter().flat_map(|ours| ours.values.clone());
            ours.chain(cell.paper).collect::<Vec<_>>()
        })
        .filter(|v| v.is_finite())
        .collect();
    let lowest = all.iter().copied().fold(1.0, f64::min);
    let highest = all.iter().copied().fold(0.0, f64::max);
    if lowest > highest {
        return (0.0, 1.0);
    }
    let lowest = ((lowest * 10.0 - 0.2).floor() / 10.0).max(0.0);
    let highest = ((highest * 10.0 + 0.2).ceil() / 10.0).min(1.0);
    (lowest, highest.max(lowest + 0.1))
}

fn axes(out: &mut String, area: &Area, grid: &Grid, rotated: bool) {
    let step = if area.highest - area.lowest > 0.55 {
        0.1
    } else {
        0.05
    };
    let ticks = ((area.highest - area.lowest) / step).round() as usize;
    for tick in 0..=ticks {
        let value = area.lowest + step * tick as f64;
        let y = area.y(value);
        let _ = writeln!(
            out,
            "<line x1=\"{LEFT}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#e2e0dc\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#5d6870\">{value:.2}</text>",
            WIDTH - RIGHT,
            LEFT - 8.0,
            y + 4.5
        );
    }
    let _ = writeln!(
        out,
        "<text x=\"16\" y=\"{0:.1}\" transform=\"rotate(-90 16 {0:.1})\" text-anchor=\"middle\" fill=\"#1d2327\">mean IoU</text>",
        area.top.midpoint(area.bottom)
    );
    for (row, name) in grid.rows.iter().enumerate() {
        let x = LEFT + (row as f64 + 0.5) * area.band;
        let y = area.bottom + 22.0;
        let turned = match rotated {
            true => format!("text-anchor=\"end\" transform=\"rotate(-60 {x:.1} {y:.1})\""),
            false => "text-anchor=\"middle\"".into(),
        };
        let _ = writeln!(
            out,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" {turned} fill=\"#1d2327\">{}</text>",
            escaped(name)
        );
    }
}

/// Whether the names of the rows would run into each other.
fn is_crowded(grid: &Grid) -> bool {
    let longest = grid.rows.iter().map(|name| name.chars().count()).max();
    let band = (WIDTH - LEFT - RIGHT) / grid.rows.len().max(1) as f64;
    longest.unwrap_or(0) as f64 * LETTER > band
}

/// A colour for each column; where volumes have their own columns, for each
/// volume, with networks drawn through and baselines dashed.
fn style(study: &Study, grid: &Grid, column: usize) -> Style {
    let this = &grid.columns[column];
    let index = match study.layout {
        Layout::ByMethod => column,
        Layout::BySetup => {
            let of_method = grid.columns.iter().filter(|c| c.method == this.method);
            let volumes: Vec<_> = of_method.map(|c| &c.volume).collect();
            volumes.iter().position(|v| **v == this.volume).unwrap_or(0)
        }
    };
    let is_mean = study.layout == Layout::BySetup && this.volume.is_none();
    Style {
        colour: match is_mean {
            true => "#1d2327".into(),
            // Yellow vanishes on white.
            false => palette::css(palette::of_class(if index < 4 { index } else { index + 1 })),
        },
        dashed: matches!(this.method, Method::Baseline(_)),
    }
}

/// What each mark means; without a style, the paper's diamond.
fn legend(study: &Study, grid: &Grid) -> Vec<(Option<Style>, String)> {
    let columns = grid.columns.iter().enumerate();
    let mut legend: Vec<_> = columns
        .map(|(c, column)| (Some(style(study, grid, c)), column.title.clone()))
        .collect();
    if grid.cells.iter().flatten().any(|cell| cell.paper.is_some()) {
        legend.push((None, "the paper, on its own data".into()));
    }
    legend
}

fn key(out: &mut String, x: f64, y: f64, style: Option<&Style>, title: &str, connected: bool) {
    match style {
        Some(style) => {
            if connected {
                line(out, &[(x, y), (x + 24.0, y)], style);
            }
            dot(out, x + 12.0, y, 5.0, style, 1.0);
        }
        None => diamond(out, x + 12.0, y, "#5d6870"),
    }
    let _ = writeln!(
        out,
        "<text x=\"{:.1}\" y=\"{:.1}\" fill=\"#1d2327\">{}</text>",
        x + 32.0,
        y + 4.5,
        escaped(title)
    );
}

fn line(out: &mut String, points: &[(f64, f64)], style: &Style) {
    let points: Vec<String> = points
        .iter()
        .map(|(x, y)| format!("{x:.1},{y:.1}"))
        .collect();
    let dash = if style.dashed {
        " stroke-dasharray=\"5 4\""
    } else {
        ""
    };
    let _ = writeln!(
        out,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"1.5\"{dash}/>",
        points.join(" "),
        style.colour
    );
}

/// Filled for networks, open for baselines.
fn dot(out: &mut String, x: f64, y: f64, radius: f64, style: &Style, opacity: f64) {
    let Style { colour, dashed } = style;
    let fill = if *dashed { "#ffffff" } else { colour.as_str() };
    let _ = write!(
        out,
        "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\" fill=\"{fill}\" stroke=\"{colour}\" stroke-width=\"1.5\" \
         opacity=\"{opacity}\"/>"
    );
}

fn diamond(out: &mut String, x: f64, y: f64, colour: &str) {
    let _ = write!(
        out,
        "<path d=\"M{x:.1} {:.1}L{:.1} {y:.1}L{x:.1} {:.1}L{:.1} {y:.1}Z\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>",
        y - 7.0,
        x + 7.0,
        y + 7.0,
        x - 7.0
    );
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
