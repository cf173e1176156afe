//! `experiment slices-count`: table 2 of the paper.

use clap::Args;
use serde_json::json;
use unet3d_train::experiment::{self, Baseline, Comparison, PAPER_SETUPS};

use super::flags::{Common, after_help};
use super::grid::Layout;
use super::method::methods;
use super::paper;
use super::study::{self, Study};
use crate::command::End;
use crate::parse;

const HELP: &str = "\
Examples:
  unet3d experiment slices-count image.tif truth.tif --dense -o count --minutes 10
  unet3d experiment slices-count image.tif labels.tif --unlabeled 0 -o count \\
      --setup z=1,y=1,x=1 --setup z=2,y=2,x=2

A network is trained on each volume under each set-up, by default the paper's four:
1,1,1 / 2,2,1 / 3,3,2 / 5,5,3 slices of the planes yz, xz, xy, that is across x, y, z.
The largest set-up's slices are evenly spaced among those annotated; each smaller one's
are among the next larger one's: the middle one first, then the outer ones, then those
between. All set-ups are scored on the same voxels: where the whole volume is annotated,
those on no set-up's slices; else the annotated slices that no set-up uses.
Beside the networks stands shape-based interpolation, which learns nothing.";

/// How many annotated slices it takes, each volume by itself (table 2)
#[derive(Args, Debug)]
#[command(after_help = after_help(HELP))]
pub(super) struct SlicesCount {
    /// A set-up: slices across each direction. Give it once for each set-up
    /// [default: the paper's four]
    #[arg(long = "setup", value_name = "z=N,y=N,x=N", value_parser = parse::slices)]
    setups: Vec<[usize; 3]>,

    #[command(flatten)]
    common: Common,
}

impl SlicesCount {
    /// Plans and runs.
    pub(super) fn run(self) -> anyhow::Result<End> {
        let base = self.common.base()?;
        let data = self.common.data.read_thinned(&base.normalise)?;
        let setups = match self.setups.is_empty() {
            true => PAPER_SETUPS.to_vec(),
            false => self.setups.clone(),
        };
        let protocol = experiment::SlicesCount::new(&data.cases, &setups)?;
        let study = Study {
            name: "slices-count",
            title: "How many annotated slices it takes".into(),
            settings: json!({ "setups_zyx": setups, "slices_zyx": self.common.data.slices }),
            methods: methods(
                &self.common.networks(&[Comparison::Normalised3d]),
                &[Baseline::Interpolation],
            ),
            protocol: Box::new(protocol),
            layout: Layout::BySetup,
            paper: paper::SLICES_COUNT,
            // The set-ups that it has are found by their names.
            is_papers: true,
            notes: vec![
                "A network for each volume and set-up. Set-ups name slices of the planes yz, xz, xy (across x, y, z), as the paper does; a smaller set-up's slices are among a larger one's."
                    .into(),
                "All set-ups of a volume are scored on the same voxels: where all of it is annotated, those on no slice of the largest set-up; else the annotated slices that none uses, crossings included."
                    .into(),
                "The paper's third volume has four yz slices, so its 5,5,3 cannot be meant literally there."
                    .into(),
            ],
        };
        study::run(study, &self.common, &base, data.cases)
    }
}
