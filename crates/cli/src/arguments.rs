//! The arguments of the program and those that several commands share.

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Parser, ValueEnum};
use unet3d_kernels::conv3d::Method;
use unet3d_kernels::{Isa, Threads};
use unet3d_unet::Engine;

use crate::command::Command;
use crate::parse;

/// Dense 3D segmentation from a few annotated slices: the 3D U-Net as one program.
#[derive(Parser, Debug)]
#[command(
    name = "unet3d",
    version,
    arg_required_else_help = true,
    after_help = "\
Start here:
  unet3d demo                                        see the whole job on a built-in phantom
  unet3d fill image.tif labels.tif -o dense.tif --unlabeled 0
                                                     segment a volume from its annotated slices
  unet3d train data/ -o run/ && unet3d predict run/ new.nii.gz -o new-labels.nii.gz

Each command explains itself: unet3d fill --help"
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Whether there is a report, and where.
#[derive(Args, Clone, Debug)]
pub(crate) struct ReportFlags {
    /// Where to write the report, a page with pictures for a browser [default: beside
    /// the result, or in its folder, ending in .html]
    #[arg(long, value_name = "FILE", conflicts_with = "no_report")]
    pub(crate) report: Option<PathBuf>,

    /// Write no report
    #[arg(long)]
    pub(crate) no_report: bool,
}

impl ReportFlags {
    /// Where the report goes, `default` where nobody says; `None` where none is wanted.
    pub(crate) fn path(&self, default: impl FnOnce() -> PathBuf) -> Option<PathBuf> {
        (!self.no_report).then(|| self.report.clone().unwrap_or_else(default))
    }
}

/// Options of every command that computes.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Machine")]
pub(crate) struct Machine {
    /// Number of threads; 0 takes one for each core. Results are the same bits
    /// for any number
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) threads: usize,

    /// Memory that the work may take, for example 12GiB or 800MB
    /// [default: 4GiB]
    #[arg(long, value_name = "SIZE", value_parser = parse::memory)]
    pub(crate) memory: Option<u64>,

    /// Vector instructions: portable, avx2, avx512 or neon [default: what the
    /// variable UNET3D_ISA says, else the best of this machine]
    #[arg(long, value_name = "NAME")]
    pub(crate) isa: Option<String>,

    /// How 3x3x3 kernels are convolved: by the fastest way, or by the plain sum,
    /// to compare with; the two agree to rounding
    #[arg(
        long,
        value_enum,
        value_name = "WAY",
        default_value_t,
        hide_short_help = true
    )]
    pub(crate) convolution: Convolution,
}

/// How to convolve.
#[derive(ValueEnum, Clone, Copy, Debug, Default)]
pub(crate) enum Convolution {
    /// Winograd's transforms where they pay
    #[default]
    Fastest,
    /// The sum as it is defined: a training takes nearly twice as long, and a
    /// prediction more memory
    Direct,
}

impl Convolution {
    fn method(self) -> Method {
        match self {
            Self::Fastest => Method::Fastest,
            Self::Direct => Method::Direct,
        }
    }
}

impl Machine {
    /// The vector instructions that are wanted, without a profile.
    ///
    /// # Errors
    /// Where this machine does not have them.
    pub(crate) fn engine(&self) -> anyhow::Result<Engine> {
        const VARIABLE: &str = "UNET3D_ISA";
        let method = self.convolution.method();
        let variable = std::env::var_os(VARIABLE).filter(|name| !name.is_empty());
        let (name, from) = match (&self.isa, variable) {
            (Some(name), _) => (name.clone(), "--isa"),
            (None, Some(name)) => (name.to_string_lossy().into_owned(), VARIABLE),
            (None, None) => {
                return Ok(Engine {
                    method,
                    ..Engine::default()
                });
            }
        };
        let isa: Isa = name.parse().map_err(anyhow::Error::msg).context(from)?;
        Ok(Engine {
            isa,
            method,
            profile: false,
        })
    }

    /// Starts the threads.
    ///
    /// # Errors
    /// Where the operating system refuses.
    pub(crate) fn start_threads(&self) -> anyhow::Result<Threads> {
        /// More threads than any one machine has cores: a slip of the hand.
        const MOST: usize = 1024;
        anyhow::ensure!(
            self.threads <= MOST,
            "--threads is {}, at most {MOST} are possible. Leave it out to take one for each core.",
            self.threads
        );
        Threads::new(self.threads)
            .map_err(|e| anyhow::anyhow!("--threads {}: {e}. Ask for fewer.", self.threads))
    }
}

/// Whether to measure each layer.
#[derive(Args, Clone, Debug)]
pub(crate) struct ProfileFlag {
    /// Print, at the end and on standard error, the time of each layer beside what
    /// this machine could do
    #[arg(long)]
    pub(crate) profile: bool,
}

/// Where the result goes and whether it is told as JSON.
#[derive(Args, Clone, Debug)]
pub(crate) struct Json {
    /// Print one JSON object on standard output, all else on standard error
    #[arg(long)]
    pub(crate) json: bool,
}

/// The seed.
#[derive(Args, Clone, Debug)]
pub(crate) struct Seed {
    /// Seed of all randomness: the same seed, data and options give the same bits
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,
}

/// Whether results may take the place of files.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Overwrite {
    /// Replace files that exist; without it they are spared, and nothing is done
    #[arg(long)]
    pub(crate) overwrite: bool,
}

/// A volume to be written.
#[derive(Args, Clone, Debug)]
pub(crate) struct Out {
    /// File to write; its ending chooses the format (.nii, .nii.gz, .tif, .npy)
    #[arg(short, long, value_name = "OUT")]
    pub(crate) out: PathBuf,
}
