//! What the program says, and where: results on standard output, everything
//! else on standard error. With `--json` exactly one object goes to standard
//! output and the rest moves to standard error.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use std::path::Path;

use anyhow::Context;
use serde::Serialize;

pub(crate) use unet3d_volume::words::{count, counted};

/// The two streams, and which of them takes what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Console {
    json: bool,
}

impl Console {
    /// A console that prints one JSON object, or text.
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// A line of the result, for a person.
    ///
    /// # Errors
    /// When standard output cannot be written. A reader that went away (a
    /// closed pipe) is not an error: nobody is left to tell.
    pub(crate) fn result(&self, line: impl Display) -> anyhow::Result<()> {
        if self.json {
            self.note(line);
            return Ok(());
        }
        write_line(&line.to_string())
    }

    /// A line about the work: progress, remarks, what was written.
    pub(crate) fn note(&self, line: impl Display) {
        // Nothing useful can be done when standard error itself is gone.
        let _ = writeln!(io::stderr().lock(), "{line}");
    }

    /// What was noticed while a volume was read, a line each.
    pub(crate) fn notes(&self, notes: &[String]) {
        notes.iter().for_each(|note| self.note(note));
    }

    /// The one object of `--json`; nothing without that flag.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub(crate) fn json(&self, value: &impl Serialize) -> anyhow::Result<()> {
        if !self.json {
            return Ok(());
        }
        write_line(&serde_json::to_string(value)?)
    }

    /// Whether a progress bar can be drawn.
    pub(crate) fn has_bar(&self) -> bool {
        io::stderr().is_terminal()
    }
}

fn write_line(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.context("standard output: cannot be written. Is the disk full?"),
    }
}

/// A path for `--json`: what of its name is no text is replaced, for JSON is text.
pub(crate) fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// Bytes as people read them: `1.25 GiB`.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 {
        format!("{count} bytes")
    } else {
        format!("{value:.2} {}", UNITS[unit])
    }
}

/// Seconds as people read them: `42 s`, `3 min 05 s`, `2 h 10 min`.
pub(crate) fn duration(seconds: f64) -> String {
    let whole = seconds.max(0.0).round() as u64;
    match whole {
        0..10 => format!("{seconds:.1} s"),
        10..60 => format!("{whole} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
    }
}

/// A share as people read it: `12.5 %`; small ones keep two digits.
pub(crate) fn percent(share: f64) -> String {
    if share > 0.0 && share < 0.01 {
        format!("{:.2} %", share * 100.0)
    } else {
        format!("{:.1} %", share * 100.0)
    }
}

/// A shape as people read it: `64 x 96 x 96`.
pub(crate) fn shape(shape: [usize; 3]) -> String {
    let [z, y, x] = shape;
    format!("{z} x {y} x {x}")
}

/// Columns with the given alignment, two spaces apart; the first row is the
/// heading. Numbers are wanted right (`'>'`), words left (`'<'`).
pub(crate) fn table(rows: &[Vec<String>], align: &str) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width: Vec<usize> = (0..columns)
        .map(|c| {
            let cells = rows.iter().filter_map(|r| r.get(c));
            cells.map(|s| s.chars().count()).max().unwrap_or(0)
        })
        .collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().enumerate().map(|(c, cell)| {
            if align.as_bytes().get(c) == Some(&b'>') {
                format!("{cell:>w$}", w = width[c])
            } else {
                format!("{cell:<w$}", w = width[c])
            }
        });
        let line = cells.collect::<Vec<_>>().join("  ");
        format!("  {}", line.trim_end())
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_read_well() {
        assert_eq!(bytes(512), "512 bytes");
        assert_eq!(bytes(3 << 29), "1.50 GiB");
        assert_eq!(duration(3.25), "3.2 s");
        assert_eq!(duration(185.0), "3 min 05 s");
        assert_eq!(duration(7800.0), "2 h 10 min");
        assert_eq!(percent(0.125), "12.5 %");
        assert_eq!(
            (count(7), count(19_069_955)),
            ("7".into(), "19,069,955".into())
        );
        assert_eq!(percent(0.0012), "0.12 %");
    }

    #[test]
    fn tables_align() {
        let rows = [
            vec!["class".into(), "iou".into()],
            vec!["a".into(), "0.5".into()],
        ];
        assert_eq!(table(&rows, "<>"), "  class  iou\n  a      0.5");
    }
}
