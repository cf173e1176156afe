//! Tables of a report.

use std::fmt::Write;

use super::markup::escape;

/// A table with its heading and what it says.
#[derive(Default)]
pub(crate) struct Table {
    /// Over it.
    pub(crate) heading: String,
    /// Between heading and table.
    pub(crate) intro: String,
    /// Names of the columns; those of numbers are at the right.
    pub(crate) columns: Vec<Column>,
    /// As many cells each as there are columns.
    pub(crate) rows: Vec<Vec<Cell>>,
    /// Below it.
    pub(crate) note: String,
}

/// A column of a table.
pub(crate) enum Column {
    /// Of words.
    Words(String),
    /// Of numbers.
    Numbers(String),
}

/// What stands in a table.
pub(crate) enum Cell {
    /// Words or a number.
    Text(String),
    /// A name with a field of this colour before it.
    Coloured([u8; 3], String),
    /// A share from 0 to 1 as a bar of this colour.
    Bar([u8; 3], f64),
    /// A slice that the slider can go to: its name, number of the slider, axis, index.
    Slice(String, usize, usize, usize),
}

impl Cell {
    /// A score, or a word where there is none.
    pub(crate) fn score(value: Option<f64>) -> Self {
        Self::Text(value.map_or_else(|| "\u{2013}".into(), |v| format!("{v:.3}")))
    }
}

pub(super) fn html(out: &mut String, table: &Table) {
    let _ = write!(
        out,
        "<h2>{}</h2>\n<div class=\"card wide\">",
        escape(&table.heading)
    );
    if !table.intro.is_empty() {
        let _ = write!(out, "<p>{}</p>", escape(&table.intro));
    }
    out.push_str("<table><thead><tr>");
    for column in &table.columns {
        let (class, name) = match column {
            Column::Words(name) => ("", name),
            Column::Numbers(name) => (" class=\"n\"", name),
        };
        let _ = write!(out, "<th scope=\"col\"{class}>{}</th>", escape(name));
    }
    out.push_str("</tr></thead><tbody>");
    for row in &table.rows {
        out.push_str("<tr>");
        for (cell, column) in row.iter().zip(&table.columns) {
            let class = match (cell, column) {
                (Cell::Bar(..), _) => " class=\"bar\"",
                (_, Column::Numbers(_)) => " class=\"n\"",
                _ => "",
            };
            let _ = write!(out, "<td{class}>{}</td>", content(cell));
        }
        out.push_str("</tr>");
    }
    out.push_str("</tbody></table>");
    if !table.note.is_empty() {
        let _ = write!(out, "<p class=\"key\">{}</p>", escape(&table.note));
    }
    out.push_str("</div>\n");
}

pub(super) fn content(cell: &Cell) -> String {
    let css = super::palette::css;
    match cell {
        Cell::Text(text) => escape(text),
        Cell::Coloured(colour, text) => format!(
            "<span class=\"swatch\" style=\"background:{}\"></span>{}",
            css(*colour),
            escape(text)
        ),
        Cell::Bar(colour, share) => format!(
            "<svg class=\"share\" viewBox=\"0 0 100 8\" preserveAspectRatio=\"none\" aria-hidden=\"true\">\
             <rect class=\"all\" width=\"100\" height=\"8\"/>\
             <rect width=\"{:.2}\" height=\"8\" fill=\"{}\"/></svg>",
            100.0 * share.clamp(0.0, 1.0),
            css(*colour)
        ),
        Cell::Slice(name, slider, axis, index) => format!(
            "<a href=\"#slices-{slider}\" data-slice=\"{axis},{index}\">{}</a>",
            escape(name)
        ),
    }
}
