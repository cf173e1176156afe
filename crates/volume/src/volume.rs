//! A volume: samples, shape, spacing, orientation and channels.

/// Where the voxels of a volume are.
#[derive(Clone, Debug, PartialEq)]
pub struct Geometry {
    /// Voxels along `[z, y, x]`.
    pub shape: [usize; 3],
    /// Distance of neighbouring voxels in mm along `[z, y, x]`; `None` where
    /// the file does not say.
    pub spacing_mm: Option<[f64; 3]>,
    /// Rows world x, y, z in mm (right, anterior, superior positive, as in
    /// NIfTI); columns volume z, y, x and the translation: `world = m * [z, y, x, 1]`.
    /// `None` where the file does not say.
    pub world_from_volume: Option<[[f64; 4]; 3]>,
}

impl Geometry {
    /// A geometry of which only the shape is known.
    pub fn of_shape(shape: [usize; 3]) -> Self {
        Self {
            shape,
            spacing_mm: None,
            world_from_volume: None,
        }
    }

    /// Number of voxels.
    pub fn voxels(&self) -> usize {
        self.shape.iter().product()
    }
}

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

/// An image or a label image as its file holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct Volume {
    /// Shape, spacing and orientation.
    pub geometry: Geometry,
    /// Number of channels.
    pub channels: usize,
    /// `[c, z, y, x]`, `channels * geometry.voxels()` of them.
    pub samples: Samples,
}

/// An image as the network reads it: normalised, channels innermost.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    /// Shape, spacing and orientation.
    pub geometry: Geometry,
    /// Number of channels.
    pub channels: usize,
    /// `[z, y, x, c]`, `geometry.voxels() * channels` of them.
    pub voxels: Vec<f32>,
}
