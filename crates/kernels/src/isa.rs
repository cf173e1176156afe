//! Which vector instructions the kernels use: found once, handed down as a value.
//!
//! Kernels are written once over [`pulp::Simd`]; `Isa::run` compiles them for
//! each instruction set and picks one at run time. Every level below the best
//! can be forced, so that each can be tested on one machine.

use std::fmt;
use std::str::FromStr;

use pulp::{Simd, WithSimd};

/// An instruction set that this machine has.
#[derive(Clone, Copy, Debug)]
pub struct Isa(Level);

#[derive(Clone, Copy, Debug)]
enum Level {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2(pulp::x86::V3),
    #[cfg(target_arch = "x86_64")]
    Avx512(pulp::x86::V4),
    #[cfg(target_arch = "aarch64")]
    Neon(pulp::aarch64::Neon),
}

impl Isa {
    /// Plain code that runs anywhere.
    pub const PORTABLE: Self = Self(Level::Portable);

    /// All levels this machine has, the plainest first.
    pub fn available() -> Vec<Self> {
        let mut found = vec![Self::PORTABLE];
        #[cfg(target_arch = "x86_64")]
        {
            found.extend(pulp::x86::V3::try_new().map(|token| Self(Level::Avx2(token))));
            found.extend(pulp::x86::V4::try_new().map(|token| Self(Level::Avx512(token))));
        }
        #[cfg(target_arch = "aarch64")]
        found.extend(pulp::aarch64::Neon::try_new().map(|token| Self(Level::Neon(token))));
        found
    }

    /// The best level of this machine.
    pub fn best() -> Self {
        Self::available().pop().unwrap_or(Self::PORTABLE)
    }

    /// Lower-case name: `portable`, `avx2`, `avx512` or `neon`.
    pub fn name(self) -> &'static str {
        match self.0 {
            Level::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Level::Avx2(_) => "avx2",
            #[cfg(target_arch = "x86_64")]
            Level::Avx512(_) => "avx512",
            #[cfg(target_arch = "aarch64")]
            Level::Neon(_) => "neon",
        }
    }

    /// Floats of a vector.
    pub(crate) fn lanes(self) -> usize {
        struct Lanes;

        impl WithSimd for Lanes {
            type Output = usize;

            #[inline(always)]
            fn with_simd<S: Simd>(self, _: S) -> usize {
                S::F32_LANES
            }
        }

        self.run(Lanes)
    }

    /// Runs `operation` compiled for this instruction set.
    #[inline]
    pub(crate) fn run<Op: WithSimd>(self, operation: Op) -> Op::Output {
        match self.0 {
            Level::Portable => Simd::vectorize(pulp::Scalar256b, operation),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2(token) => Simd::vectorize(token, operation),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512(token) => Simd::vectorize(token, operation),
            #[cfg(target_arch = "aarch64")]
            Level::Neon(token) => Simd::vectorize(token, operation),
        }
    }
}

impl Default for Isa {
    /// The best level of this machine.
    fn default() -> Self {
        Self::best()
    }
}

impl PartialEq for Isa {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Isa {}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Isa {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let available = Self::available();
        available
            .iter()
            .copied()
            .find(|isa| isa.name() == name)
            .ok_or_else(|| {
                let names: Vec<_> = available.iter().map(|isa| isa.name()).collect();
                format!(
                    "instruction set {name:?} is not available here; this machine has {}",
                    names.join(", ")
                )
            })
    }
}
