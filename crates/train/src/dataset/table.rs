//! Tables separated by tabs, as this program and spreadsheets write them.
//!
//! A cell that could be misread (a tab, a line end or a space at its border in it, a
//! quotation mark in front) stands in quotation marks, those within it doubled: what
//! Excel and LibreOffice write and read. Whatever is in a name, it comes back the same.

/// A row as it was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// The line on which it begins, the first being 1.
    pub(super) line: usize,
    /// Without the spaces around those that are not quoted.
    pub(super) cells: Vec<String>,
}

/// One row as text, with its line end.
pub(super) fn row(cells: &[&str]) -> String {
    let cells: Vec<_> = cells.iter().map(|cell| quoted(cell)).collect();
    cells.join("\t") + "\n"
}

fn quoted(cell: &str) -> String {
    let is_plain = cell.trim() == cell
        && !cell.starts_with('"')
        && !cell.contains(['\t', '\n', '\r'])
        // Spreadsheets and people lose other control characters anyway; quoting
        // shows that there is something.
        && !cell.contains(char::is_control);
    match is_plain {
        true => cell.to_owned(),
        false => format!("\"{}\"", cell.replace('"', "\"\"")),
    }
}

/// The rows that are not empty. Lines end as on any system.
///
/// # Errors
/// The line on which a quotation mark opens that is never closed.
pub(super) fn rows(text: &str) -> Result<Vec<Row>, usize> {
    let mut rows = Vec::new();
    let mut rest = text;
    let mut line = 1;
    while !rest.is_empty() {
        let first = line;
        let mut cells = Vec::new();
        loop {
            let (cell, after) = cell(rest, &mut line)?;
            cells.push(cell);
            match after.strip_prefix('\t') {
                Some(more) => rest = more,
                None => {
                    rest = after
                        .strip_prefix("\r\n")
                        .or_else(|| after.strip_prefix(['\r', '\n']))
                        .unwrap_or(after);
                    break;
                }
            }
        }
        line += 1;
        if cells.iter().any(|cell| !cell.is_empty()) {
            rows.push(Row { line: first, cells });
        }
    }
    Ok(rows)
}

/// The cell at the start of `text`, and what follows it: a tab, a line end or nothing.
fn cell<'a>(text: &'a str, line: &mut usize) -> Result<(String, &'a str), usize> {
    let start = text.trim_start_matches(' ');
    let Some(mut rest) = start.strip_prefix('"') else {
        let end = text.find(['\t', '\n', '\r']).unwrap_or(text.len());
        return Ok((text[..end].trim().to_owned(), &text[end..]));
    };
    let opened = *line;
    let mut cell = String::new();
    loop {
        let end = rest.find('"').ok_or(opened)?;
        cell += &rest[..end];
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            Some(more) => {
                cell.push('"');
                rest = more;
            }
            None => break,
        }
    }
    *line += cell.matches('\n').count();
    // What follows the closing mark belongs to the cell as it stands.
    let end = rest.find(['\t', '\n', '\r']).unwrap_or(rest.len());
    cell += rest[..end].trim_end();
    Ok((cell, &rest[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(text: &str) -> Vec<Vec<String>> {
        rows(text).unwrap().into_iter().map(|r| r.cells).collect()
    }

    #[test]
    fn every_name_comes_back() {
        let names = [
            "a",
            "with space",
            " led by one",
            "ended by one ",
            "tab\tin it",
            "line\nin it",
            "line\r\nin it",
            "old\rMac",
            "\"quoted\"",
            "5\" probe",
            "\"",
            "\"\"",
            "a\u{b}b",
            "Läsion",
            "腫瘍",
            "\u{a0}",
            "",
        ];
        for name in names {
            let text = row(&[name, "x", name]) + &row(&["next", name]);
            let found = cells(&text);
            let expected = [vec![name, "x", name], vec!["next", name]];
            assert_eq!(found, expected, "{name:?} as {text:?}");
        }
    }

    #[test]
    fn line_ends_and_spaces_of_any_program() {
        let expected = [["case", "split"], ["a", "train"]];
        for text in [
            "case\tsplit\na\ttrain\n",
            "case\tsplit\r\na\ttrain\r\n",
            "case\tsplit\ra\ttrain\r",
            "case\tsplit\n\n \t \na\ttrain",
            " case \t split\n\"a\"\ttrain \n",
        ] {
            assert_eq!(cells(text), expected, "{text:?}");
        }
        assert!(cells("").is_empty());
    }

    #[test]
    fn lines_are_counted_through_names() {
        let found = rows("case\n\"a\nb\"\nc\n").unwrap();
        let lines: Vec<_> = found.iter().map(|r| r.line).collect();
        assert_eq!(lines, [1, 2, 4]);
        assert_eq!(rows("case\na\t\"b\nc"), Err(2));
    }
}
