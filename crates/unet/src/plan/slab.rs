//! The up-convolved values that are made some planes at a time: at full resolution
//! such a value is the largest of all.

use std::ops::Range;

use super::Mode;
use super::draft::Draft;
use crate::graph::Node;

/// An up-convolved value of which some planes at a time are made and convolved.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slabs {
    /// The node that makes it.
    pub(super) maker: usize,
    /// The node that convolves it, with the skip beside it.
    pub(super) reader: usize,
    /// Outputs of that convolution along its depth.
    pub(super) depth: usize,
    /// Planes that a convolution needs beyond its outputs.
    pub(super) halo: usize,
}

impl Slabs {
    /// Outputs of a slab along the depth: whole tiles of Winograd's convolution (2, 3 or
    /// 4 voxels), whole windows of the up-convolution.
    const DEPTH: usize = 24;

    /// The outputs of each slab along the depth. A rest is a slab only if tiles of 4
    /// suit it best, as they do the whole, so that the bits are those of the whole.
    pub(super) fn outputs(self) -> impl Iterator<Item = Range<usize>> {
        let many = (self.depth + 2) / Self::DEPTH;
        (0..many).map(move |i| {
            let last = i + 1 == many;
            i * Self::DEPTH..if last {
                self.depth
            } else {
                (i + 1) * Self::DEPTH
            }
        })
    }

    /// The planes of the value that such outputs need.
    pub(super) fn planes(self, outputs: &Range<usize>) -> Range<usize> {
        outputs.start..outputs.end + self.halo
    }
}

/// Finds them: in prediction alone, one sample at a time, where the value is not
/// normalised, which may take statistics of the whole, nor padded.
pub(super) fn cut_slabs(draft: &mut Draft<'_>) {
    if draft.mode == Mode::Train || draft.shapes[0].n != 1 {
        return;
    }
    let nodes = draft.nodes();
    for (maker, node) in nodes.iter().enumerate() {
        let Node::UpConv { to: up, .. } = *node else {
            continue;
        };
        let concat = nodes.iter().find_map(|node| match *node {
            Node::Concat { up: part, to, .. } if part == up => Some(to),
            _ => None,
        });
        let reader = nodes
            .iter()
            .enumerate()
            .find_map(|(step, node)| match *node {
                Node::Conv {
                    from, to, kernel, ..
                } if Some(from) == concat => Some((step, to, kernel)),
                _ => None,
            });
        let Some((reader, to, kernel)) = reader else {
            continue;
        };
        let is_normalised = (draft.applied[up].as_ref()).is_some_and(|a| a.norm.is_some());
        let depth = draft.shapes[to].space[0];
        if is_normalised || kernel.pad != [0; 3] || depth < 2 * Slabs::DEPTH {
            continue;
        }
        draft.slabs[up] = Some(Slabs {
            maker,
            reader,
            depth,
            halo: kernel.size[0] - 1,
        });
    }
}
