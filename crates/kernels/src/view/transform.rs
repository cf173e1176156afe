//! What is still to be done to a stored value: normalisation, activation, dropout.

/// Which activations are dropped: a pure function of (key, element).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    /// Differs for every layer and step.
    pub key: u64,
    /// Probability of being dropped, below 1.
    pub rate: f32,
}

impl Dropout {
    /// Factor of element `index`: 0 when dropped, else `1 / (1 - rate)`. Elements
    /// 2^32 apart, 16 GB, share their fate.
    #[inline(always)]
    pub fn factor(&self, index: usize) -> f32 {
        self.of(index as u32)
    }

    /// Of 32 bits alone, which vectors multiply several times as fast as 64.
    #[inline(always)]
    pub(super) fn of(&self, index: u32) -> f32 {
        // The key is mixed first, as SplitMix64 does: similar keys would give similar
        // masks. Then the rounds of a 32-bit mixer, `lowbias32` of Wellons' search
        // (2018), with one half of the key before each: with one half alone all masks
        // would be permutations of one pattern; so, only those of equal later halves are.
        let mut key = (self.key ^ (self.key >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        key = (key ^ (key >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        key ^= key >> 31;
        let [early, late] = [key as u32, (key >> 32) as u32];
        let mut z = index ^ early;
        z = (z ^ (z >> 16)).wrapping_mul(0x7FEB_352D) ^ late;
        z = (z ^ (z >> 15)).wrapping_mul(0x846C_A68B);
        z ^= z >> 16;
        if z < (self.rate * (1u64 << 32) as f32) as u32 {
            0.0
        } else {
            1.0 / (1.0 - self.rate)
        }
    }
}

/// What is still to be done to a stored value `y`:
/// `dropout(activation(scale * y + shift))`.
#[derive(Clone, Copy, Debug)]
pub struct Transform<'a> {
    /// `n * c` factors.
    pub scale: &'a [f32],
    /// `n * c` summands.
    pub shift: &'a [f32],
    /// Factor of negative values: 0 for ReLU, 1 for none.
    pub slope: f32,
    /// In training only.
    pub dropout: Option<Dropout>,
}

impl Transform<'_> {
    /// The transformed value of element `index` with channel `nc = n * C + c`.
    #[inline(always)]
    pub fn apply(&self, y: f32, nc: usize, index: usize) -> f32 {
        let u = y * self.scale[nc] + self.shift[nc];
        let z = if u > 0.0 { u } else { u * self.slope };
        match self.dropout {
            Some(dropout) => z * dropout.factor(index),
            None => z,
        }
    }

    /// The derivative of [`apply`](Self::apply) by `u = scale * y + shift`.
    #[inline(always)]
    pub fn derivative(&self, y: f32, nc: usize, index: usize) -> f32 {
        let u = y * self.scale[nc] + self.shift[nc];
        let slope = if u > 0.0 { 1.0 } else { self.slope };
        match self.dropout {
            Some(dropout) => slope * dropout.factor(index),
            None => slope,
        }
    }
}
