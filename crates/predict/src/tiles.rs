//! Which tiles a volume is predicted in, and how much memory that takes.
//!
//! Comes in: the model, the shape of the volume, a limit for memory or a tile.
//! Leaves: a [`Tiling`], known and printable before the first step of work.
//!
//! Without padding, a tile's output is smaller than its input by the context
//! the network needs, and outputs join seamlessly. With padding, outputs near a
//! tile's border have seen zeros instead of the volume, so tiles overlap by
//! half of the receptive field and only what is right is used. See `axis`.

use unet3d_kernels::Threads;
use unet3d_unet::{Mode, NOMINAL_THREADS, Normalisation, Plan};
use unet3d_volume::Label;

use crate::axis::{AxisRule, Span};
use crate::uncertainty::Mirrors;
use crate::{Error, Model, Options};

/// Memory that prediction takes where none is said: leaves room for everything
/// else on a computer with 8 GiB, and the paper's network then computes about
/// a third of what it does at the tile of the paper.
pub const DEFAULT_MEMORY_BYTES: u64 = 4 << 30;

/// The tiles of one volume. Made before any work, so that it can be shown.
#[derive(Clone, Debug)]
pub struct Tiling {
    input: [usize; 3],
    output: [usize; 3],
    peak_bytes: u64,
    axes: [Vec<Span>; 3],
}

/// One tile; all in voxels along `[z, y, x]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tile {
    /// Where the tile's input begins in the volume; negative in the mirrored
    /// context before it.
    pub input_start: [isize; 3],
    /// First voxel of the volume that this tile decides.
    pub keep_start: [usize; 3],
    /// How many voxels it decides.
    pub keep_shape: [usize; 3],
    /// Where those begin in the tile's output.
    pub first_output: [usize; 3],
}

impl Tiling {
    /// Chooses the tiles for a volume of `shape` (`[z, y, x]`).
    ///
    /// With `options.tile` that tile, or as much of it as the volume needs; else the legal tile that fits into
    /// `options.memory_bytes` and computes the fewest voxels in all.
    ///
    /// # Errors
    /// When the tile asked for is illegal (the nearest legal sizes are named)
    /// or too small to advance, or the memory does not suffice.
    pub fn new(
        model: &Model,
        shape: [usize; 3],
        options: &Options,
        threads: &Threads,
    ) -> Result<Self, Error> {
        let rules = AxisRule::of(&model.network);
        let fixed = fixed_bytes(model, shape, options);
        let bytes = |tile: [usize; 3], threads: usize| -> Result<u64, Error> {
            let plan = Plan::new(&model.network, 1, tile, Mode::Predict, threads)?
                .with_method(&model.network, options.engine.method);
            let output = model.network.output_shape(tile)?;
            let mirrors = match options.mirrored {
                true => Mirrors::bytes(tile, output, model.network.config()),
                false => 0,
            };
            Ok(fixed + plan.peak_bytes() + mirrors)
        };
        let input = match options.tile {
            Some(tile) => {
                model.network.output_shape(tile)?;
                // Beyond the volume there is nothing but its mirror image.
                [0, 1, 2].map(|a| tile[a].min(rules[a].whole(shape[a])))
            }
            None => {
                let memory = options.memory_bytes.unwrap_or(DEFAULT_MEMORY_BYTES);
                let sizes = sizes(model, &rules, shape);
                choose(&rules, &sizes, shape, memory, |tile| {
                    bytes(tile, NOMINAL_THREADS)
                })?
            }
        };
        let axes = [0, 1, 2].map(|a| spans(&rules[a], a, shape[a], input[a]));
        let [z, y, x] = axes;
        let tiling = Self {
            input,
            output: model.network.output_shape(input)?,
            peak_bytes: bytes(input, threads.count())?,
            axes: [z?, y?, x?],
        };
        match options.memory_bytes {
            Some(given) if given < tiling.peak_bytes => Err(Error::Memory {
                given,
                needed: tiling.peak_bytes,
                tile: input,
            }),
            _ => Ok(tiling),
        }
    }

    /// Input of every tile, voxels along `[z, y, x]`.
    pub fn input_shape(&self) -> [usize; 3] {
        self.input
    }

    /// Output of every tile, voxels along `[z, y, x]`.
    pub fn output_shape(&self) -> [usize; 3] {
        self.output
    }

    /// Memory that prediction takes at most: network, tile and results; not
    /// the image, which the caller has.
    pub fn peak_bytes(&self) -> u64 {
        self.peak_bytes
    }

    /// Number of tiles.
    pub fn count(&self) -> usize {
        self.axes.iter().map(Vec::len).product()
    }

