//! How large a patch is and how many make a batch where nobody said: from the
//! volumes, their spacing, the network and the memory.

use unet3d_unet::{Mode, NOMINAL_THREADS, Network, Padding, Plan, SizeError};

use crate::{Case, Error};

/// Edge of a patch in voxels where the volume is large and isotropic and
/// convolutions keep the size: enough context for structures of tens of voxels
/// at a fraction of a second a step.
const SAME_EDGE: f64 = 64.0;

/// The same where convolutions shrink: the paper's 132 x 132 x 116 is about this
/// much, of which 44 x 44 x 28 is predicted.
const VALID_EDGE: f64 = 126.0;

/// Training memory where none is said; leaves room on a computer with 8 GiB.
pub(crate) const DEFAULT_MEMORY_BYTES: u64 = 4 << 30;

/// Input of the network in training, voxels along `[z, y, x]`.
///
/// Edges have about equal length in mm and about the volume of a cube of 64
/// (valid convolutions: 126) voxels' edge; an axis on which the median case is
/// shorter gives its share to the others. Then the longest edge shrinks until
/// the plan of `batch` of them fits into half of the memory (parameters, data
/// and batches want the rest).
///
/// # Errors
/// When not even the smallest legal patch fits.
pub fn choose(
    network: &Network,
    cases: &[Case],
    memory_bytes: Option<u64>,
    batch: usize,
) -> Result<[usize; 3], Error> {
    let valid = network.config().padding == Padding::Valid;
    let (edge, margin) = match valid {
        // What shrinks away may lie outside the volume, mirrored.
        true => (VALID_EDGE, [0, 1, 2].map(|axis| network.margin(axis))),
        false => (SAME_EDGE, [0; 3]),
    };
    let flat = [0, 1, 2].map(|axis| network.is_flat(axis));
    let shape = [0, 1, 2].map(|axis| {
        if flat[axis] {
            return 1;
        }
        median(cases.iter().map(|c| c.image.geometry.shape[axis])) + margin[axis]
    });
    let spacing = spacing(cases);
    let mut patch = [0, 1, 2].map(|axis| network.legal_size(axis, 1));
    for (axis, size) in extents(shape, spacing, flat, edge).into_iter().enumerate() {
        // Better a little mirrored border than a strip that is never seen whole.
        patch[axis] = network.legal_size(axis, size);
    }
    let allowed = for_plan(memory_bytes);
    loop {
        let needed = plan_bytes(network, batch, patch)?;
        if needed <= allowed {
            return Ok(patch);
        }
        let shorter = |axis: usize| (1..patch[axis]).rev().find(|n| network.is_legal(axis, *n));
        let longest = (0..3)
            .filter(|axis| shorter(*axis).is_some())
            .max_by_key(|axis| patch[*axis]);
        match longest.and_then(|axis| Some((axis, shorter(axis)?))) {
            Some((axis, size)) => patch[axis] = size,
            None => {
                return Err(Error::config(
                    "memory",
                    format!("{} MiB", (2 * allowed) >> 20),
                    format!(
                        "the smallest patch of this network, {patch:?}, needs {} MiB in batches of {batch}. \
                         Allow more memory, or take a smaller preset or batch",
                        (2 * needed) >> 20
                    ),
                ));
            }
        }
    }
}

/// Patches in a batch: as many as make up the usual patch, at most 4, and
/// fewer where their plan does not fit into half of the memory.
///
/// # Errors
/// When the patch is none that the network can have.
pub fn batch_for(
    network: &Network,
    patch: [usize; 3],
    memory_bytes: Option<u64>,
) -> Result<usize, Error> {
    let mut batch = usual_batch(network, patch);
    while batch > 1 && plan_bytes(network, batch, patch)? > for_plan(memory_bytes) {
        batch -= 1;
    }
    Ok(batch)
}

/// The share of the memory that a plan chosen here may take.
fn for_plan(memory_bytes: Option<u64>) -> u64 {
    memory_bytes.unwrap_or(DEFAULT_MEMORY_BYTES) / 2
}

/// Reckoned for the same number of threads on every machine, so that the choice
/// is the same everywhere.
fn plan_bytes(network: &Network, batch: usize, patch: [usize; 3]) -> Result<u64, SizeError> {
    Ok(Plan::new(network, batch, patch, Mode::Train, NOMINAL_THREADS)?.peak_bytes())
}

fn usual_batch(network: &Network, patch: [usize; 3]) -> usize {
    let edge = match network.config().padding {
        Padding::Valid => VALID_EDGE,
        Padding::Same => SAME_EDGE,
    };
    // A patch may be beyond all memory: it is refused by its plan.
    let voxels: f64 = patch.iter().map(|n| *n as f64).product();
    (edge.powi(3) / voxels).round().clamp(1.0, 4.0) as usize
}

