//! The poolings that a convolution does as it writes, so that what it writes is
//! not read again for them, and in prediction only a skip's part of it is stored.

use unet3d_kernels::Region;

use super::Mode;
use super::draft::Draft;
use crate::graph::{Node, ValueId};

/// A pooling that a convolution does as it writes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fused {
    /// Pooled value.
    pub(super) to: ValueId,
    pub(super) window: [usize; 3],
    /// What is stored of the value itself: in prediction the part that a skip keeps, in
    /// training all.
    pub(super) kept: Region,
}

/// Finds them. There are none where activations may be dropped before the pooling:
/// whether 0 is the largest of a window is known only with the normalisation, which
/// follows from the whole value.
pub(super) fn fuse(draft: &mut Draft<'_>) {
    if draft.mode == Mode::Train && draft.network.config().dropout > 0.0 {
        return;
    }
    let nodes = draft.nodes();
    for node in nodes {
        let Node::Pool { from, to, window } = *node else {
            continue;
        };
        let tile = nodes.iter().find_map(|node| match *node {
            Node::Conv {
                from: input,
                to,
                kernel,
                ..
            } if to == from => {
                let conv = draft.conv(input, to, kernel);
                conv.kernel.pools(&conv.size, window)
            }
            _ => None,
        });
        let Some(tile) = tile else { continue };
        // In training the gradient of a value needs all of it.
        let kept = match draft.mode {
            Mode::Predict => read_by_skip(draft, from, tile).unwrap_or(Region::NOTHING),
            Mode::Train => Region::all(draft.shapes[from]),
        };
        draft.fused[from] = Some(Fused { to, window, kept });
        draft.origin[to] = from;
    }
}

/// The part of a value that the concatenation after it reads, in whole tiles. A value is
/// the skip of at most one concatenation.
fn read_by_skip(draft: &Draft<'_>, value: ValueId, tile: [usize; 3]) -> Option<Region> {
    let all = draft.shapes[value].space;
    draft.nodes().iter().find_map(|node| match *node {
        Node::Concat { skip, to, .. } if skip == value => {
            let start = draft.parts[to][1].crop;
            let space = draft.shapes[to].space;
            Some(Region {
                start: [0, 1, 2].map(|axis| start[axis] / tile[axis] * tile[axis]),
                end: [0, 1, 2].map(|axis| {
                    let end = start[axis] + space[axis];
                    end.next_multiple_of(tile[axis]).min(all[axis])
                }),
            })
        }
        _ => None,
    })
}