    /// The tiles, x fastest.
    pub fn tiles(&self) -> impl Iterator<Item = Tile> {
        let [_, ny, nx] = [0, 1, 2].map(|a| self.axes[a].len());
        (0..self.count()).map(move |i| {
            let at = [i / nx / ny, i / nx % ny, i % nx];
            let span = |axis: usize| &self.axes[axis][at[axis]];
            Tile {
                input_start: [0, 1, 2].map(|a| span(a).input_start),
                keep_start: [0, 1, 2].map(|a| span(a).keep.start),
                keep_shape: [0, 1, 2].map(|a| span(a).keep.len()),
                first_output: [0, 1, 2].map(|a| span(a).first_output),
            }
        })
    }
}

/// Results and parameters, which do not depend on the tile.
fn fixed_bytes(model: &Model, shape: [usize; 3], options: &Options) -> u64 {
    let voxels: u64 = shape.iter().map(|n| *n as u64).product();
    let classes = model.network.config().classes;
    let probabilities = if options.probabilities {
        classes * size_of::<f32>()
    } else {
        0
    };
    let uncertainty = if options.uncertainty {
        size_of::<f32>()
    } else {
        0
    };
    let parameters = model.parameters.values.len() + model.parameters.running.len();
    options.held_bytes
        + voxels * (size_of::<Label>() + probabilities + uncertainty) as u64
        + (parameters * size_of::<f32>()) as u64
}

fn spans(rule: &AxisRule, axis: usize, voxels: usize, tile: usize) -> Result<Vec<Span>, Error> {
    rule.spans(voxels, tile).ok_or_else(|| Error::TileTooSmall {
        axis: ['z', 'y', 'x'][axis],
        voxels,
        tile,
        lost: rule.lost(),
        smallest: rule.smallest_tile(voxels),
    })
}

/// The sizes that a tile may have along each axis.
///
/// A 2D network sees each slice by itself, but for a normalisation by the
/// statistics of what is being computed: these must be those of as many slices
/// as in training, or it predicts under others than it learned with.
fn sizes(model: &Model, rules: &[AxisRule; 3], shape: [usize; 3]) -> [Vec<usize>; 3] {
    use Normalisation::{BatchCurrent, Instance};
    let normalisation = model.network.config().normalisation;
    let by_tile = matches!(normalisation, BatchCurrent | Instance);
    [0, 1, 2].map(|a| match by_tile && rules[a].is_flat() {
        true => vec![model.pipeline.patch[a].clamp(1, shape[a].max(1))],
        false => rules[a].candidates(shape[a]),
    })
}

/// The legal tile within `memory` that computes the fewest voxels in all, of
/// equals the largest.
fn choose(
    rules: &[AxisRule; 3],
    sizes: &[Vec<usize>; 3],
    shape: [usize; 3],
    memory: u64,
    bytes: impl Fn([usize; 3]) -> Result<u64, Error>,
) -> Result<[usize; 3], Error> {
    let computed = |tile: [usize; 3]| -> (u128, usize) {
        let tiles = [0, 1, 2].map(|a| rules[a].count(shape[a], tile[a]).unwrap_or(usize::MAX));
        let all = (0..3).map(|a| tiles[a] as u128 * tile[a] as u128).product();
        (all, tiles.iter().product())
    };
    let mut tiles = Vec::with_capacity(sizes.iter().map(Vec::len).product());
    for &z in &sizes[0] {
        for &y in &sizes[1] {
            tiles.extend(sizes[2].iter().map(|&x| [z, y, x]));
        }
    }
    let voxels = |tile: &[usize; 3]| tile.iter().product::<usize>();

    // Making a plan takes a while and there may be thousands of tiles. Memory grows
    // with a tile's voxels, if not by them alone (a deeper tile may be one that is cut
    // into slabs): bisect for the largest that fits, then look only at tiles little
    // larger than that. All that is chosen fits; a better one of unusual shape may be
    // missed.
    tiles.sort_by_key(voxels);
    let (mut fits, mut too_large) = (0, tiles.len());
    let needed = bytes(tiles[0])?;
    if needed > memory {
        return Err(Error::Memory {
            given: memory,
            needed,
            tile: tiles[0],
        });
    }
    while too_large - fits > 1 {
        let middle = fits.midpoint(too_large);
        if bytes(tiles[middle])? <= memory {
            fits = middle;
        } else {
            too_large = middle;
        }
    }
    // An eighth more, for plans of equal volume but other shape.
    let limit = voxels(&tiles[fits]).saturating_add(voxels(&tiles[fits]) / 8);
    tiles.retain(|t| voxels(t) <= limit);
    tiles.sort_by_key(|t| computed(*t));
    for tile in &tiles {
        if bytes(*tile)? <= memory {
            return Ok(*tile);
        }
    }
    Ok(tiles[0])
}
