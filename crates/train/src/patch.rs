//! How large a patch is where nobody said: from the volumes, their spacing, the
//! network and the memory.

use unet3d_unet::{Mode, Network, Padding, Plan};

use crate::{Case, Error};

/// Edge of a patch in voxels where the volume is large and isotropic and
/// convolutions keep the size: enough context for structures of tens of voxels
/// at a fraction of a second a step.
const SAME_EDGE: f64 = 64.0;

/// The same where convolutions shrink: the paper's 132 x 132 x 116 is about this
/// much, of which 44 x 44 x 28 is predicted.
const VALID_EDGE: f64 = 126.0;

/// Training memory where none is said; leaves room on a computer with 8 GiB.
const DEFAULT_MEMORY_BYTES: u64 = 4 << 30;

/// Input of the network in training, voxels along `[z, y, x]`.
///
/// Edges have about equal length in mm and about the volume of a cube of 64
/// (valid convolutions: 126) voxels' edge; an axis on which the median case is
/// shorter gives its share to the others. Then the longest edge shrinks until
/// the plan fits into half of the memory (parameters, data and batches want
/// the rest).
///
/// # Errors
/// When not even the smallest legal patch fits.
pub fn choose(
    network: &Network,
    cases: &[Case],
    memory_bytes: Option<u64>,
    threads: usize,
) -> Result<[usize; 3], Error> {
    let valid = network.config().padding == Padding::Valid;
    let (edge, margin) = match valid {
        // What shrinks away may lie outside the volume, mirrored.
        true => (VALID_EDGE, legal_margin(network)),
        false => (SAME_EDGE, [0; 3]),
    };
    let flat = [0, 1, 2].map(|axis| {
        let levels = &network.config().levels;
        levels
            .iter()
            .all(|l| l.kernel[axis] == 1 && l.pool[axis] == 1)
    });
    let shape = [0, 1, 2].map(|axis| {
        if flat[axis] {
            return 1;
        }
        median(cases.iter().map(|c| c.image.geometry.shape[axis])) + margin[axis]
    });
    let spacing = spacing(cases);
    let mut patch = [0, 1, 2].map(|axis| network.legal_size(axis, 1));
    for (axis, size) in extents(shape, spacing, flat, edge).into_iter().enumerate() {
        patch[axis] = nearest_legal(network, axis, size);
    }
    let allowed = memory_bytes.unwrap_or(DEFAULT_MEMORY_BYTES) / 2;
    loop {
        let plan = Plan::new(network, 1, patch, Mode::Train, threads)?;
        if plan.peak_bytes() <= allowed {
            return Ok(patch);
        }
        let shorter = |axis: usize| (1..patch[axis]).rev().find(|n| is_legal(network, axis, *n));
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
                        "the smallest patch of this network, {patch:?}, needs {} MiB. \
                         Allow more memory or take a smaller preset",
                        (2 * plan.peak_bytes()) >> 20
                    ),
                ));
            }
        }
    }
}

/// Patches in a batch: as many as make up the usual patch, at most 4.
pub fn batch_for(network: &Network, patch: [usize; 3]) -> usize {
    let edge = match network.config().padding {
        Padding::Valid => VALID_EDGE,
        Padding::Same => SAME_EDGE,
    };
    let voxels: usize = patch.iter().product();
    (edge.powi(3) / voxels as f64).round().clamp(1.0, 4.0) as usize
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

/// The smallest legal size that is at least `size`: better a little mirrored
/// border than a strip that is never seen whole.
fn nearest_legal(network: &Network, axis: usize, size: usize) -> usize {
    network.legal_size(axis, size)
}

fn is_legal(network: &Network, axis: usize, size: usize) -> bool {
    network.legal_size(axis, size) == size
}

/// What the network's convolutions take away along each axis.
fn legal_margin(network: &Network) -> [usize; 3] {
    let smallest = [0, 1, 2].map(|axis| network.legal_size(axis, 1));
    match network.output_shape(smallest) {
        Ok(output) => [0, 1, 2].map(|axis| smallest[axis] - output[axis]),
        Err(_) => [0; 3],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
        choose(&network, &[case(shape, spacing_mm)], None, 2).unwrap()
    }

    #[test]
    fn patches_follow_volume_and_spacing() {
        assert_eq!(chosen(Preset::Small, [128; 3], None), [64; 3]);
        assert_eq!(chosen(Preset::Small, [35, 50, 36], None), [36, 52, 36]);
        // Four times thicker slices: fewer of them, and more along y and x.
        let patch = chosen(Preset::Small, [128; 3], Some([4.0, 1.0, 1.0]));
        assert_eq!(patch, [28, 104, 104]);
        assert_eq!(chosen(Preset::Small, [20, 300, 300], None), [20, 116, 116]);
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
        assert_eq!(batch_for(&network, [64; 3]), 1);
        assert_eq!(batch_for(&network, [40, 56, 40]), 3);
        assert_eq!(batch_for(&network, [16; 3]), 4);
    }
}
