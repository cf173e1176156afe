//! Memory for what the kernels write: aligned to cache lines, in large pages
//! where the system has them.
//!
//! A vector that straddles two cache lines costs two accesses, and a transformed
//! tile touches hundreds of pages: with the pages of 2 MB the processor finds all
//! of them, with those of 4 KB it searches for most.

use std::ops::{Deref, DerefMut};

/// A large page of x86-64 and AArch64 Linux, in bytes.
const LARGE_PAGE: usize = 2 << 20;
/// A cache line, in bytes.
const LINE: usize = 64;

/// Zeros to write to, the first at the beginning of a cache line.
pub struct Memory {
    data: Vec<f32>,
    start: usize,
    len: usize,
}

/// Whether the system would give so many bytes now: asked for, and given back
/// untouched. An allocation that fails ends the program, so whoever is about to
/// make large ones asks before.
pub fn is_obtainable(bytes: u64) -> bool {
    usize::try_from(bytes).is_ok_and(|bytes| Vec::<u8>::new().try_reserve_exact(bytes).is_ok())
}

impl Memory {
    /// `len` zeros. The system gives the pages as they are first written.
    pub fn zeroed(len: usize) -> Self {
        let align = if len * size_of::<f32>() >= 2 * LARGE_PAGE {
            LARGE_PAGE
        } else {
            LINE
        };
        let data = vec![0.0; len + align / size_of::<f32>()];
        let start = data.as_ptr().align_offset(align);
        let mut memory = Self { data, start, len };
        if align == LARGE_PAGE {
            ask_for_large_pages(&mut memory);
        }
        memory
    }
}

impl Deref for Memory {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.data[self.start..self.start + self.len]
    }
}

impl DerefMut for Memory {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.data[self.start..self.start + self.len]
    }
}

/// Where the system refuses, everything works as well, only slower.
#[cfg(target_os = "linux")]
fn ask_for_large_pages(memory: &mut [f32]) {
    let bytes = size_of_val(memory) / LARGE_PAGE * LARGE_PAGE;
    // SAFETY: the range is inside the slice, whole pages of it; the advice changes
    // neither contents nor access.
    #[allow(unsafe_code)]
    let _ = unsafe {
        rustix::mm::madvise(
            memory.as_mut_ptr().cast(),
            bytes,
            rustix::mm::Advice::LinuxHugepage,
        )
    };
}

#[cfg(not(target_os = "linux"))]
fn ask_for_large_pages(_: &mut [f32]) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_computer_has_is_not_obtainable() {
        assert!(is_obtainable(0) && is_obtainable(1 << 20));
        for bytes in [1 << 60, u64::MAX / 2, u64::MAX] {
            assert!(!is_obtainable(bytes), "{bytes}");
        }
    }

    #[test]
    fn begins_at_a_line_and_is_zero() {
        for len in [0, 1, 17, 1 << 20, (3 << 20) + 5] {
            let mut memory = Memory::zeroed(len);
            assert_eq!(memory.len(), len);
            assert_eq!(memory.as_ptr() as usize % LINE, 0);
            assert!(memory.iter().all(|v| *v == 0.0));
            memory.fill(1.0);
            assert_eq!(memory.iter().sum::<f32>(), len as f32);
        }
    }
}
