//! The thread pool as a value, and the one way to share an output among threads.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Floats of a cache line. Scratch memory for workers comes in these.
pub(crate) const LINE: usize = 16;

/// A pool of worker threads that kernels are handed.
///
/// Work is cut into tasks by the *problem*, never by the number of threads, and
/// a task writes only its own part of the output: results are the same bits for
/// any number of threads.
pub struct Threads {
    pool: rayon::ThreadPool,
    count: usize,
}

impl Threads {
    /// A pool of `count` workers; 0 means one for each core.
    ///
    /// # Errors
    /// When the operating system refuses to start the threads.
    pub fn new(count: usize) -> Result<Self, rayon::ThreadPoolBuildError> {
        let count = match count {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            n => n,
        };
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(count)
            .thread_name(|i| format!("unet3d-{i}"))
            .build()?;
        Ok(Self { pool, count })
    }

    /// Number of workers.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The rayon pool itself, for work that is easier said with parallel iterators.
    pub fn pool(&self) -> &rayon::ThreadPool {
        &self.pool
    }

    /// Calls `f(task)` once for every task below `tasks`, on all workers.
    pub fn for_each(&self, tasks: usize, f: impl Fn(usize) + Sync) {
        if self.count == 1 || tasks <= 1 {
            (0..tasks).for_each(f);
            return;
        }
        let next = AtomicUsize::new(0);
        self.pool.broadcast(|_| {
            loop {
                let task = next.fetch_add(1, Ordering::Relaxed);
                if task >= tasks {
                    break;
                }
                f(task);
            }
        });
    }

    /// Calls `f(task, scratch)` for every task, with this worker's own share of
    /// `scratch`, of which each of the workers gets an equal one, in whole cache
    /// lines.
    pub fn for_each_with(
        &self,
        scratch: &mut [f32],
        tasks: usize,
        f: impl Fn(usize, &mut [f32]) + Sync,
    ) {
        let share = share(scratch, self.count);
        let scratch = Shared::new(scratch);
        let next = AtomicUsize::new(0);
        let work = |worker: usize| {
            // SAFETY: workers have different numbers below `count`.
            #[allow(unsafe_code)]
            let mine = unsafe { scratch.part(worker * share..(worker + 1) * share) };
            loop {
                let task = next.fetch_add(1, Ordering::Relaxed);
                if task >= tasks {
                    break;
                }
                f(task, mine);
            }
        };
        if self.count == 1 || tasks <= 1 {
            work(0);
        } else {
            self.pool.broadcast(|context| work(context.index()));
        }
    }

    /// Calls `f(task, chunk, scratch)` for every chunk of `len` elements of
    /// `out`, the last one shorter where `len` does not divide it; `scratch` as
    /// in [`for_each_part`](Self::for_each_part).
    pub fn for_each_chunk<T: Send + Sync>(
        &self,
        out: &mut [T],
        len: usize,
        scratch: &mut [f32],
        f: impl Fn(usize, &mut [T], &mut [f32]) + Sync,
    ) {
        let all = Shared::new(out);
        self.for_each_with(scratch, all.len().div_ceil(len.max(1)), |task, mine| {
            let range = task * len..((task + 1) * len).min(all.len());
            // SAFETY: each task is taken once and chunks do not overlap.
            #[allow(unsafe_code)]
            f(task, unsafe { all.part(range) }, mine);
        });
    }

