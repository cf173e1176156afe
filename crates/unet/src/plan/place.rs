//! Places of values and gradients in one arena: buffers whose lifetimes do not
//! meet share memory.
//!
//! A lifetime is counted in nodes: forwards node `s` has time `s`, backwards
//! `2 * nodes - s`.

use std::ops::Range;

use super::Mode;
use super::draft::Draft;
use crate::graph::{Node, ValueId};

/// Where everything stored lies.
pub(super) struct Places {
    /// Of each stored value; `None` for the input and for concatenations.
    pub(super) values: Vec<Option<Range<usize>>>,
    /// Of the gradient of each stored value but the logits; training only.
    pub(super) gradients: Vec<Option<Range<usize>>>,
    /// Floats in all.
    pub(super) len: usize,
}

/// A buffer from the time at which it is first written to the one behind its last use.
struct Buffer {
    value: ValueId,
    is_gradient: bool,
    len: usize,
    life: Range<usize>,
}

/// Gives each value, and in training each gradient, its place.
pub(super) fn place(draft: &Draft<'_>) -> Places {
    let nodes = draft.nodes().len();
    let lives = lives(draft);
    let stored = || {
        let all = lives.iter().enumerate();
        all.filter(|(value, _)| draft.is_stored(*value))
    };
    let mut buffers = Vec::new();
    for (value, life) in stored() {
        let life = match draft.mode {
            // The gradient through what is applied to a value needs the value.
            Mode::Train => life.start..2 * nodes - life.start + 1,
            Mode::Predict => life.clone(),
        };
        buffers.push(Buffer {
            value,
            is_gradient: false,
            len: draft.stored(value).len(),
            life,
        });
    }
    if draft.mode == Mode::Train {
        // The gradient of a value is written first by its last reader and read last by its
        // producer; that of a pooled one, by the producer of what it is pooled from.
        let mut producers: Vec<usize> = lives.iter().map(|life| life.start).collect();
        for node in draft.nodes() {
            if let Node::Pool { from, to, .. } = *node {
                producers[to] = producers[from];
            }
        }
        // The gradient of the logits is the caller's.
        for (value, life) in stored().filter(|(value, _)| value + 1 < lives.len()) {
            buffers.push(Buffer {
                value,
                is_gradient: true,
                len: draft.shapes[value].len(),
                life: 2 * nodes - (life.end - 1)..2 * nodes - producers[value] + 1,
            });
        }
    }
    let (places, len) = pack(&buffers);
    let mut out = Places {
        values: vec![None; lives.len()],
        gradients: vec![None; lives.len()],
        len,
    };
    for (buffer, place) in buffers.iter().zip(places) {
        let to = if buffer.is_gradient {
            &mut out.gradients
        } else {
            &mut out.values
        };
        to[buffer.value] = Some(place);
    }
    out
}

/// Lifetime of each value in the forward pass.
fn lives(draft: &Draft<'_>) -> Vec<Range<usize>> {
    let nodes = draft.nodes();
    let mut lives: Vec<Range<usize>> = vec![0..0; draft.shapes.len()];
    for (time, node) in nodes.iter().enumerate() {
        if let Some(to) = written(node) {
            lives[to] = time..time + 1;
        }
        if let Node::Pool { from, to, .. } = node
            && draft.fused[*from].is_some()
        {
            lives[*to].start = lives[*from].start;
        }
        for value in read(draft, node) {
            lives[value].end = time + 1;
        }
    }
    for (value, slabs) in draft.slabs.iter().enumerate() {
        let Some(slabs) = *slabs else { continue };
        lives[value] = slabs.reader..slabs.reader + 1;
        for value in read(draft, &nodes[slabs.maker]) {
            lives[value].end = lives[value].end.max(slabs.reader + 1);
        }
    }
    if let Some(last) = lives.last_mut() {
        last.end = nodes.len() + 1; // the logits outlive the pass
    }
    lives
}

/// The value that a node stores.
fn written(node: &Node) -> Option<ValueId> {
    match *node {
        Node::Conv { to, .. } | Node::Pool { to, .. } | Node::UpConv { to, .. } => Some(to),
        Node::Norm { .. }
        | Node::Activation { .. }
        | Node::Dropout { .. }
        | Node::Concat { .. } => None,
    }
}

/// The stored values that a node reads.
fn read(draft: &Draft<'_>, node: &Node) -> Vec<ValueId> {
    match *node {
        Node::Conv { from, .. } | Node::Pool { from, .. } | Node::UpConv { from, .. } => {
            draft.parts[from].iter().map(|part| part.value).collect()
        }
        Node::Norm { value, .. } => vec![value],
        Node::Activation { .. } | Node::Dropout { .. } | Node::Concat { .. } => vec![],
    }
}

/// Places for buffers so that those alive at one time do not overlap: largest
/// first, each at the lowest free place. Returns the places and their extent.
fn pack(buffers: &[Buffer]) -> (Vec<Range<usize>>, usize) {
    /// 64 bytes: rows begin at a cache line.
    const ALIGN: usize = 16;
    let mut order: Vec<usize> = (0..buffers.len()).collect();
    order.sort_by_key(|i| std::cmp::Reverse(buffers[*i].len));
    let mut places: Vec<Range<usize>> = vec![0..0; buffers.len()];
    let mut placed: Vec<usize> = Vec::new();
    let mut end = 0;
    for i in order {
        let Buffer { len, life, .. } = &buffers[i];
        let mut taken: Vec<Range<usize>> = placed
            .iter()
            .filter(|j| {
                let other = &buffers[**j].life;
                other.start < life.end && life.start < other.end
            })
            .map(|j| places[*j].clone())
            .collect();
        taken.sort_by_key(|range| range.start);
        let mut start = 0;
        for range in taken {
            if start + len <= range.start {
                break;
            }
            start = start.max(range.end.next_multiple_of(ALIGN));
        }
        places[i] = start..start + len;
        end = end.max(places[i].end.next_multiple_of(ALIGN));
        placed.push(i);
    }
    (places, end)
}
