//! Where the structures are: tubules that branch, blood vessels between them.
//!
//! A tube is a smooth random walk of spheres, each with an outer and an inner
//! radius. What is kept for each voxel is its distance from the outer and the
//! inner surface of all tubes together, so that branches open into each other.
//! Trees keep clear of one another.

use rand::{Rng, RngExt};

/// The voxels and their distances in micrometres, `[z, y, x]`.
#[derive(Clone, Debug)]
pub(super) struct Grid {
    pub(super) shape: [usize; 3],
    pub(super) spacing: [f32; 3],
}

impl Grid {
    pub(super) fn voxels(&self) -> usize {
        self.shape.iter().product()
    }

    pub(super) fn extent(&self) -> Point {
        [0, 1, 2].map(|a| self.shape[a] as f32 * self.spacing[a])
    }
}

/// `[z, y, x]` in micrometres.
pub(super) type Point = [f32; 3];

/// All structures of one specimen.
pub(super) struct Tissue {
    /// The tubules: class 0 inside their inner surface, 1 between the two.
    pub(super) tubules: Tubes,
    /// Blood vessels: wide hollow ones and capillaries; background.
    pub(super) vessels: Tubes,
}

impl Tissue {
    pub(super) fn grow(grid: &Grid, rng: &mut impl Rng) -> Self {
        let mut tubules = Tubes::none(grid);
        TUBULES.fill(&mut tubules, None, rng);
        let mut vessels = Tubes::none(grid);
        VESSELS.fill(&mut vessels, Some(&tubules), rng);
        CAPILLARIES.fill(&mut vessels, Some(&tubules), rng);
        Self { tubules, vessels }
    }

    /// Class value of voxel `i`.
    pub(super) fn class(&self, i: usize) -> u8 {
        match (self.tubules.inner[i] < 0.0, self.tubules.outer[i] < 0.0) {
            (true, _) => 0,
            (_, true) => 1,
            _ => 2,
        }
    }
}

/// Tubes, as distances from their surfaces.
pub(super) struct Tubes {
    grid: Grid,
    /// Distance from the outer surface in micrometres, negative inside; [`FAR`]
    /// where no tube is within [`REACH`].
    pub(super) outer: Vec<f32>,
    /// Distance from the inner surface, likewise.
    pub(super) inner: Vec<f32>,
    /// Voxels inside the outer surface.
    filled: usize,
}

/// Distance of voxels that no tube is near.
const FAR: f32 = 1e6;
/// Distances are known up to this far outside of a tube, in micrometres: the
/// gap kept between trees and the rim that is stained lie within.
const REACH: f32 = 4.0;
/// Step of the walk in micrometres; with the least inner radius below (2) the
/// surface of the union of spheres is rough by 0.3, under a fifth of a voxel.
const STEP: f32 = 2.0;

/// How tubes of one kind grow. Lengths in micrometres.
struct Kind {
    /// Share of all voxels at which growth stops.
    share: f32,
    /// Least and greatest outer radius.
    radius: [f32; 2],
    /// Inner radius as a share of the outer, least and greatest.
    inner: [f32; 2],
    /// Least and greatest length of an arm.
    length: [f32; 2],
    /// How fast the direction changes, in radians per root micrometre.
    bend: f32,
    /// Mean length between branches.
    between_branches: f32,
    /// Gap to tubes that it does not branch from.
    gap: f32,
}

/// Outer diameter of 22 to 30 um, 12 to 17 voxels of the paper, and a lumen of
/// half of it; a lumen of 8 % and a wall of 21 % of the volume.
const TUBULES: Kind = Kind {
    share: 0.285,
    radius: [11.0, 15.0],
    inner: [0.46, 0.62],
    length: [60.0, 240.0],
    bend: 0.09,
    between_branches: 130.0,
    gap: 1.5,
};

/// Look-alikes of the lumen: hollow and dark, but without a layer of cells.
const VESSELS: Kind = Kind {
    share: 0.05,
    radius: [6.0, 10.0],
    inner: [0.76, 0.84],
    length: [60.0, 200.0],
    bend: 0.06,
    between_branches: 120.0,
    gap: 1.0,
};

/// Bright threads that are stained like the inner rim of tubules.
const CAPILLARIES: Kind = Kind {
    share: 0.065,
    radius: [1.6, 2.8],
    inner: [0.0, 0.0],
    length: [40.0, 150.0],
    bend: 0.16,
    between_branches: 50.0,
    gap: 0.5,
};

