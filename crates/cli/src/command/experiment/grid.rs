//! Records gathered into a table: rows, columns, and in each cell the mean over
//! the seeds and how far they spread.

use serde_json::{Value, json};

use super::method::Method;
use super::record::{Record, mean};
use super::study::Study;
use crate::console;

/// How the table of an experiment is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// A row a part, a column a method; last the average of the parts.
    ByMethod,
    /// A row a set-up, a column a volume and method; last of each method the
    /// mean of the volumes.
    BySetup,
}

/// A table of one measure.
pub(super) struct Grid {
    /// What stands over the names of the rows.
    pub(super) corner: &'static str,
    /// Names of the rows.
    pub(super) rows: Vec<String>,
    /// The columns.
    pub(super) columns: Vec<Column>,
    /// `[row][column]`.
    pub(super) cells: Vec<Vec<Cell>>,
    /// How often each network is to be trained.
    pub(super) seeds: u64,
}

/// A column.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Column {
    /// Heading.
    pub(super) title: String,
    /// What is compared.
    pub(super) method: Method,
    /// The volume, where each has its own column; `None` for their mean.
    pub(super) volume: Option<String>,
}

/// What we found, and what the paper did.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Cell {
    /// `None` where no run is finished, or the measure does not exist.
    pub(super) ours: Option<Spread>,
    /// `None` where the paper has no such number.
    pub(super) paper: Option<f64>,
}

/// One number for each seed.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Spread {
    /// Mean over the seeds.
    pub(super) mean: f64,
    /// Their standard deviation (n - 1), with two seeds or more.
    pub(super) deviation: Option<f64>,
    /// Of each seed.
    pub(super) values: Vec<f64>,
}

/// What is tabulated of a record.
pub(super) type Measure<'a> = dyn Fn(&Record) -> Option<f64> + 'a;

impl Grid {
    /// The table of a measure, where each network is to be trained `seeds` times.
    pub(super) fn new(
        study: &Study,
        records: &[Record],
        seeds: u64,
        measure: &Measure<'_>,
    ) -> Self {
        let grid = match study.layout {
            Layout::ByMethod => by_method(study, records, measure),
            Layout::BySetup => by_setup(study, records, measure),
        };
        Self { seeds, ..grid }
    }

    /// `0.842 ± 0.004`, with ` (2 of 3)` where not all seeds are there yet; a dash
    /// where there is nothing.
    pub(super) fn cell_text(&self, row: usize, column: usize) -> String {
        let asked = match self.columns[column].method {
            Method::Network(_) => self.seeds,
            Method::Baseline(_) => 1,
        };
        self.cells[row][column].text(asked)
    }

    /// The table as aligned text.
    pub(super) fn text(&self) -> String {
        let mut rows = vec![vec![self.corner.to_owned()]];
        rows[0].extend(self.columns.iter().map(|c| c.title.clone()));
        for (row, name) in self.rows.iter().enumerate() {
            let cells = (0..self.columns.len()).map(|column| self.cell_text(row, column));
            rows.push(std::iter::once(name.clone()).chain(cells).collect());
        }
        console::table(&rows, &format!("<{}", ">".repeat(self.columns.len())))
    }

    /// The means, by row and column.
    pub(super) fn json(&self) -> Value {
        let rows = self.rows.iter().zip(&self.cells).map(|(name, cells)| {
            let cells = self.columns.iter().zip(cells).map(|(column, cell)| {
                let ours = cell.ours.as_ref();
                (column.title.clone(), json!(ours.map(|ours| ours.mean)))
            });
            (name.clone(), Value::Object(cells.collect()))
        });
        Value::Object(rows.collect())
    }
}

impl Cell {
    /// As [`Grid::cell_text`], of `asked` numbers.
    fn text(&self, asked: u64) -> String {
        let Some(spread) = &self.ours else {
            return "-".into();
        };
        let mut text = format!("{:.3}", spread.mean);
        if let Some(deviation) = spread.deviation {
            text += &format!(" ± {deviation:.3}");
        }
        let there = spread.values.len() as u64;
        if there < asked {
            text += &format!(" ({there} of {asked})");
        }
        text
    }
}

impl Spread {
    /// Of these numbers, `None` of none.
    pub(super) fn of(values: Vec<f64>) -> Option<Self> {
        let mean = mean(values.iter().copied())?;
        let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
        let n = values.len();
        Some(Self {
            mean,
            deviation: (n > 1).then(|| (squares / (n - 1) as f64).sqrt()),
            values,
        })
    }
}

