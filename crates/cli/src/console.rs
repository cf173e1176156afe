//! What the program says, and where: results on standard output, everything
//! else on standard error. With `--json` exactly one object goes to standard
//! output and the rest moves to standard error.
//!
//! Names come from files and people: of classes, cases, paths, metadata. What in
//! them would move a terminal's cursor, ring its bell or turn the direction of
//! writing is shown as `\u{1b}` instead, whoever prints it.

use std::borrow::Cow;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

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
        write_line(&visible(&line.to_string()))
    }

    /// A line about the work: progress, remarks, what was written.
    pub(crate) fn note(&self, line: impl Display) {
        // Nothing useful can be done when standard error itself is gone.
        let _ = writeln!(io::stderr().lock(), "{}", visible(&line.to_string()));
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
        write_line(&json_visible(&serde_json::to_string(value)?))
    }

    /// Whether a progress bar can be drawn.
    pub(crate) fn has_bar(&self) -> bool {
        io::stderr().is_terminal()
    }
}

/// Tells of arguments that cannot be read, or what `--help` asks for; the code to
/// end with.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    let plain = error.render().to_string();
    let code = ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
    match visible(&plain) {
        // In colours where the terminal has them.
        Cow::Borrowed(_) => {
            let _ = error.print();
        }
        Cow::Owned(text) => {
            let _ = write!(io::stderr().lock(), "{text}");
        }
    }
    code
}

/// The text with what would act on a terminal made visible. Lines and tabs stay:
/// tables and questions are made of them.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    match text.chars().any(acts) {
        false => Cow::Borrowed(text),
        true => Cow::Owned(escaped(text, acts)),
    }
}

/// The same for a name, which is one line.
fn visible_name(name: &str) -> String {
    escaped(name, |c| acts(c) || matches!(c, '\n' | '\t'))
}

fn escaped(text: &str, hidden: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match hidden(c) {
            true => out.extend(c.escape_default()),
            false => out.push(c),
        }
    }
    out
}

/// JSON in which such characters are written as JSON writes them. They stand in
/// strings alone.
fn json_visible(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match acts(c) {
            true => {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
            false => out.push(c),
        }
    }
    out
}

/// Whether a character does something to a terminal instead of being shown:
/// control characters but ends of lines and tabs, and what turns the direction of
/// writing or separates lines unseen (Unicode 16, chapter 23, and UAX 9).
fn acts(c: char) -> bool {
    match c {
        '\n' | '\t' => false,
        '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{feff}' => true,
        '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{206f}' => true,
        '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}' => true,
        c => c.is_control(),
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
    let cells_of = |row: &Vec<String>| row.iter().map(|cell| visible_name(cell)).collect();
    let rows: Vec<Vec<String>> = rows.iter().map(cells_of).collect();
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

    #[test]
    fn what_would_act_on_a_terminal_is_shown() {
        for (text, expected) in [
            ("a\x1b[31mb", "a\\u{1b}[31mb"),
            ("a\rb\x08\x07\0", "a\\rb\\u{8}\\u{7}\\u{0}"),
            ("\u{9b}2J\u{7f}", "\\u{9b}2J\\u{7f}"),
            ("\u{202e}gpj.exe\u{2066}", "\\u{202e}gpj.exe\\u{2066}"),
            ("two\n\tlines", "two\n\tlines"),
            ("Äußeres 核 नमस्ते 😀", "Äußeres 核 नमस्ते 😀"),
        ] {
            assert_eq!(visible(text), expected);
        }
        assert!(matches!(visible("plain"), Cow::Borrowed(_)));
        let name = "a\x1b\u{9b}\u{202e}\u{e0041}\n\"Ä";
        let json = json_visible(&serde_json::to_string(name).unwrap());
        assert!(!json.chars().any(acts), "{json}");
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), name);
    }

    #[test]
    fn a_name_in_a_table_stays_in_its_row() {
        let rows = [
            ["name".into(), "n".into()].to_vec(),
            ["a\nb\t\x1bc".into(), "1".into()].to_vec(),
        ];
        assert_eq!(
            table(&rows, "<>"),
            "  name           n\n  a\\nb\\t\\u{1b}c  1"
        );
    }
}
