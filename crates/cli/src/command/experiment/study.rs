//! An experiment from plan to tables: all runs, one after the other.
//!
//! What can be refused is refused before the first run: settings, memory, results
//! of another configuration in the folder. A run that is finished is a file in
//! `runs/`; one that is not has a folder there, as `train` keeps it, and goes on
//! from its last checkpoint. The tables are written again after every run.

use std::time::Instant;

use serde_json::{Value, json};
use unet3d_train::experiment::Protocol;
use unet3d_train::lock::Lock;
use unet3d_train::{Case, Error, TrainConfig};

use super::flags::Common;
use super::grid::Layout;
use super::markdown::budget_text;
use super::method::Method;
use super::paper;
use super::plan::{Plan, Run};
use super::record::{self, Record};
use super::tables::{self, Tables};
use super::watch::{Pace, Watch};
use super::work::Work;
use crate::command::End;
use crate::console::{self, Console};
use crate::interrupt::Interrupt;
use crate::output;
use crate::results::Results;

/// What an experiment consists of.
pub(super) struct Study {
    /// As the command line calls it.
    pub(super) name: &'static str,
    /// Heading of the results.
    pub(super) title: String,
    /// Settings of the protocol; a change of them makes other results.
    pub(super) settings: Value,
    /// What is compared.
    pub(super) methods: Vec<Method>,
    /// Who learns from what.
    pub(super) protocol: Box<dyn Protocol>,
    /// How the table is laid out.
    pub(super) layout: Layout,
    /// What the paper found.
    pub(super) paper: paper::Table,
    /// Whether the parts are made as the paper's were, so that its numbers may
    /// stand beside ours.
    pub(super) is_papers: bool,
    /// How the numbers came about, a sentence or two each.
    pub(super) notes: Vec<String>,
}

/// Plans, runs what is not finished yet, and writes the tables.
///
/// # Errors
/// Where anything is refused before the first run, or a run fails.
pub(super) fn run(
    study: Study,
    common: &Common,
    base: &TrainConfig,
    cases: Vec<Case>,
) -> anyhow::Result<End> {
    let started = Instant::now();
    let console = Console::new(common.json.json);
    let engine = common.machine.engine()?;
    let threads = common.machine.start_threads()?;
    let background = common.background(&cases[0].labels.classes)?;
    let plan = Plan::new(&study, common.seeds, base, &cases, engine, &threads)?;
    // Before anything is read or written: two experiments would mix their runs.
    let lock = Lock::take(&common.out)?;
    lock.note().into_iter().for_each(|note| console.note(note));
    let folder = common.out.join("runs");
    let about = common.out.join(record::ABOUT);
    record::check_folder(&common.out, &plan.about, &tables::FILES)?;
    let path = |run: &Run| folder.join(format!("{}.json", run.name));
    let mut records = Vec::new();
    for run in &plan.runs {
        records.push(Record::read(&path(run), &run.configuration)?);
    }
    output::check_folder(&folder)?;
    output::write_file(&about, &serde_json::to_vec_pretty(&plan.about)?)?;

    let kept = records.iter().flatten().count();
    let mut pace = Pace::new(base.budget.minutes);
    for record in records.iter().flatten() {
        if let Some(training_s) = record.training_s {
            pace.add(record.method, training_s + record.prediction_s);
        }
    }
    tell(&study, &plan, kept, base, console);
    let interrupt = Interrupt::listen()?;
    let mut watch = Watch::new(console, interrupt.clone(), pace);
    let write = |records: &[Option<Record>], failures: &[String], teller: Option<Console>| {
        let finished: Vec<Record> = records.iter().flatten().cloned().collect();
        let tables = Tables {
            study: &study,
            records: &finished,
            planned: plan.runs.len(),
            background,
            cases: &cases,
            common,
            budget: base.budget,
            failures,
        };
        tables.write()?;
        if let Some(console) = teller {
            tables.tell(console)?;
        }
        anyhow::Ok(tables.mean_iou())
    };
    let mut failures = Vec::new();
    for (i, run) in plan.runs.iter().enumerate() {
        if records[i].is_some() || interrupt.asked() {
            continue;
        }
        let is_later = |j: &usize| *j > i && records[*j].is_none();
        let later = (0..plan.runs.len()).filter(is_later);
        let later = later.map(|j| plan.runs[j].method).collect();
        let label = study.label(run);
        watch.begin(
            format!("run {} of {}, {label}", i + 1, plan.runs.len()),
            later,
        );
        let run_started = Instant::now();
        let work = Work {
            study: &study,
            cases: &cases,
            folder: folder.join(&run.name),
            annotated_share: plan.annotated[run.part],
            engine,
            threads: &threads,
        };
        match work.make(run, &mut watch) {
            Ok(None) => break,
            Ok(Some(record)) => {
                let mut results = Results::new(console);
                results.keep(&path(run), |path| record.write(path));
                results.finish()?;
                work.clear()?;
                watch.end(run.method, run_started.elapsed().as_secs_f64());
                records[i] = Some(record);
                write(&records, &failures, None)?;
            }
            // The other networks may well learn; what they did is not thrown away.
            Err(error) if matches!(error.downcast_ref(), Some(Error::Diverged { .. })) => {
                failures.push(format!("{label}: {error}"));
                write(&records, &failures, None)?;
            }
            Err(error) => return Err(error.context(label)),
        }
    }
    watch.close();

    let finished = records.iter().flatten().count();
    let grid = write(&records, &failures, Some(console))?;
    for failure in &failures {
        console.note(format_args!("Failed: {failure}"));
    }
    let stopped = interrupt.asked() && finished < plan.runs.len();
    if stopped {
        console.note(format_args!(
            "Interrupted; {finished} of {} finished and kept. Give the same command again to go on.",
            console::counted(plan.runs.len(), "run")
        ));
    }
    console.json(&json!({
        "experiment": study.name,
        "out": console::shown(&common.out),
        "runs": plan.runs.len(),
        "finished": finished,
        "failed": failures,
        "mean_iou": grid.json(),
        "elapsed_s": started.elapsed().as_secs_f64(),
        "interrupted": stopped,
        "peak_bytes": plan.peak_bytes,
    }))?;
    Ok(match (stopped, failures.is_empty()) {
        (true, _) => End::Interrupted,
        (false, true) => End::Done,
        (false, false) => End::FoundErrors,
    })
}

impl Study {
    /// `subset 1, 3D with BN, seed 0`.
    fn label(&self, run: &Run) -> String {
        let part = &self.protocol.parts()[run.part];
        let setup = part.setup.as_ref();
        let setup = setup.map_or(String::new(), |setup| format!(", slices {setup}"));
        let seed = run
            .seed
            .map_or(String::new(), |seed| format!(", seed {seed}"));
        format!("{}{setup}, {}{seed}", part.name, run.method.title())
    }
}

/// What is about to happen.
fn tell(study: &Study, plan: &Plan, kept: usize, base: &TrainConfig, console: Console) {
    let runs = plan.runs.len();
    let networks = plan.runs.iter().filter(|run| run.config.is_some()).count();
    let budget = budget_text(&base.budget);
    console.note(format_args!(
        "{}: {}, {} to train, {budget} each. {kept} of {} finished already.",
        study.title,
        console::counted(study.protocol.parts().len(), "part"),
        console::counted(networks, "network"),
        console::counted(runs, "run"),
    ));
    console.note(format_args!(
        "Memory at most {}.",
        console::bytes(plan.peak_bytes)
    ));
}