fn by_method(study: &Study, records: &[Record], measure: &Measure<'_>) -> Grid {
    let parts = study.protocol.parts();
    let columns = study.methods.iter().map(|method| Column {
        title: method.title().into(),
        method: *method,
        volume: None,
    });
    let mut rows: Vec<String> = parts.iter().map(|part| part.name.clone()).collect();
    let mut cells: Vec<Vec<Cell>> = Vec::new();
    for (i, part) in parts.iter().enumerate() {
        let cell = |method: &Method| Cell {
            ours: over_seeds(records, *method, measure, &|r| r.part == part.name),
            paper: match method {
                Method::Network(network) if study.is_papers => study.paper.of_network(*network, i),
                _ => None,
            },
        };
        cells.push(study.methods.iter().map(cell).collect());
    }
    if parts.len() > 1 {
        rows.push("average".into());
        let cell = |method: &Method| Cell {
            ours: averages(records, *method, measure, parts.len(), &|_| true),
            paper: match method {
                Method::Network(network) if study.is_papers => {
                    study.paper.of_network(*network, study.paper.rows.len() - 1)
                }
                _ => None,
            },
        };
        cells.push(study.methods.iter().map(cell).collect());
    }
    Grid {
        corner: study.paper.corner,
        rows,
        columns: columns.collect(),
        cells,
        seeds: 1,
    }
}

fn by_setup(study: &Study, records: &[Record], measure: &Measure<'_>) -> Grid {
    use unet3d_train::experiment::Comparison;
    let parts = study.protocol.parts();
    let mut rows: Vec<String> = Vec::new();
    let mut volumes: Vec<String> = Vec::new();
    for part in parts {
        let setup = part.setup.clone().unwrap_or_default();
        if !rows.contains(&setup) {
            rows.push(setup);
        }
        if !volumes.contains(&part.name) {
            volumes.push(part.name.clone());
        }
    }
    let mut columns = Vec::new();
    for method in &study.methods {
        let column = |volume: Option<&String>| Column {
            title: format!(
                "{}, {}",
                volume.map_or("mean", String::as_str),
                method.title()
            ),
            method: *method,
            volume: volume.cloned(),
        };
        columns.extend(volumes.iter().map(|volume| column(Some(volume))));
        if volumes.len() > 1 {
            columns.push(column(None));
        }
    }
    let cell = |setup: &String, column: &Column| {
        let is_row = |r: &Record| r.setup.as_ref() == Some(setup);
        match &column.volume {
            Some(volume) => Cell {
                ours: over_seeds(records, column.method, measure, &|r| {
                    is_row(r) && r.part == *volume
                }),
                paper: None,
            },
            None => Cell {
                ours: averages(records, column.method, measure, volumes.len(), &is_row),
                paper: match column.method {
                    Method::Network(Comparison::Normalised3d) => study.paper.mean_of(setup),
                    _ => None,
                },
            },
        }
    };
    let row = |setup: &String| columns.iter().map(|column| cell(setup, column)).collect();
    Grid {
        corner: study.paper.corner,
        cells: rows.iter().map(row).collect(),
        rows,
        columns,
        seeds: 1,
    }
}

/// One number a seed, of the records that are wanted.
fn over_seeds(
    records: &[Record],
    method: Method,
    measure: &Measure<'_>,
    wanted: &dyn Fn(&Record) -> bool,
) -> Option<Spread> {
    let of = records.iter().filter(|r| r.method == method && wanted(r));
    Spread::of(of.filter_map(measure).collect())
}

/// The mean over the parts of each seed that has all of them.
pub(super) fn averages(
    records: &[Record],
    method: Method,
    measure: &Measure<'_>,
    parts: usize,
    wanted: &dyn Fn(&Record) -> bool,
) -> Option<Spread> {
    let of: Vec<&Record> = records
        .iter()
        .filter(|r| r.method == method && wanted(r))
        .collect();
    let mut seeds: Vec<Option<u64>> = of.iter().map(|r| r.seed).collect();
    seeds.sort_unstable();
    seeds.dedup();
    let whole = |seed: &Option<u64>| {
        let of: Vec<&&Record> = of.iter().filter(|r| r.seed == *seed).collect();
        (of.len() == parts).then(|| mean(of.iter().filter_map(|r| measure(r))))?
    };
    Spread::of(seeds.iter().filter_map(whole).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreads_by_hand() {
        assert_eq!(Spread::of(vec![]), None);
        let one = Spread::of(vec![0.5]).unwrap();
        assert_eq!((one.mean, one.deviation), (0.5, None));
        let three = Spread::of(vec![0.4, 0.5, 0.6]).unwrap();
        assert!((three.mean - 0.5).abs() < 1e-12);
        assert!((three.deviation.unwrap() - 0.1).abs() < 1e-12);
        let cell = Cell {
            ours: Some(three),
            paper: None,
        };
        assert_eq!(cell.text(3), "0.500 ± 0.100");
        assert_eq!(cell.text(5), "0.500 ± 0.100 (3 of 5)");
        assert_eq!(Cell::default().text(1), "-");
    }
}
