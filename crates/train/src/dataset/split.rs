//! Who is trained on and who is held out.
//!
//! In order: what the TOML list says of each case; the file `split.tsv` beside
//! the data; else by itself, by subject where subjects are known. A split made
//! by itself depends on nothing but the names, so two runs with different seeds
//! can be compared, and is written into the run folder in the same form.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};
use unet3d_kernels::random::{Stream, generator};
use unet3d_volume::atomic::write_bytes;
use unet3d_volume::text::{self, Text};

use super::CaseFiles;
use super::table::{self, Row};
use crate::Error;

/// Tab-separated, with the columns case, subject and split.
pub const SPLIT_FILE: &str = "split.tsv";

/// Every so many subjects, one is held out: a fifth, as five-fold
/// cross-validation does.
const HELD_OUT_OF: usize = 5;

/// With fewer subjects, holding one out costs too much and says too little;
/// slices are held out instead.
const FEWEST_SUBJECTS: usize = 4;

/// What a case is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// Learned from.
    Train,
    /// Held out, scored during training.
    Validate,
    /// Not looked at.
    Test,
}

impl Split {
    fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validate => "validate",
            Self::Test => "test",
        }
    }
}

/// Gives each case its split; says in words how, and whether the data set said it.
/// What was noticed on the way is added to `notes`.
pub(super) fn settle(
    cases: &mut [CaseFiles],
    folder: &Path,
    given: bool,
    notes: &mut Vec<String>,
) -> Result<(String, bool), Error> {
    let path = folder.join(SPLIT_FILE);
    let (how, is_given) = if given {
        ("as the list of cases says".to_owned(), true)
    } else if path.exists() {
        notes.extend(read(cases, &path)?);
        (format!("as {SPLIT_FILE} says"), true)
    } else {
        (by_subject(cases), false)
    };
    if cases.iter().all(|case| case.split != Split::Train) {
        return Err(Error::file(
            folder,
            "no case is for training, at least one is needed. Look at the column split",
        ));
    }
    Ok((how, is_given))
}

/// Writes the split of `cases` in the form that [`find`](super::find) reads, any
/// names included.
///
/// # Errors
/// When the file cannot be written.
pub fn write_split(cases: &[CaseFiles], path: &Path) -> Result<(), Error> {
    let mut text = String::from("case\tsubject\tsplit\n");
    for case in cases {
        let subject = case.subject.as_deref().unwrap_or("");
        let row = [&*case.name, subject, case.split.name()];
        text += &table::row(&row);
    }
    Ok(write_bytes(path, text.as_bytes())?)
}

fn read(cases: &mut [CaseFiles], path: &Path) -> Result<Option<String>, Error> {
    let Text { text, note } = text::read(path)?;
    let rows = table::rows(&text).map_err(|line| {
        Error::file(
            path,
            format!("line {line}: a quotation mark opens a name and none closes it. Add it, or remove the first"),
        )
    })?;
    let mut rows = rows.into_iter();
    let header = rows.next().map_or(Vec::new(), |row| row.cells);
    let column = |name: &str| header.iter().position(|h| h.eq_ignore_ascii_case(name));
    let (Some(case), Some(split)) = (column("case"), column("split")) else {
        return Err(Error::file(
            path,
            format!(
                "its first line has the columns {header:?}, it must name case, subject and split, separated by tabs"
            ),
        ));
    };
    let subject = column("subject");
    let mut by_case = BTreeMap::new();
    for Row { line, cells } in rows {
        let cell = |column: usize| cells.get(column).map_or("", |cell| &**cell);
        let split = [Split::Train, Split::Validate, Split::Test]
            .into_iter()
            .find(|s| s.name() == cell(split))
            .ok_or_else(|| {
                let rule = "it must be train, validate or test";
                Error::file(
                    path,
                    format!("line {line}: split is {:?}, {rule}", cell(split)),
                )
            })?;
        let subject = subject
            .map(cell)
            .filter(|s| !s.is_empty())
            .map(str::to_owned);
        if by_case
            .insert(cell(case).to_owned(), (subject, split))
            .is_some()
        {
            return Err(Error::file(
                path,
                format!(
                    "line {line}: case {} is there twice, one line is needed",
                    cell(case)
                ),
            ));
        }
    }
    for case in cases.iter_mut() {
        let Some((subject, split)) = by_case.remove(&case.name) else {
            let problem = format!(
                "it has no line for case {}, every case needs one",
                case.name
            );
            return Err(Error::file(path, problem));
        };
        case.split = split;
        case.subject = subject.or(case.subject.take());
    }
    if let Some(name) = by_case.into_keys().next() {
        return Err(Error::file(
            path,
            format!("it names case {name}, which the data set does not have. Is a file missing?"),
        ));
    }
    Ok(note)
}

/// Holds out every fifth subject, in an order drawn once for all from the names.
fn by_subject(cases: &mut [CaseFiles]) -> String {
    let known = cases.iter().any(|case| case.subject.is_some());
    let subject = |case: &CaseFiles| case.subject.clone().unwrap_or_else(|| case.name.clone());
    let mut subjects: Vec<String> = cases
        .iter()
        .map(subject)
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    let kind = if known { "subject" } else { "case" };
    let n = subjects.len();
    if n < FEWEST_SUBJECTS {
        return format!("no {kind} held out, too few are there: {n}");
    }
    subjects.shuffle(&mut generator(0, Stream::Split, 0));
    let held_out = (n / HELD_OUT_OF).max(1);
    let validate: BTreeSet<String> = subjects.into_iter().take(held_out).collect();
    for case in cases.iter_mut() {
        case.split = match validate.contains(&subject(case)) {
            true => Split::Validate,
            false => Split::Train,
        };
    }
    format!("by itself: {held_out} of {n} {kind}s held out, drawn from their names")
}
