//! What fluoresces: the three stains before the microscope sees them.
//!
//! | channel | stands for | in the wall of tubules | and elsewhere |
//! |---|---|---|---|
//! | 0 | lectin | inner rim, patchy | capillaries, vessel walls, granules |
//! | 1 | nuclei | a ring of nuclei | nuclei of other tissue, debris in lumens |
//! | 2 | cell borders | borders of all cells | borders of some patches of tissue |

use rand::Rng;

use super::cells::{Cells, Noise};
use super::tubes::{Grid, Point, Tissue, between};

/// Three channels `[z, y, x]`, brightness from 0 to about 1.
pub(super) fn channels(grid: &Grid, tissue: &Tissue, rng: &mut impl Rng) -> [Vec<f32>; 3] {
    let stains = Stains::new(grid, rng);
    let mut out = [0; 3].map(|_| vec![0.0; grid.voxels()]);
    let mut i = 0;
    for z in 0..grid.shape[0] {
        for y in 0..grid.shape[1] {
            for x in 0..grid.shape[2] {
                let voxel = [z, y, x];
                let p = [0, 1, 2].map(|a| (voxel[a] as f32 + 0.5) * grid.spacing[a]);
                let brightness = stains.at(p, tissue, i);
                for c in 0..3 {
                    out[c][i] = stains.strength[c] * brightness[c];
                }
                i += 1;
            }
        }
    }
    out
}

/// What the stains depend on beside the structures.
struct Stains {
    cells: Cells,
    /// Strength of each stain in this specimen.
    strength: [f32; 3],
    /// Where tissue is dense and where it has gaps.
    density: Noise,
    /// Where tissue that is not tubule has borders like it.
    epithelium: Noise,
    /// How well the lectin took, and granules.
    patches: Noise,
    granules: Noise,
}

impl Stains {
    fn new(grid: &Grid, rng: &mut impl Rng) -> Self {
        Self {
            cells: Cells::new(grid, rng),
            strength: [0; 3].map(|_| between(rng, [0.85, 1.15])),
            density: Noise::new(grid, 15.0, rng),
            epithelium: Noise::new(grid, 32.0, rng),
            patches: Noise::new(grid, 22.0, rng),
            granules: Noise::new(grid, 4.5, rng),
        }
    }

    /// Brightness of the three stains at `p`, the centre of voxel `i`.
    fn at(&self, p: Point, tissue: &Tissue, i: usize) -> [f32; 3] {
        let cell = self.cells.at(p);
        let granule = step(self.granules.at(p), 0.86, 0.92);
        // Nuclei are 6 to 8 um wide, of different brightness.
        let nucleus = step(3.4 + 1.0 * cell.own[0] - cell.from_centre, 0.0, 0.9)
            * (0.55 + 0.35 * cell.own[1]);
        // Borders are thinner than a voxel: their brightness is what is left of it.
        let border = bell(cell.from_border, 0.75);
        let (outer, inner) = (tissue.tubules.outer[i], tissue.tubules.inner[i]);
        let (vessel, hollow) = (tissue.vessels.outer[i], tissue.vessels.inner[i]);

        if inner < 0.0 {
            // A lumen: nothing but the rim of the wall and now and then debris.
            let debris = step(cell.own[0], 0.93, 0.94) * step(cell.own[1], 0.5, 0.51);
            let rim = self.rim(p, inner);
            return [0.03 + rim + 0.3 * granule * debris, nucleus * debris, 0.03];
        }
        if outer < 0.0 {
            let basal = bell(outer, 1.0);
            return [
                0.17 + self.rim(p, inner) + 0.12 * basal + 0.35 * granule,
                0.03 + nucleus,
                0.17 + 0.50 * border + 0.12 * basal,
            ];
        }
        if vessel < 0.0 {
            let wall = step(hollow, -0.6, 0.2);
            let blood = (1.0 - wall) * step(cell.own[0], 0.85, 0.86);
            return [
                0.03 + 0.60 * wall,
                0.03 + 0.7 * blood * nucleus,
                0.03 + 0.14 * wall,
            ];
        }
        let dense = step(self.density.at(p), 0.36, 0.56);
        let like_tubule = step(self.epithelium.at(p), 0.48, 0.74);
        let alive = dense * step(cell.own[1], 0.12, 0.13);
        [
            0.03 + dense * (0.06 + 0.12 * like_tubule) + 0.45 * granule * dense,
            0.02 + nucleus * alive,
            0.03 + dense * (0.08 + 0.12 * like_tubule + (0.10 + 0.32 * like_tubule) * border),
        ]
    }

    /// Lectin on the surface towards the lumen, in patches, `distance` from it.
    fn rim(&self, p: Point, distance: f32) -> f32 {
        (0.25 + 0.50 * step(self.patches.at(p), 0.25, 0.8)) * bell(distance, 1.1)
    }
}

/// 0 below `low`, 1 above `high`, smooth between.
fn step(v: f32, low: f32, high: f32) -> f32 {
    let t = ((v - low) / (high - low)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

/// 1 at 0, falling to both sides within about two `width`.
fn bell(v: f32, width: f32) -> f32 {
    let t = v / width;
    // Far away exactly 0, without the time of an exponential.
    if t.abs() > 3.0 { 0.0 } else { (-t * t).exp() }
}
