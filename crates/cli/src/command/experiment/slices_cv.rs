//! `experiment slices-cv`: table 1 of the paper.

use clap::Args;
use serde_json::json;
use unet3d_train::experiment::{self, Baseline, Comparison};

use super::flags::{Common, after_help};
use super::grid::Layout;
use super::method::methods;
use super::paper;
use super::study::{self, Study};
use crate::command::End;
use crate::console::counted;

const HELP: &str = "\
Examples:
  unet3d experiment slices-cv image.tif labels.tif --unlabeled 0 -o cv --minutes 5
  unet3d experiment slices-cv a.tif a-truth.tif b.tif b-truth.tif --dense \\
      --slices z=21,y=5,x=7 -o cv --iterations 2000 --seeds 3

The annotated slices of all volumes are pooled and parted into folds; slice i is in
fold i mod K. The slices of one fold are made unlabeled, one network learns from
the rest of all volumes, and the fold's slices score it: 3D without and with batch
normalisation, the 2D counterpart, and, without learning, shape-based interpolation
between the slices that are left. A voxel where a held-out slice crosses another is
held out.";

/// Cross-validation over the annotated slices of all volumes (the paper's table 1)
#[derive(Args, Debug)]
#[command(after_help = after_help(HELP))]
pub(super) struct SlicesCv {
    /// Parts that the slices are divided into
    #[arg(long, value_name = "K", default_value_t = 3)]
    folds: usize,

    #[command(flatten)]
    common: Common,
}

impl SlicesCv {
    /// Plans and runs.
    pub(super) fn run(self) -> anyhow::Result<End> {
        let base = self.common.base()?;
        let data = self.common.data.read_thinned(&base.normalise)?;
        let protocol = experiment::SlicesCv::new(&data.cases, self.folds)?;
        let slices: usize = protocol.folds().iter().map(Vec::len).sum();
        let study = Study {
            name: "slices-cv",
            title: format!(
                "Cross-validation over {} of {}",
                counted(slices, "annotated slice"),
                counted(data.cases.len(), "volume")
            ),
            settings: json!({ "folds": self.folds, "slices_zyx": self.common.data.slices }),
            methods: methods(
                &self.common.networks(&Comparison::ALL),
                &[Baseline::Interpolation],
            ),
            protocol: Box::new(protocol),
            layout: Layout::ByMethod,
            paper: paper::SLICES_CV,
            is_papers: self.folds == 3,
            notes: vec![
                "One network learns from all volumes; scored are the slices of the fold, over all their voxels together."
                    .into(),
                "A voxel where a held-out slice crosses one that is learned from counts as held out: it is unlabeled in training."
                    .into(),
                "The 2D network learns from z slices alone; of the other directions' slices it sees the lines in which they cross these."
                    .into(),
            ],
        };
        study::run(study, &self.common, &base, data.cases)
    }
}
