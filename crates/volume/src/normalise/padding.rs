//! Padding: one value that fills the space around what was recorded.
//!
//! Scanners, registrations and brain extraction write a number where nothing was
//! measured: -3024 or -32768 outside the field of view of a CT, 0 around a brain. It
//! may fill most of a volume. Counted among gray values it owns their mean, deviation
//! and percentiles, and what was recorded shrinks to a point. With a fifth of a phantom
//! at -32768 the mean IoU fell from 0.88 to 0.56.
//!
//! A value is padding where all of this holds:
//!
//! 1. it is that of a corner of the volume (fields of view and heads are round), or the
//!    least of all, or stands behind another padding as the least or greatest of the rest;
//! 2. its voxels lie together, and most are connected to the border of the volume;
//! 3. it is far from all other values; or it fills much of the volume and hardly another
//!    value is near it.
//!
//! What is left over must vary, or there is no image but the one of where the padding
//! ends. The dark background of a microscope is none of this: its zeros lie among ones
//! and twos, in space as in the histogram. docs/decisions/0017-padding.md.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::volume::position;

/// What becomes of padding when gray values are normalised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Padding {
    /// It is a gray value as any other: what models of earlier versions learned from.
    #[default]
    Counted,
    /// Mean, deviation and percentiles are those of the other values. Padded voxels
    /// become what the nearest end of the clipping range does.
    LeftOut,
}

/// A padding value that was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FoundPadding {
    /// The channel, `None` where there is only one.
    pub channel: Option<usize>,
    /// The value.
    pub value: f32,
    /// Share of the channel's voxels that have it.
    pub share: f64,
}

impl fmt::Display for FoundPadding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = if self.share < 0.1 { 1 } else { 0 };
        write!(
            f,
            "a padding value of {} fills {:.digits$} % of ",
            self.value,
            100.0 * self.share
        )?;
        match self.channel {
            None => write!(f, "the image")?,
            Some(channel) => write!(f, "channel {channel}")?,
        }
        write!(f, " and is left out of mean, deviation and clipping")
    }
}

/// Least share of a padding value. What is rarer the percentiles at which gray values
/// are clipped leave out by themselves, or nearly.
const LEAST: f64 = 0.002;

/// Share of a value's voxels that must be connected to the border, and of their
/// neighbours that must have the value too. Of noise in which a value has the share p,
/// about p of its neighbours have it; of one slice alone, four fifths.
const TOGETHER: f64 = 0.75;
const CONNECTED: f64 = 0.75;

/// Distance from the other values, as a share of their spread, that is far: -2000 beside
/// a CT from -1000 to 1500 is.
const FAR: f64 = 0.25;

/// Percentiles between which the other values spread, as shares.
const SPREAD: [f64; 2] = [0.005, 0.995];

/// Share of the volume from which a value near others may be padding.
const FREQUENT: f64 = 0.1;

/// Values within this share of the spread are near.
const NEAR: f64 = 0.05;

/// Share of the other values that may be near: less than twice what an even spread has.
/// The background of a microscope has most of its values there, and so has the air of an
/// MR beside its zeros.
const FEW_NEAR: f64 = 0.08;

/// A frequent value must be so many times as frequent as what it could be confused with.
const STANDS_OUT: usize = 10;

/// Share of the other values beyond a value up to which it is an end of their range.
const AT_AN_END: f64 = 0.02;

/// Different values that must be left: fewer are a drawing or a label image.
const VARIED: usize = 32;

/// Share of the voxels that must be left.
const LEFT: f64 = 0.01;

/// Paddings in one channel at most: what a scanner, a registration and a mask added.
const MOST: usize = 3;

/// Passes over the volume, back and forth, in which connection to the border spreads: it
/// goes straight on within a pass, so each further one is for a bend.
const PASSES: usize = 6;

/// The padding values of one channel, `[z, y, x]`, and their shares; empty for most
/// images, after one or two passes over them. All values are finite.
pub(super) fn padding(values: &[f32], shape: [usize; 3]) -> Vec<(f32, f64)> {
    let mut found: Vec<(f32, f64)> = Vec::new();
    if values.is_empty() {
        return found;
    }
    let corners = corners(values, shape);
    while found.len() < MOST {
        let known: Vec<f32> = found.iter().map(|(v, _)| *v).collect();
        let [least, greatest] = ends(values, &known);
        let mut candidates = corners.clone();
        candidates.extend(least);
        if !known.is_empty() {
            candidates.extend(greatest);
        }
        candidates.retain(|v| !known.contains(v));
        candidates.sort_by(f32::total_cmp);
        candidates.dedup();
        let channel = Channel {
            values,
            shape,
            known: &known,
        };
        let mut counted: Vec<(f32, usize)> = channel.counts(&candidates);
        counted.retain(|(_, n)| *n as f64 >= LEAST * values.len() as f64);
        // The most frequent first; the least of equals, for one order on all machines.
        counted.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.total_cmp(&b.0)));
        let next = (counted.into_iter()).find(|&(v, n)| channel.is_padding(v, n));
        match next {
            Some((v, n)) => found.push((v, n as f64 / values.len() as f64)),
            None => break,
        }
    }
    found
}

/// The different values at the corners.
fn corners(values: &[f32], shape: [usize; 3]) -> Vec<f32> {
    let mut out: Vec<f32> = Vec::new();
    for corner in 0..8usize {
        let at = |axis: usize| (corner >> axis & 1) * (shape[axis] - 1);
        let value = values[(at(0) * shape[1] + at(1)) * shape[2] + at(2)];
        if !out.contains(&value) {
            out.push(value);
        }
    }
    out
}