impl Kind {
    /// Grows trees into `tubes` until they have the share of voxels, clear of
    /// `others`.
    fn fill(&self, tubes: &mut Tubes, others: Option<&Tubes>, rng: &mut impl Rng) {
        let goal = tubes.filled + (self.share * tubes.grid.voxels() as f32) as usize;
        // Ever fewer places are free: this bounds the search, not the yield.
        const ATTEMPTS: usize = 3000;
        for _ in 0..ATTEMPTS {
            if tubes.filled >= goal {
                return;
            }
            let extent = tubes.grid.extent();
            let start = extent.map(|e| rng.random::<f32>() * e);
            let radius = between(rng, self.radius);
            if !tubes.is_clear(start, radius + self.gap)
                || others.is_some_and(|o| !o.is_clear(start, radius + self.gap))
            {
                continue;
            }
            let direction = random_direction(rng);
            self.grow_tree(tubes, others, goal, (start, direction, radius), rng);
        }
    }

    /// Two arms from the start, then the branches of the arms, the branches of
    /// these, and so on.
    fn grow_tree(
        &self,
        tubes: &mut Tubes,
        others: Option<&Tubes>,
        goal: usize,
        (start, direction, radius): (Point, Point, f32),
        rng: &mut impl Rng,
    ) {
        let mut waiting = vec![
            (start, direction, radius),
            (start, direction.map(|d| -d), radius),
        ];
        while let Some((start, direction, radius)) = waiting.pop() {
            let arm = self.walk(tubes, others, (start, direction, radius), rng);
            for pair in arm.windows(2) {
                if rng.random::<f32>() < STEP / self.between_branches {
                    let along = subtract(pair[1].centre, pair[0].centre);
                    // Branches leave at about 60 degrees.
                    let aside = random_direction(rng);
                    let branch = unit([0, 1, 2].map(|a| along[a] / STEP + 1.6 * aside[a]));
                    waiting.push((pair[0].centre, branch, radius * between(rng, [0.82, 1.0])));
                }
            }
            tubes.add(&arm);
            if tubes.filled >= goal {
                return;
            }
        }
    }

    /// One arm: until its length, the border, or no way on.
    fn walk(
        &self,
        tubes: &Tubes,
        others: Option<&Tubes>,
        (start, direction, radius): (Point, Point, f32),
        rng: &mut impl Rng,
    ) -> Vec<Sphere> {
        let steps = (between(rng, self.length) / STEP) as usize;
        let extent = tubes.grid.extent();
        let lumen = between(rng, self.inner);
        let (mut centre, mut direction) = (start, direction);
        let mut turn = [0.0; 3];
        let mut arm: Vec<Sphere> = Vec::with_capacity(steps);
        for step in 0..steps {
            // Radii swell and shrink slowly along the arm, the lumen more.
            let phase = step as f32 * STEP;
            let outer = radius * (1.0 + 0.06 * (phase / 23.0).sin());
            let inner = radius * lumen * (1.0 + 0.14 * (phase / 31.0 + radius).sin());
            arm.push(Sphere {
                centre,
                outer,
                inner: if lumen > 0.0 { inner } else { -FAR },
            });
            // An arm starts inside what it branches from.
            let leaving = step as f32 * STEP < 3.0 * radius + self.gap;
            let free = |p: Point| {
                let needed = outer + self.gap;
                let own = (3.5 * radius / STEP) as usize + 1;
                let earlier = arm.iter().rev().skip(own);
                (leaving || tubes.is_clear(p, needed))
                    && others.is_none_or(|o| o.is_clear(p, needed))
                    && earlier
                        .into_iter()
                        .all(|s| distance(s.centre, p) > s.outer + needed)
            };
            let next = |d: Point| [0, 1, 2].map(|a| centre[a] + STEP * d[a]);
            for t in &mut turn {
                // Remembers about 20 um: curves, not jitter.
                *t = 0.9 * *t + 0.1f32.sqrt() * self.bend * STEP.sqrt() * normal(rng);
            }
            let mut ahead = unit([0, 1, 2].map(|a| direction[a] + turn[a]));
            let mut spread = 0.3;
            while !free(next(ahead)) && spread < 1.2 {
                let aside = random_direction(rng);
                ahead = unit([0, 1, 2].map(|a| direction[a] + spread * aside[a]));
                spread += 0.1;
            }
            if spread >= 1.2 {
                break;
            }
            direction = ahead;
            centre = next(ahead);
            // Outside, a little further than its radius, it cannot be seen.
            if (0..3).any(|a| centre[a] < -1.5 * radius || centre[a] > extent[a] + 1.5 * radius) {
                break;
            }
        }
        arm
    }
}

