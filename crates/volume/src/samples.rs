//! The samples of a volume in the type that its file stores.
//!
//! [`each_type!`] and [`each_samples!`] are the only places that list the ten
//! types; code that is the same for all types goes through them.

use crate::Error;
use crate::words::counted;

/// The samples of a volume in the type that its file stores (after
/// `scl_slope` and the like are applied).
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "each variant is its type")]
pub enum Samples {
    U8(Vec<u8>),
    I8(Vec<i8>),
    U16(Vec<u16>),
    I16(Vec<i16>),
    U32(Vec<u32>),
    I32(Vec<i32>),
    U64(Vec<u64>),
    I64(Vec<i64>),
    F32(Vec<f32>),
    F64(Vec<f64>),
}

/// The type of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each variant is its type")]
pub enum NumberType {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F32,
    F64,
}

/// Evaluates `$body` with `$t` as the primitive type of a [`NumberType`] and
/// `$variant` as the constructor of [`Samples`] for it.
macro_rules! each_type {
    ($number_type:expr, $t:ident, $variant:ident => $body:expr) => {
        each_type!(@arms $number_type, $t, $variant, $body;
            U8 u8, I8 i8, U16 u16, I16 i16, U32 u32, I32 i32, U64 u64, I64 i64, F32 f32, F64 f64)
    };
    (@arms $number_type:expr, $t:ident, $variant:ident, $body:expr; $($name:ident $p:ident),*) => {
        match $number_type {
            $($crate::samples::NumberType::$name => {
                #[allow(dead_code, reason = "not every body names the type")]
                type $t = $p;
                #[allow(unused_variables, reason = "not every body constructs samples")]
                let $variant = $crate::samples::Samples::$name;
                $body
            })*
        }
    };
}

/// Evaluates `$body` with `$values` bound to the vector inside [`Samples`].
macro_rules! each_samples {
    ($samples:expr, $values:ident => $body:expr) => {
        match $samples {
            $crate::samples::Samples::U8($values) => $body,
            $crate::samples::Samples::I8($values) => $body,
            $crate::samples::Samples::U16($values) => $body,
            $crate::samples::Samples::I16($values) => $body,
            $crate::samples::Samples::U32($values) => $body,
            $crate::samples::Samples::I32($values) => $body,
            $crate::samples::Samples::U64($values) => $body,
            $crate::samples::Samples::I64($values) => $body,
            $crate::samples::Samples::F32($values) => $body,
            $crate::samples::Samples::F64($values) => $body,
        }
    };
}

pub(crate) use {each_samples, each_type};

impl NumberType {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::U8,
        Self::I8,
        Self::U16,
        Self::I16,
        Self::U32,
        Self::I32,
        Self::U64,
        Self::I64,
        Self::F32,
        Self::F64,
    ];

    /// Name for people: `uint8`, `float32` and so on.
    pub fn name(self) -> &'static str {
        match self {
            Self::U8 => "uint8",
            Self::I8 => "int8",
            Self::U16 => "uint16",
            Self::I16 => "int16",
            Self::U32 => "uint32",
            Self::I32 => "int32",
            Self::U64 => "uint64",
            Self::I64 => "int64",
            Self::F32 => "float32",
            Self::F64 => "float64",
        }
    }

    /// Bytes of one sample.
    pub fn bytes(self) -> usize {
        each_type!(self, T, variant => size_of::<T>())
    }

    /// False for the two floating-point types.
    pub fn is_integer(self) -> bool {
        !matches!(self, Self::F32 | Self::F64)
    }
}

impl Samples {
    /// Type of each sample.
    pub fn number_type(&self) -> NumberType {
        match self {
            Self::U8(_) => NumberType::U8,
            Self::I8(_) => NumberType::I8,
            Self::U16(_) => NumberType::U16,
            Self::I16(_) => NumberType::I16,
            Self::U32(_) => NumberType::U32,
            Self::I32(_) => NumberType::I32,
            Self::U64(_) => NumberType::U64,
            Self::I64(_) => NumberType::I64,
            Self::F32(_) => NumberType::F32,
            Self::F64(_) => NumberType::F64,
        }
    }

    /// `count` zeros.
    pub fn zeros(number_type: NumberType, count: usize) -> Self {
        each_type!(number_type, T, variant => variant(vec![0 as T; count]))
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        each_samples!(self, values => values.len())
    }

    /// Whether there is no sample.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sample `index`, rounded to f32.
    ///
    /// # Panics
    /// When `index` is not below [`len`](Self::len).
    pub fn f32_at(&self, index: usize) -> f32 {
        each_samples!(self, values => values[index].as_f32())
    }

    /// Sample `index`, rounded to f64 (exact but for 64-bit integers beyond 2^53).
    ///
    /// # Panics
    /// When `index` is not below [`len`](Self::len).
    pub fn f64_at(&self, index: usize) -> f64 {
        each_samples!(self, values => values[index].as_f64())
    }

    /// Sample `index` as a whole number; `None` where it is not one or does
    /// not fit.
    ///
    /// # Panics
    /// When `index` is not below [`len`](Self::len).
    pub fn i64_at(&self, index: usize) -> Option<i64> {
        each_samples!(self, values => values[index].whole())
    }

    /// All samples, rounded to f32.
    pub fn to_f32(&self) -> Vec<f32> {
        each_samples!(self, values => values.iter().map(|v| v.as_f32()).collect())
    }

    /// All samples, rounded to f64.
    pub fn to_f64(&self) -> Vec<f64> {
        each_samples!(self, values => values.iter().map(|v| v.as_f64()).collect())
    }