/// The least and the greatest of the values that are not `known`.
fn ends(values: &[f32], known: &[f32]) -> [Option<f32>; 2] {
    let rest = || values.iter().copied().filter(|v| !known.contains(v));
    [rest().reduce(f32::min), rest().reduce(f32::max)]
}

/// A channel, and the paddings of it that are known.
struct Channel<'a> {
    values: &'a [f32],
    shape: [usize; 3],
    known: &'a [f32],
}

impl Channel<'_> {
    /// How often each of these values occurs.
    fn counts(&self, candidates: &[f32]) -> Vec<(f32, usize)> {
        let mut counts: Vec<(f32, usize)> = candidates.iter().map(|v| (*v, 0)).collect();
        for value in self.values {
            for (candidate, n) in &mut counts {
                *n += usize::from(value == candidate);
            }
        }
        counts
    }

    /// Whether a value that so many voxels have is padding. The tests stand in order of
    /// their work: an ordinary image fails the first, for all of its corners.
    fn is_padding(&self, value: f32, voxels: usize) -> bool {
        self.is_together(value) && self.is_connected(value, voxels) && self.is_apart(value, voxels)
    }

    /// The value of the voxel at `index`, or padding.
    fn is(&self, value: f32, index: usize) -> bool {
        let found = self.values[index];
        found == value || self.known.contains(&found)
    }

    /// Indices of the up to six neighbours of a voxel.
    fn neighbours(&self, index: usize) -> impl Iterator<Item = usize> {
        let at = position(index, self.shape);
        let strides = [self.shape[1] * self.shape[2], self.shape[2], 1];
        let shape = self.shape;
        (0..3).flat_map(move |a| {
            let before = (at[a] > 0).then(|| index - strides[a]);
            let after = (at[a] + 1 < shape[a]).then(|| index + strides[a]);
            [before, after].into_iter().flatten()
        })
    }

    fn is_together(&self, value: f32) -> bool {
        let (mut same, mut all) = (0usize, 0usize);
        for (i, _) in self.voxels_of(value) {
            for neighbour in self.neighbours(i) {
                same += usize::from(self.is(value, neighbour));
                all += 1;
            }
        }
        // A volume of one voxel has no neighbours.
        same as f64 >= TOGETHER * all as f64
    }

    fn voxels_of(&self, value: f32) -> impl Iterator<Item = (usize, &f32)> {
        let voxels = self.values.iter().enumerate();
        voxels.filter(move |(_, v)| **v == value)
    }

    /// Whether enough voxels of the value reach the border of the volume, or another
    /// padding, from neighbour to neighbour.
    fn is_connected(&self, value: f32, voxels: usize) -> bool {
        let mut reached = vec![false; self.values.len()];
        let mut count = 0;
        for pass in 0..PASSES {
            let before = count;
            for step in 0..self.values.len() {
                let i = match pass % 2 {
                    0 => step,
                    _ => self.values.len() - 1 - step,
                };
                if self.values[i] != value || reached[i] {
                    continue;
                }
                let at = position(i, self.shape);
                let at_border = (0..3).any(|a| at[a] == 0 || at[a] + 1 == self.shape[a]);
                let beside = |n: usize| reached[n] || self.known.contains(&self.values[n]);
                if at_border || self.neighbours(i).any(beside) {
                    reached[i] = true;
                    count += 1;
                }
            }
            if count as f64 >= CONNECTED * voxels as f64 {
                return true;
            }
            if count == before {
                break;
            }
        }
        false
    }

    /// Whether the value stands apart from those that are left.
    fn is_apart(&self, value: f32, voxels: usize) -> bool {
        let left = |v: &f32| *v != value && !self.known.contains(v);
        let mut rest: Vec<f32> = self.values.iter().copied().filter(left).collect();
        rest.sort_unstable_by(f32::total_cmp);
        let different = rest.chunk_by(|a, b| a == b).take(VARIED).count();
        if different < VARIED || (rest.len() as f64) < LEFT * self.values.len() as f64 {
            return false;
        }
        let at = |share: f64| f64::from(rest[((rest.len() - 1) as f64 * share) as usize]);
        let [low, high] = SPREAD.map(at);
        let (spread, v) = (high - low, f64::from(value));
        if spread <= 0.0 {
            return false;
        }
        if low - v >= FAR * spread || v - high >= FAR * spread {
            return true;
        }
        if (voxels as f64) < FREQUENT * self.values.len() as f64 {
            return false;
        }
        let below = rest.partition_point(|r| f64::from(*r) < v);
        let beyond = below.min(rest.len() - below);
        if beyond as f64 > AT_AN_END * rest.len() as f64 {
            // Within the range of the others, as 0 in an image of mean 0: no single one
            // of them may be nearly as frequent.
            let most = rest.chunk_by(|a, b| a == b).map(<[f32]>::len).max();
            return voxels >= STANDS_OUT * most.unwrap_or(0);
        }
        let within = |to: f64| rest.partition_point(|r| f64::from(*r) <= to);
        let near = within(v + NEAR * spread) - within(v - NEAR * spread);
        near as f64 <= FEW_NEAR * rest.len() as f64 && voxels >= STANDS_OUT * near
    }
}

#[cfg(test)]
mod tests;
