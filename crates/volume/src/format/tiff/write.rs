//! Volumes to pages: one for each slice and channel, channels fastest, deflate.
//!
//! ImageJ's description where it knows the sample type, tifffile's for the
//! others. BigTIFF from 4 GB of samples on: compressed it may be smaller, but
//! that is known only when it is too late. No predictor: ImageJ undoes one
//! with LZW only.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use tiff::TiffResult;
use tiff::encoder::colortype::{
    ColorType, Gray8, Gray16, Gray32, Gray32Float, Gray64, Gray64Float, GrayI8, GrayI16, GrayI32,
    GrayI64,
};
use tiff::encoder::{Compression, DeflateLevel, Rational, TiffEncoder, TiffKind, TiffValue};
use tiff::tags::Tag;

use super::{imagej, shaped};
use crate::labels::colours;
use crate::samples::{NumberType, Samples};
use crate::{Class, Error, Volume};

/// Offsets in plain TIFF have 32 bits; 64 MB are left for directories and for
/// what deflate adds to samples that do not compress.
const LARGEST_PLAIN: u64 = (1 << 32) - (64 << 20);

/// Writes a volume; BigTIFF where it is too large for plain TIFF.
pub(super) fn write(
    writer: &mut BufWriter<File>,
    path: &Path,
    volume: &Volume,
    classes: Option<&[Class]>,
) -> Result<(), Error> {
    let bytes = volume.samples.len() as u64 * volume.samples.number_type().bytes() as u64;
    write_as(writer, path, volume, classes, bytes > LARGEST_PLAIN)
}

/// Writes a volume as plain TIFF or BigTIFF.
pub(super) fn write_as(
    writer: &mut BufWriter<File>,
    path: &Path,
    volume: &Volume,
    classes: Option<&[Class]>,
    big: bool,
) -> Result<(), Error> {
    let result = if big {
        TiffEncoder::new_big(writer).and_then(|encoder| write_pages(encoder, volume, classes))
    } else {
        TiffEncoder::new(writer).and_then(|encoder| write_pages(encoder, volume, classes))
    };
    result.map_err(|error| match error {
        tiff::TiffError::IoError(error) => Error::io(path, "writing")(error),
        other => Error::field(
            path,
            "the volume",
            format!("not writable ({other})"),
            "must fit the TIFF format",
            "Choose another format for this volume: .nii.gz or .npy.",
        ),
    })
}

fn write_pages<K: TiffKind>(
    encoder: TiffEncoder<&mut BufWriter<File>, K>,
    volume: &Volume,
    classes: Option<&[Class]>,
) -> TiffResult<()> {
    let encoder = encoder.with_compression(Compression::Deflate(DeflateLevel::Balanced));
    match &volume.samples {
        Samples::U8(v) => write_typed::<Gray8, K>(encoder, volume, classes, v),
        Samples::I8(v) => write_typed::<GrayI8, K>(encoder, volume, classes, v),
        Samples::U16(v) => write_typed::<Gray16, K>(encoder, volume, classes, v),
        Samples::I16(v) => write_typed::<GrayI16, K>(encoder, volume, classes, v),
        Samples::U32(v) => write_typed::<Gray32, K>(encoder, volume, classes, v),
        Samples::I32(v) => write_typed::<GrayI32, K>(encoder, volume, classes, v),
        Samples::U64(v) => write_typed::<Gray64, K>(encoder, volume, classes, v),
        Samples::I64(v) => write_typed::<GrayI64, K>(encoder, volume, classes, v),
        Samples::F32(v) => write_typed::<Gray32Float, K>(encoder, volume, classes, v),
        Samples::F64(v) => write_typed::<Gray64Float, K>(encoder, volume, classes, v),
    }
}

