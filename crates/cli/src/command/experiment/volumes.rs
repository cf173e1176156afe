//! `experiment volumes`: table 3 of the paper.

use anyhow::{Context, bail};
use clap::Args;
use serde_json::json;
use unet3d_train::Case;
use unet3d_train::experiment::{self, Baseline, Comparison};

use super::data::Data;
use super::flags::{Common, after_help};
use super::grid::Layout;
use super::method::methods;
use super::paper;
use super::study::{self, Study};
use crate::command::End;
use crate::console::counted;

const HELP: &str = "\
Examples:
  unet3d experiment volumes a.tif a-labels.tif b.tif b-labels.tif c.tif c-labels.tif \\
      --unlabeled 0 -o volumes --minutes 10
  unet3d experiment volumes hippocampus/ -o volumes --folds 5 --iterations 1000

Each volume is left out in turn: networks learn from the others and are scored on all
that is annotated in it. Volumes of one subject (split.tsv, or `subject` in a list of
cases) or of one group (--groups) are left out together; --folds K leaves out every
K-th group at once, for data sets of many; --split uses the data set's own split
once. --slices thins out what is learned from, not what is tested. Beside the
networks stands the location prior: the class most frequent at the same place in the
training volumes.";

/// Learn from some volumes, test on the others (the paper's table 3)
#[derive(Args, Debug)]
#[command(after_help = after_help(HELP))]
pub(super) struct Volumes {
    /// Leave out every K-th group at a time [default: each by itself]
    #[arg(long, value_name = "K", conflicts_with = "split")]
    folds: Option<usize>,

    /// The group of each volume, in the order in which they are named
    #[arg(
        long,
        value_name = "NAME,...",
        value_delimiter = ',',
        conflicts_with = "split"
    )]
    groups: Vec<String>,

    /// Test what split.tsv, or the list of cases, calls validate; learn from the rest
    #[arg(long)]
    split: bool,

    #[command(flatten)]
    common: Common,
}

impl Volumes {
    /// Plans and runs.
    pub(super) fn run(self) -> anyhow::Result<End> {
        let base = self.common.base()?;
        let data = self.common.data.read(&base.normalise)?;
        let slices = self.common.data.slices;
        let mut notes = vec![
            "Scored is all that is annotated in the volumes left out; where several are, the mean over them.".into(),
            "The location prior is the class most frequent at the same place in the training volumes, brought to the shape of the tested one."
                .into(),
        ];
        let (protocol, settings) = if self.split {
            let own = data.split.as_ref().context(
                "--split: the volumes come without a split. Give a data set with a split.tsv, a list of cases that says \
                 of each what it is for, or --folds.",
            )?;
            let tested = own.is_validate.iter().filter(|is| **is).count();
            notes.push(format!(
                "Learned from {}, tested on {tested}, {}.",
                counted(own.is_validate.len() - tested, "volume"),
                own.how
            ));
            let names = data.cases.iter().zip(&own.is_validate);
            let names: Vec<_> = names
                .filter(|(_, is)| **is)
                .map(|(case, _)| &case.name)
                .collect();
            let settings = json!({ "split": names, "slices_zyx": slices });
            (
                experiment::Volumes::once(&own.is_validate, slices)?,
                settings,
            )
        } else {
            let groups = self.groups_of(&data)?;
            let settings = json!({ "groups": groups, "folds": self.folds, "slices_zyx": slices });
            let protocol = experiment::Volumes::leave_out(&groups, self.folds, slices)?;
            (protocol, settings)
        };
        if let Some([z, y, x]) = slices {
            notes.push(format!(
                "Of each training volume z={z}, y={y}, x={x} evenly spaced slices are learned from."
            ));
        }
        let study = Study {
            name: "volumes",
            title: format!(
                "Learning from some of {}, testing on others",
                counted(data.cases.len(), "volume")
            ),
            settings,
            methods: methods(
                &self.common.networks(&Comparison::ALL),
                &[Baseline::LocationPrior],
            ),
            // One of three volumes is left out.
            is_papers: data.cases.len() == 3
                && protocol.tested().len() == 3
                && protocol.tested().iter().all(|cases| cases.len() == 1),
            protocol: Box::new(protocol),
            layout: Layout::ByMethod,
            paper: paper::VOLUMES,
            notes,
        };
        study::run(study, &self.common, &base, data.cases)
    }

    /// The group of each case: as the flag says, else its subject, else itself.
    fn groups_of(&self, data: &Data) -> anyhow::Result<Vec<String>> {
        let cases = &data.cases;
        if self.groups.is_empty() {
            let group = |case: &Case| case.subject.clone().unwrap_or_else(|| case.name.clone());
            return Ok(cases.iter().map(group).collect());
        }
        if self.groups.len() != cases.len() {
            bail!(
                "--groups names {} for {}, one each is needed, in order: {}.",
                counted(self.groups.len(), "group"),
                counted(cases.len(), "volume"),
                cases
                    .iter()
                    .map(|c| c.name.as_str())
                    .collect::<Vec<_>>()
                    .join(", ")
            );
        }
        Ok(self.groups.clone())
    }
}
