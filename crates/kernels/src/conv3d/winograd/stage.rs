//! A block of transformed tiles on its way to a batch or from it.
//!
//! A batch lies in memory as `[frequency][tile][channel]`, far larger than the
//! second-level cache. A tile touches it in 216 places far apart, a cache line at
//! each: 7 GB/s on the machine that this was tuned on. So a block is transformed in
//! a buffer of that cache, some channels at a time, and copied frequency by frequency
//! in runs of at least four lines, the next frequency's asked for ahead: 28 GB/s.

#![allow(unsafe_code, reason = "blocks read and write parts of every frequency")]

use pulp::Simd;

use super::cut::Cut;
use super::tile::{Lines, Tiles, copy};
use crate::micro::{PANEL, prefetch, prefetch_to_write};
use crate::threads::Shared;

/// Channels at a time: runs of 256 bytes, and a block of twelve tiles, 216
/// frequencies each, is 0.7 MB.
const GROUP: usize = 64;

/// Floats of a buffer for blocks of so many channels.
pub(super) fn floats(cut: &Cut, channels: usize) -> usize {
    cut.frequencies() * stride(cut, channels)
}

/// Distance of frequencies: one line more than needed, so that those of a tile do not
/// meet in a few sets of the first-level cache.
fn stride(cut: &Cut, channels: usize) -> usize {
    cut.block_tiles() * GROUP.min(channels) + PANEL
}

/// The buffer of a block, or none: then tiles are where the batch has them.
pub(super) struct Stage<'a> {
    cut: &'a Cut,
    buffer: Option<Shared<'a, f32>>,
    /// Of the batch.
    layout: Tiles,
    /// Number of the block's first tile in the batch.
    tile: usize,
}

impl<'a> Stage<'a> {
    /// A stage in [`floats`] floats, or none where `buffer` is empty.
    pub(super) fn new(cut: &'a Cut, buffer: &'a mut [f32], layout: Tiles, tile: usize) -> Self {
        let buffer = (!buffer.is_empty()).then(|| Shared::new(buffer));
        Self {
            cut,
            buffer,
            layout,
            tile,
        }
    }

    /// Channels that are staged at a time.
    #[inline(always)]
    pub(super) fn group(&self) -> usize {
        if self.buffer.is_some() {
            GROUP.min(self.layout.channels)
        } else {
            self.layout.channels
        }
    }

    /// Where channel `c` of the block's tile `t` is: in the buffer or in `batch`.
    #[inline(always)]
    pub(super) fn place<'b>(
        &'b self,
        batch: &'b Shared<'b, f32>,
        t: usize,
        c: usize,
    ) -> (&'b Shared<'b, f32>, Lines) {
        match &self.buffer {
            None => (batch, self.layout.lines(self.cut, self.tile + t, c)),
            Some(buffer) => (buffer, self.lines(t, c)),
        }
    }

    /// The same for reading.
    #[inline(always)]
    pub(super) fn source<'b>(&'b self, batch: &'b [f32], t: usize, c: usize) -> (&'b [f32], Lines) {
        match &self.buffer {
            None => (batch, self.layout.lines(self.cut, self.tile + t, c)),
            // SAFETY: the buffer is this block's alone, written before by `fetch`.
            Some(buffer) => (unsafe { buffer.part(0..buffer.len()) }, self.lines(t, c)),
        }
    }

    #[inline(always)]
    fn lines(&self, t: usize, c: usize) -> Lines {
        let [_, ah, aw] = self.cut.a;
        let (first, width) = self.group_of(c);
        Lines {
            at: t * width + c - first,
            stride: [ah * aw, aw, 1].map(|many| many * stride(self.cut, self.layout.channels)),
        }
    }

    /// First channel of the group of channel `c`, and how many it has.
    #[inline(always)]
    fn group_of(&self, c: usize) -> (usize, usize) {
        let first = c / GROUP * GROUP;
        (first, GROUP.min(self.layout.channels - first))
    }

    /// Copies the group that ends before channel `end` to the batch, if one does.
    ///
    /// # Safety
    /// Nobody else has these tiles of `batch`, nor reads them before this task's end.
    #[inline(always)]
    pub(super) unsafe fn send<S: Simd>(&self, batch: &Shared<'_, f32>, tiles: usize, end: usize) {
        let Some(buffer) = &self.buffer else { return };
        let (first, width) = self.group_of(end - 1);
        if first + width != end {
            return;
        }
        for (at, from, len) in self.runs(tiles, first, width) {
            let next = batch
                .as_mut_ptr()
                .wrapping_add(at + self.layout.frequency());
            for line in (0..len).step_by(PANEL) {
                prefetch_to_write(next.wrapping_add(line));
            }
            // SAFETY: the batch by the contract, the buffer is this block's alone.
            let (to, from) = unsafe { (batch.part(at..at + len), buffer.part(from..from + len)) };
            copy::<S>(to, from);
        }
    }

    /// Copies the group of channel `first` from the batch.
    #[inline(always)]
    pub(super) fn fetch<S: Simd>(&self, batch: &[f32], tiles: usize, first: usize) {
        let Some(buffer) = &self.buffer else { return };
        let (first, width) = self.group_of(first);
        for (at, from, len) in self.runs(tiles, first, width) {
            for line in (0..len).step_by(PANEL) {
                prefetch(
                    batch
                        .as_ptr()
                        .wrapping_add(at + self.layout.frequency() + line),
                );
            }
            // SAFETY: the buffer is this block's alone.
            copy::<S>(
                unsafe { buffer.part(from..from + len) },
                &batch[at..at + len],
            );
        }
    }

    /// Places in the batch, in the buffer, and floats of what lies together in both.
    #[inline(always)]
    fn runs(
        &self,
        tiles: usize,
        first: usize,
        width: usize,
    ) -> impl Iterator<Item = (usize, usize, usize)> + use<> {
        let (channels, tile) = (self.layout.channels, self.tile);
        let (far, near) = (self.layout.frequency(), stride(self.cut, channels));
        // All channels: the tiles of a frequency lie in a row.
        let (many, len) = if width == channels {
            (1, tiles * width)
        } else {
            (tiles, width)
        };
        (0..self.cut.frequencies()).flat_map(move |f| {
            (0..many).map(move |t| {
                (
                    f * far + (tile + t) * channels + first,
                    f * near + t * len,
                    len,
                )
            })
        })
    }
}