    /// Sample `index` as text, in full precision.
    ///
    /// # Panics
    /// When `index` is not below [`len`](Self::len).
    pub fn text_at(&self, index: usize) -> String {
        each_samples!(self, values => values[index].to_string())
    }

    /// The samples of `range`.
    ///
    /// # Panics
    /// When `range` does not lie within the samples.
    pub fn slice(&self, range: std::ops::Range<usize>) -> Self {
        each_type!(self.number_type(), T, variant => {
            let mut part = Vec::<T>::new();
            if let Some(values) = T::of_samples(self) {
                part.extend_from_slice(&values[range]);
            }
            variant(part)
        })
    }
}

/// A primitive type that samples can have.
pub(crate) trait Sample: Copy + Default + Send + Sync + 'static {
    /// Reads one from exactly `size_of::<Self>()` bytes, lowest byte first.
    fn of_le(bytes: &[u8]) -> Self;
    /// Reads one from exactly `size_of::<Self>()` bytes, highest byte first.
    fn of_be(bytes: &[u8]) -> Self;
    /// Appends the bytes, lowest first.
    fn push_le(self, bytes: &mut Vec<u8>);
    /// Rounded to f32.
    fn as_f32(self) -> f32;
    /// Rounded to f64.
    fn as_f64(self) -> f64;
    /// As a whole number, if it is one and fits.
    fn whole(self) -> Option<i64>;
    /// The vector, if the samples are of this type.
    fn of_samples(samples: &Samples) -> Option<&[Self]>;
    /// Samples of this type.
    fn into_samples(values: Vec<Self>) -> Samples;
}

macro_rules! sample {
    ($t:ident, $variant:ident, $whole:expr) => {
        #[allow(clippy::unnecessary_cast, reason = "for some types it is none")]
        impl Sample for $t {
            fn of_le(bytes: &[u8]) -> Self {
                let mut own = [0; size_of::<$t>()];
                own.copy_from_slice(bytes);
                Self::from_le_bytes(own)
            }
            fn of_be(bytes: &[u8]) -> Self {
                let mut own = [0; size_of::<$t>()];
                own.copy_from_slice(bytes);
                Self::from_be_bytes(own)
            }
            fn push_le(self, bytes: &mut Vec<u8>) {
                bytes.extend_from_slice(&self.to_le_bytes());
            }
            fn as_f32(self) -> f32 {
                self as f32
            }
            fn as_f64(self) -> f64 {
                self as f64
            }
            fn whole(self) -> Option<i64> {
                let whole: fn($t) -> Option<i64> = $whole;
                whole(self)
            }
            fn of_samples(samples: &Samples) -> Option<&[Self]> {
                match samples {
                    Samples::$variant(values) => Some(values),
                    _ => None,
                }
            }
            fn into_samples(values: Vec<Self>) -> Samples {
                Samples::$variant(values)
            }
        }
    };
}

sample!(u8, U8, |v| Some(v.into()));
sample!(i8, I8, |v| Some(v.into()));
sample!(u16, U16, |v| Some(v.into()));
sample!(i16, I16, |v| Some(v.into()));
sample!(u32, U32, |v| Some(v.into()));
sample!(i32, I32, |v| Some(v.into()));
sample!(u64, U64, |v| i64::try_from(v).ok());
sample!(i64, I64, Some);
sample!(f32, F32, |v| f64::from(v).whole());
sample!(f64, F64, whole);

/// `value` as a whole number, if it is one and fits.
pub(crate) fn whole(value: f64) -> Option<i64> {
    // 2^63 is the first f64 that i64 cannot hold; -2^63 is one that it can.
    const FITTING: std::ops::Range<f64> = -9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0;
    (value.fract() == 0.0 && FITTING.contains(&value)).then_some(value as i64)
}

/// Bytes of `count` samples, as an error where that exceeds the address space.
pub(crate) fn sample_count(channels: usize, shape: [usize; 3]) -> Result<usize, Error> {
    shape
        .iter()
        .try_fold(channels, |product, &n| product.checked_mul(n))
        // The largest sample has 8 bytes, and no allocation exceeds isize::MAX.
        .filter(|&count| count <= isize::MAX as usize / 8)
        .ok_or_else(|| Error::Inconsistent {
            field: "the number of samples",
            found: format!(
                "{} of {} x {} x {} voxels",
                counted(channels, "channel"),
                shape[0],
                shape[1],
                shape[2]
            ),
            rule: "must fit the address space".to_owned(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_told_from_others() {
        let samples = Samples::F32(vec![-1.0, 3.0, 0.5, f32::NAN, f32::INFINITY, 1e30]);
        let found: Vec<_> = (0..6).map(|i| samples.i64_at(i)).collect();
        assert_eq!(found, [Some(-1), Some(3), None, None, None, None]);
        assert_eq!(
            Samples::F64(vec![-(2f64.powi(63))]).i64_at(0),
            Some(i64::MIN)
        );
        assert_eq!(Samples::F64(vec![2f64.powi(63)]).i64_at(0), None);
        assert_eq!(Samples::U64(vec![u64::MAX]).i64_at(0), None);
    }

    #[test]
    fn names_and_sizes_agree() {
        for number_type in NumberType::ALL {
            let zeros = Samples::zeros(number_type, 3);
            assert_eq!(zeros.number_type(), number_type);
            assert_eq!(zeros.len(), 3);
            assert!(
                number_type
                    .name()
                    .ends_with(&(number_type.bytes() * 8).to_string())
            );
        }
    }
}
