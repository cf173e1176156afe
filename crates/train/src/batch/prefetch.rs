//! Worker threads that make batches ahead of the steps that use them.
//!
//! Of `n` workers, worker `i` makes the batches of steps `first + i`,
//! `first + i + n` and so on into buffers of its own, and the consumer asks the
//! workers in turn. So the order follows from the numbers, not from who is
//! ready first, the look-ahead is bounded by the buffers, and a step in a
//! steady state allocates nothing.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use super::{Batch, BatchError, Recipe};

/// Worker threads that make batches ahead. Dropping it stops them.
///
/// ```
/// use std::sync::Arc;
/// use unet3d_train::Case;
/// use unet3d_train::augment::AugmentConfig;
/// use unet3d_train::batch::{Prefetcher, Recipe};
/// use unet3d_train::sampler::{PatchShape, Sampler, SamplerConfig};
/// use unet3d_volume::{Class, Geometry, Image, Label, Labels};
///
/// let geometry = Geometry::of_shape([24, 32, 32]);
/// let mut voxels = vec![Label::UNLABELED; geometry.voxels()];
/// voxels[12 * 32 * 32..13 * 32 * 32].fill(Label::of_class(0)); // one slice
/// let case = Case {
///     name: "example".into(),
///     subject: None,
///     notes: Vec::new(),
///     image: Image {
///         geometry: geometry.clone(),
///         channels: 1,
///         voxels: vec![0.5; geometry.voxels()],
///     },
///     labels: Labels {
///         geometry,
///         classes: vec![Class { value: 1, name: "tissue".into() }],
///         voxels,
///     },
/// };
/// let patch = PatchShape::new([16; 3], [16; 3])?;
/// let sampler = Sampler::new(Arc::new([case]), patch, &SamplerConfig::Annotated)?;
/// let recipe = Recipe::new(Arc::new(sampler), AugmentConfig::default(), 2, 42)?;
/// let mut batches = Prefetcher::new(&recipe, 1, 2, 0)?;
/// for step in 0..3 {
///     let batch = batches.next()?;
///     assert_eq!(batch.step, step);
///     assert_eq!(batch.input.len(), 2 * 16 * 16 * 16);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Prefetcher {
    workers: Vec<Worker>,
    next_step: u64,
    /// The worker whose turn it is.
    turn: usize,
    /// The batch that is lent out.
    lent: Option<Batch>,
    bytes: u64,
}

struct Worker {
    /// `None` once the worker is to stop: it sees that nobody listens.
    line: Option<Line>,
    thread: Option<JoinHandle<()>>,
}

/// The consumer's ends of a worker's two channels.
struct Line {
    /// Buffers to fill.
    empty: SyncSender<Batch>,
    full: Receiver<Result<Batch, String>>,
}

impl Prefetcher {
    /// Starts `workers` threads (at least 1) that make the batches of
    /// `first_step`, `first_step + 1` and so on, at most about `ahead` of them
    /// (at least one for each worker) before they are asked for.
    ///
    /// # Errors
    /// When the operating system refuses a thread.
    pub fn new(
        recipe: &Recipe,
        workers: usize,
        ahead: usize,
        first_step: u64,
    ) -> Result<Self, BatchError> {
        let workers = workers.max(1);
        let stride = workers as u64;
        let makers = (0..workers).map(|i| {
            let recipe = recipe.clone();
            let mut augmenter = recipe.augmenter()?;
            let mut step = first_step + i as u64;
            let make = move |batch: &mut Batch| {
                recipe.make(&mut augmenter, step, batch);
                step += stride;
            };
            Ok::<_, BatchError>(make)
        });
        let makers = makers.collect::<Result<Vec<_>, _>>()?;
        let mut prefetcher = Self::start(makers, ahead, first_step)?;
        prefetcher.bytes *= recipe.bytes();
        Ok(prefetcher)
    }

    /// Starts one worker for each of `makers`, which fill batches in turn.
    pub(super) fn start(
        makers: Vec<impl FnMut(&mut Batch) + Send + 'static>,
        ahead: usize,
        first_step: u64,
    ) -> Result<Self, BatchError> {
        let each = ahead.div_ceil(makers.len()).max(1);
        let mut prefetcher = Self {
            bytes: (each * makers.len() + 1) as u64,
            workers: Vec::with_capacity(makers.len()),
            next_step: first_step,
            turn: 0,
            lent: None,
        };
        // One buffer more than batches waiting: the one that is lent out.
        for (i, make) in makers.into_iter().enumerate() {
            let extra = usize::from(i == 0);
            prefetcher
                .workers
                .push(Worker::start(i, each + extra, make)?);
        }
        Ok(prefetcher)
    }

    /// The batch of the next step, waiting for it where it is not ready. It
    /// is valid until the next call, which gives its memory back to a worker.
    ///
    /// # Errors
    /// When the worker that was to make it panicked; from then on always.
    #[allow(
        clippy::should_implement_trait,
        reason = "lends, so it cannot be an iterator"
    )]
    pub fn next(&mut self) -> Result<&Batch, BatchError> {
        let previous = self.turn.checked_sub(1).unwrap_or(self.workers.len() - 1);
        if let Some(batch) = self.lent.take()
            && let Some(line) = &self.workers[previous].line
        {
            // A worker that is gone tells why below, at its turn.
            let _ = line.empty.send(batch);
        }
        let step = self.next_step;
        let lost = |message: &str| BatchError::Worker {
            step,
            message: message.to_owned(),
        };
        let line = self.workers[self.turn].line.as_ref();
        let batch = match line.and_then(|line| line.full.recv().ok()) {
            Some(Ok(batch)) => batch,
            Some(Err(message)) => return Err(lost(&message)),
            None => return Err(lost("its thread has ended")),
        };
        debug_assert_eq!(batch.step, step, "workers and consumer count differently");
        self.next_step += 1;
        self.turn = (self.turn + 1) % self.workers.len();
        Ok(self.lent.insert(batch))
    }

    /// Bytes of all buffers, the one lent out included.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Worker {
    fn start(
        number: usize,
        buffers: usize,
        mut make: impl FnMut(&mut Batch) + Send + 'static,
    ) -> Result<Self, BatchError> {
        let (empty, to_fill) = sync_channel::<Batch>(buffers);
        let (filled, full) = sync_channel(buffers);
        for _ in 0..buffers {
            // Holds exactly `buffers`: neither full nor hung up.
            let _ = empty.send(Batch::default());
        }
        let work = move || {
            for mut batch in to_fill {
                let result = catch_unwind(AssertUnwindSafe(|| make(&mut batch)));
                let result = result.map(|()| batch);
                let result = result.map_err(|panic| message_of(panic.as_ref()));
                let failed = result.is_err();
                if filled.send(result).is_err() || failed {
                    break;
                }
            }
        };
        let name = format!("unet3d-batch-{number}");
        let thread = std::thread::Builder::new().name(name).spawn(work)?;
        Ok(Self {
            line: Some(Line { empty, full }),
            thread: Some(thread),
        })
    }
}

impl Drop for Prefetcher {
    fn drop(&mut self) {
        // Hang up on all first, so that they stop at the same time: each ends
        // the batch that it is making and finds nobody to send it to.
        for worker in &mut self.workers {
            worker.line = None;
        }
        for worker in &mut self.workers {
            if let Some(thread) = worker.thread.take() {
                // A panic has been caught and told already.
                let _ = thread.join();
            }
        }
    }
}

fn message_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}