    /// Calls `f(task, part, scratch)` for every task, where `part` is
    /// `out[range(task)]` and `scratch` is this worker's own share of `scratch`,
    /// of which each of the [`count`](Self::count) workers gets an equal one.
    ///
    /// # Panics
    /// When the ranges of consecutive tasks overlap, run backwards or leave
    /// `out`: that would be two threads writing to one place.
    pub fn for_each_part<T: Send>(
        &self,
        out: &mut [T],
        scratch: &mut [f32],
        tasks: usize,
        range: impl Fn(usize) -> Range<usize>,
        f: impl Fn(usize, &mut [T], &mut [f32]) + Sync,
    ) {
        // Kept as checked: asked twice, the closure might answer differently.
        let ranges: Vec<Range<usize>> = (0..tasks).map(range).collect();
        let mut end = 0;
        for r in &ranges {
            assert!(
                r.start >= end && r.end >= r.start && r.end <= out.len(),
                "parts of tasks must be disjoint and ascending"
            );
            end = r.end;
        }
        let share = share(scratch, self.count);
        let next = AtomicUsize::new(0);
        let out = SharedMut(out.as_mut_ptr());
        let scratch = SharedMut(scratch.as_mut_ptr());
        let work = |worker: usize| {
            // SAFETY: workers have different numbers below `count`, so their
            // shares of `scratch` are disjoint and inside it.
            #[allow(unsafe_code)]
            let mine = unsafe { scratch.part(worker * share..(worker + 1) * share) };
            loop {
                let task = next.fetch_add(1, Ordering::Relaxed);
                if task >= tasks {
                    break;
                }
                // SAFETY: each task is taken once, and the loop above has shown
                // the ranges of different tasks disjoint and inside `out`.
                #[allow(unsafe_code)]
                let part = unsafe { out.part(ranges[task].clone()) };
                f(task, part, mine);
            }
        };
        if self.count == 1 || tasks <= 1 {
            work(0);
        } else {
            self.pool.broadcast(|context| work(context.index()));
        }
    }
}

/// The share of each of so many workers: whole cache lines, so that every share
/// begins where vectors of floats do not straddle two.
fn share(scratch: &[f32], workers: usize) -> usize {
    scratch.len() / workers / LINE * LINE
}

/// A slice that several threads write to, each its own parts.
pub(crate) struct Shared<'a, T> {
    data: SharedMut<T>,
    len: usize,
    life: std::marker::PhantomData<&'a mut [T]>,
}

impl<'a, T: Send> Shared<'a, T> {
    pub(crate) fn new(data: &'a mut [T]) -> Self {
        Self {
            data: SharedMut(data.as_mut_ptr()),
            len: data.len(),
            life: std::marker::PhantomData,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// For writes that are no contiguous part; whoever writes keeps apart from
    /// the other threads.
    pub(crate) fn as_mut_ptr(&self) -> *mut T {
        self.data.0
    }

    /// # Safety
    /// No two threads hold overlapping ranges at the same time.
    #[allow(unsafe_code, clippy::mut_from_ref)]
    #[inline(always)]
    pub(crate) unsafe fn part(&self, range: Range<usize>) -> &mut [T] {
        assert!(range.start <= range.end && range.end <= self.len);
        // SAFETY: inside the slice by the assert, disjoint by the contract.
        unsafe { self.data.part(range) }
    }
}

struct SharedMut<T>(*mut T);

// SAFETY: the only access is `part`, whose caller keeps parts disjoint.
#[allow(unsafe_code)]
unsafe impl<T: Send> Sync for SharedMut<T> {}

impl<T> SharedMut<T> {
    /// # Safety
    /// Ranges handed out at the same time are disjoint and inside the slice.
    #[allow(unsafe_code, clippy::mut_from_ref)]
    unsafe fn part(&self, range: Range<usize>) -> &mut [T] {
        // SAFETY: by the contract of this function.
        unsafe { std::slice::from_raw_parts_mut(self.0.add(range.start), range.len()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_runs_once_on_its_own_part() {
        for count in [1, 2, 7] {
            let threads = Threads::new(count).unwrap();
            let mut out = vec![0u32; 103];
            let mut scratch = vec![0.0; 2 * LINE * count];
            threads.for_each_part(
                &mut out,
                &mut scratch,
                11,
                |t| t * 10..(t * 10 + 10).min(103),
                |t, part, mine| {
                    assert_eq!(mine.len(), 2 * LINE);
                    part.iter_mut().for_each(|v| *v += t as u32 + 1);
                },
            );
            for (i, v) in out.iter().enumerate() {
                assert_eq!(
                    *v as usize,
                    if i < 110 { i / 10 + 1 } else { 0 },
                    "element {i}"
                );
            }
        }
    }
}
