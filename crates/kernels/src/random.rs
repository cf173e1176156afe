//! Counter-based randomness: (seed, stream, step) gives the numbers.
//!
//! Nothing here remembers what was drawn before, so a resumed run and a run on
//! more threads draw exactly what an undisturbed one draws.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// What a sequence of random numbers is for. Two purposes never share numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Stream {
    /// Initial parameters.
    Parameters = 1,
    /// Which patch is drawn.
    Sampler = 2,
    /// How a patch is deformed and its gray values are changed.
    Augmentation = 3,
    /// Which activations are dropped.
    Dropout = 4,
    /// The built-in phantom.
    Phantom = 5,
    /// Splits into training and validation.
    Split = 6,
    /// Which blocks of a sample are drawn again, to say how far it can be trusted.
    Blocks = 8,
    /// Which slice is suggested, where chance is to choose.
    Suggestion = 9,
    /// Tests and benchmarks.
    Test = 7,
}

/// The generator for one purpose at one step: equal arguments, equal numbers.
///
/// ```
/// use rand::Rng;
/// use unet3d_kernels::random::{Stream, generator};
/// let a = generator(7, Stream::Sampler, 3).next_u64();
/// assert_eq!(a, generator(7, Stream::Sampler, 3).next_u64());
/// assert_ne!(a, generator(7, Stream::Sampler, 4).next_u64());
/// ```
pub fn generator(seed: u64, stream: Stream, step: u64) -> ChaCha8Rng {
    let mut key = [0u8; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&(stream as u64).to_le_bytes());
    key[16..24].copy_from_slice(&step.to_le_bytes());
    ChaCha8Rng::from_seed(key)
}