/// A piece of a tube.
struct Sphere {
    centre: Point,
    outer: f32,
    inner: f32,
}

impl Tubes {
    fn none(grid: &Grid) -> Self {
        Self {
            grid: grid.clone(),
            outer: vec![FAR; grid.voxels()],
            inner: vec![FAR; grid.voxels()],
            filled: 0,
        }
    }

    fn add(&mut self, spheres: &[Sphere]) {
        let Grid { shape, spacing } = self.grid;
        for s in spheres {
            let reach = s.outer + REACH;
            let bounds = [0, 1, 2].map(|a| {
                let voxel = |v: f32| (v / spacing[a]).clamp(0.0, shape[a] as f32) as usize;
                voxel(s.centre[a] - reach)..voxel(s.centre[a] + reach + spacing[a])
            });
            let offset = |a: usize, i: usize| (i as f32 + 0.5) * spacing[a] - s.centre[a];
            for z in bounds[0].clone() {
                for y in bounds[1].clone() {
                    let zy = offset(0, z).powi(2) + offset(1, y).powi(2);
                    if zy > reach * reach {
                        continue;
                    }
                    let row = (z * shape[1] + y) * shape[2];
                    for x in bounds[2].clone() {
                        let d = (zy + offset(2, x).powi(2)).sqrt();
                        if d < reach {
                            let outer = &mut self.outer[row + x];
                            self.filled += usize::from(d < s.outer && *outer >= 0.0);
                            *outer = outer.min(d - s.outer);
                            let inner = &mut self.inner[row + x];
                            *inner = inner.min(d - s.inner);
                        }
                    }
                }
            }
        }
    }

    /// Whether no tube is within `radius` of `p`, looked at in 14 directions.
    /// Outside the volume everything is clear.
    fn is_clear(&self, p: Point, radius: f32) -> bool {
        const DIAGONAL: f32 = 0.577_350_26;
        let inside = |q: Point| {
            let mut index = 0;
            for a in 0..3 {
                let i = (q[a] / self.grid.spacing[a]).floor();
                if i < 0.0 || i >= self.grid.shape[a] as f32 {
                    return false;
                }
                index = index * self.grid.shape[a] + i as usize;
            }
            self.outer[index] < 0.0
        };
        let axes = (0..6).map(|k| {
            let mut d = [0.0; 3];
            d[k / 2] = if k % 2 == 0 { 1.0 } else { -1.0 };
            d
        });
        let corners =
            (0..8).map(|k| [k & 1, k >> 1 & 1, k >> 2].map(|b| DIAGONAL * (2 * b - 1) as f32));
        !inside(p)
            && axes
                .chain(corners)
                .all(|d| !inside([0, 1, 2].map(|a| p[a] + radius * d[a])))
    }
}

/// Uniform in the range.
pub(super) fn between(rng: &mut impl Rng, [low, high]: [f32; 2]) -> f32 {
    low + (high - low) * rng.random::<f32>()
}

/// Nearly normal, mean 0 and deviation 1: the sum of four uniform numbers. Its
/// tails end at 3.5, which suits noise and needs no logarithm.
pub(super) fn normal(rng: &mut impl Rng) -> f32 {
    let bits = rng.next_u64();
    let sum: u32 = (0..4).map(|k| (bits >> (16 * k)) as u16 as u32).sum();
    // Sum of four uniforms on [0, 1): mean 2, variance 4 / 12.
    (sum as f32 / 65536.0 - 2.0) * 1.732_050_8
}

fn random_direction(rng: &mut impl Rng) -> Point {
    unit([0; 3].map(|_| normal(rng)))
}

/// Length 1; z where there is none.
fn unit(v: Point) -> Point {
    let length = distance(v, [0.0; 3]);
    if length > 1e-6 {
        v.map(|c| c / length)
    } else {
        [1.0, 0.0, 0.0]
    }
}

fn subtract(a: Point, b: Point) -> Point {
    [0, 1, 2].map(|k| a[k] - b[k])
}

fn distance(a: Point, b: Point) -> f32 {
    subtract(a, b).iter().map(|c| c * c).sum::<f32>().sqrt()
}