fn write_typed<C: ColorType, K: TiffKind>(
    mut encoder: TiffEncoder<&mut BufWriter<File>, K>,
    volume: &Volume,
    classes: Option<&[Class]>,
    values: &[C::Inner],
) -> TiffResult<()>
where
    [C::Inner]: TiffValue,
{
    let [depth, height, width] = volume.geometry.shape;
    let number_type = volume.samples.number_type();
    let (description, resolution) = if imagej::knows(number_type) {
        imagej::describe(volume, classes)
    } else {
        (shaped::describe(volume, classes), None)
    };
    let legend = classes.map(imagej::legend);
    let colours = classes
        .filter(|_| number_type == NumberType::U8)
        .map(colour_map);
    for z in 0..depth {
        for c in 0..volume.channels {
            let mut page = encoder.new_image::<C>(u32::try_from(width)?, u32::try_from(height)?)?;
            if let Some([y, x]) = resolution {
                page.y_resolution(rational(y));
                page.x_resolution(rational(x));
            }
            if z == 0 && c == 0 {
                page.encoder()
                    .write_tag(Tag::ImageDescription, description.as_str())?;
                if let Some((lengths, bytes)) = &legend {
                    let tags = page.encoder();
                    tags.write_tag(Tag::Unknown(imagej::METADATA_LENGTHS), &lengths[..])?;
                    tags.write_tag(Tag::Unknown(imagej::METADATA), &bytes[..])?;
                }
            }
            if let Some(colours) = &colours {
                // The page stays gray: ImageJ takes the colours nevertheless,
                // and readers that would turn a palette into RGB leave the
                // values as they are. All pages, or ImageJ opens them one by one.
                page.encoder().write_tag(Tag::ColorMap, &colours[..])?;
            }
            let start = (c * depth + z) * height * width;
            page.write_data(&values[start..start + height * width])?;
        }
    }
    Ok(())
}

/// All reds, then greens, then blues, in 16 bits.
fn colour_map(classes: &[Class]) -> Vec<u16> {
    let table = colours::table(classes);
    (0..3)
        .flat_map(|c| table.iter().map(move |colour| u16::from(colour[c]) * 257))
        .collect()
}

/// The nearest fraction of 32-bit numbers, by continued fractions.
fn rational(value: f64) -> Rational {
    let fits = |v: f64| v <= f64::from(u32::MAX);
    let ([mut n0, mut d0], [mut n1, mut d1]) = ([0.0, 1.0], [1.0, 0.0]);
    let mut rest = value;
    // Each step at least doubles the denominator every second time: 64 are
    // more than 32 bits can take.
    for _ in 0..64 {
        let whole = rest.floor();
        let (n2, d2) = (whole * n1 + n0, whole * d1 + d0);
        if !fits(n2) || !fits(d2) {
            break;
        }
        ([n0, d0], [n1, d1]) = ([n1, d1], [n2, d2]);
        let fraction = rest - whole;
        // Closer than f64 tells: what follows is noise.
        if fraction < 1e-9 || (n1 / d1 - value).abs() <= 1e-15 * value {
            break;
        }
        rest = 1.0 / fraction;
    }
    if d1 == 0.0 || n1 == 0.0 {
        // Beyond what 32 bits express: 10^9 pixels in a unit, or the inverse.
        return match value > 1.0 {
            true => Rational { n: u32::MAX, d: 1 },
            false => Rational { n: 1, d: u32::MAX },
        };
    }
    Rational {
        n: n1 as u32,
        d: d1 as u32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_are_the_nearest() {
        for (value, n, d) in [
            (1.0 / 0.127, 1000, 127),
            (1.0, 1, 1),
            (0.25, 1, 4),
            (1e8, 100_000_000, 1),
        ] {
            let found = rational(value);
            assert_eq!((found.n, found.d), (n, d), "{value}");
        }
        for value in [1e-20, 1e20, std::f64::consts::PI, 1e-3] {
            let found = rational(value);
            assert!(found.n > 0 && found.d > 0, "{value}");
        }
    }
}