/// Edges of equal length in mm, together `edge` cubed voxels, none longer than
/// the volume.
fn extents(shape: [usize; 3], spacing: [f64; 3], flat: [bool; 3], edge: f64) -> [usize; 3] {
    let mut sizes: [f64; 3] = [0.0; 3];
    let mut fixed = flat;
    for axis in 0..3 {
        if flat[axis] {
            sizes[axis] = 1.0;
        }
    }
    // At most three axes become fixed, one or more a round.
    for _ in 0..3 {
        let taken: f64 = (0..3).filter(|a| fixed[*a]).map(|a| sizes[a]).product();
        let free: Vec<usize> = (0..3).filter(|a| !fixed[*a]).collect();
        let Some(power) = (!free.is_empty()).then(|| 1.0 / free.len() as f64) else {
            break;
        };
        let per_voxel: f64 = free.iter().map(|a| spacing[*a]).product();
        let edge_mm = (edge.powi(3) / taken * per_voxel).powf(power);
        let mut changed = false;
        for axis in free {
            sizes[axis] = edge_mm / spacing[axis];
            if sizes[axis] > shape[axis] as f64 {
                sizes[axis] = shape[axis] as f64;
                (fixed[axis], changed) = (true, true);
            }
        }
        if !changed {
            break;
        }
    }
    // A thin volume does not make the other edges endless.
    [0, 1, 2].map(|a| sizes[a].min(2.0 * edge).round() as usize)
}

/// Median spacing, 1 where no file says.
fn spacing(cases: &[Case]) -> [f64; 3] {
    [0, 1, 2].map(|axis| {
        let mut all: Vec<f64> = cases
            .iter()
            .filter_map(|c| c.image.geometry.spacing_mm)
            .map(|s| s[axis])
            .collect();
        all.sort_by(f64::total_cmp);
        all.get(all.len() / 2).copied().unwrap_or(1.0)
    })
}

fn median(values: impl Iterator<Item = usize>) -> usize {
    let mut all: Vec<usize> = values.collect();
    all.sort_unstable();
    all.get(all.len() / 2).copied().unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TrainConfig;
    use unet3d_unet::{Preset, UNetConfig};
    use unet3d_volume::{Geometry, Image, Label, Labels};

    fn case(shape: [usize; 3], spacing_mm: Option<[f64; 3]>) -> Case {
        let geometry = Geometry {
            spacing_mm,
            ..Geometry::of_shape(shape)
        };
        let voxels = geometry.voxels();
        let labels = Labels {
            geometry: geometry.clone(),
            classes: Vec::new(),
            voxels: vec![Label::UNLABELED; voxels],
        };
        let image = Image {
            geometry,
            channels: 1,
            voxels: vec![0.0; voxels],
        };
        Case::new("a", image, labels).unwrap()
    }

    fn chosen(preset: Preset, shape: [usize; 3], spacing_mm: Option<[f64; 3]>) -> [usize; 3] {
        let network = Network::new(UNetConfig::preset(preset, 1, 2)).unwrap();
        choose(&network, &[case(shape, spacing_mm)], None, 1).unwrap()
    }

    #[test]
    fn patches_follow_volume_and_spacing() {
        assert_eq!(chosen(Preset::Small, [128; 3], None), [64; 3]);
        assert_eq!(chosen(Preset::Small, [35, 50, 36], None), [36, 52, 36]);
        // Four times thicker slices: fewer of them, and more along y and x.
        let patch = chosen(Preset::Small, [128; 3], Some([4.0, 1.0, 1.0]));
        assert_eq!(patch, [28, 104, 104]);
        assert_eq!(chosen(Preset::Small, [20, 300, 300], None), [20, 116, 116]);
        // About the voxels of the paper's patch, as a cube.
        assert_eq!(chosen(Preset::Paper, [200; 3], None), [132; 3]);
        let flat = chosen(Preset::Twin2d, [64, 248, 244], None);
        assert_eq!(flat[0], 1);
    }

    #[test]
    fn memory_bounds_the_patch() {
        let network = Network::new(UNetConfig::preset(Preset::Small, 1, 2)).unwrap();
        let cases = [case([128; 3], None)];
        let small = choose(&network, &cases, Some(200 << 20), 1).unwrap();
        let plan = Plan::new(&network, 1, small, Mode::Train, 1).unwrap();
        assert!(plan.peak_bytes() <= 100 << 20 && small[0] < 64 && small[0] >= 16);
        assert!(choose(&network, &cases, Some(1000), 1).is_err());
    }

    #[test]
    fn small_patches_make_larger_batches() {
        let network = Network::new(UNetConfig::preset(Preset::Small, 1, 2)).unwrap();
        let batch = |patch| batch_for(&network, patch, None).unwrap();
        assert_eq!(batch([64; 3]), 1);
        assert_eq!(batch([40, 56, 40]), 3);
        assert_eq!(batch([16; 3]), 4);
    }

    #[test]
    fn memory_bounds_patch_and_batch_together() {
        let network = Network::new(UNetConfig::preset(Preset::Small, 1, 2)).unwrap();
        let cases = [case([128; 3], None)];
        for (patch, batch) in [(None, None), (Some([32; 3]), None), (None, Some(3))] {
            for mib in [150_u64, 200, 300] {
                let config = TrainConfig {
                    patch,
                    batch,
                    memory_bytes: Some(mib << 20),
                    ..TrainConfig::default()
                };
                let settled = config.settle(&network, &cases).unwrap();
                let (patch, batch) = (settled.patch.unwrap(), settled.batch.unwrap());
                let needed = plan_bytes(&network, batch, patch).unwrap();
                assert!(2 * needed <= mib << 20, "{patch:?} x {batch}: {needed}");
            }
        }
        // Without the bound the batch would be larger, so it does bind.
        let patch = choose(&network, &cases, Some(200 << 20), 1).unwrap();
        let bound = batch_for(&network, patch, Some(200 << 20)).unwrap();
        assert!(bound < usual_batch(&network, patch));
    }
}
