//! Writes slices of the phantom as PNG pictures: the three channels as blue
//! (nuclei), green (lectin) and red (cell borders), each channel in gray, and
//! the truth, side by side; a slice along z above, one along y below.
//!
//! ```text
//! cargo run --release -p unet3d-volume --example phantom -- OUT.png [SEED [Z Y X [SAMPLE]]]
//! ```

use std::error::Error;
use std::fs::File;
use std::io::BufWriter;

use unet3d_volume::{Phantom, Samples};

/// Each voxel becomes this many pixels in a row and a column.
const ZOOM: usize = 3;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let out = args
        .next()
        .ok_or("usage: phantom OUT.png [SEED [Z Y X [SAMPLE]]]")?;
    let seed = args.next().map_or(Ok(0), |s| s.parse())?;
    let sizes: Vec<usize> = args.map(|s| s.parse()).collect::<Result<_, _>>()?;
    let (shape, sample) = match sizes[..] {
        [z, y, x] => ([z, y, x], 0),
        [z, y, x, sample] => ([z, y, x], sample as u64),
        _ => ([64, 128, 128], 0),
    };

    let started = std::time::Instant::now();
    let phantom = Phantom {
        sample,
        ..Phantom::new(shape, seed)
    };
    let (image, labels) = phantom.build();
    let elapsed_s = started.elapsed().as_secs_f64();
    let (Samples::U8(image), Samples::U8(labels)) = (&image.samples, &labels.samples) else {
        return Err("the phantom is no longer of bytes".into());
    };
    let [nz, ny, nx] = shape;
    let share = |class| labels.iter().filter(|&&l| l == class).count() as f64 / labels.len() as f64;
    #[allow(clippy::print_stdout, reason = "an example speaks")]
    {
        println!(
            "{shape:?} in {elapsed_s:.2} s; inside {:.3}, tubule {:.3}",
            share(0),
            share(1)
        );
    }

    let (width, height) = (5 * nx * ZOOM, (ny + nz) * ZOOM);
    let mut pixels = Vec::with_capacity(width * height * 3);
    for row in 0..height / ZOOM {
        let (z, y) = if row < ny {
            (nz / 2, row)
        } else {
            (row - ny, ny / 2)
        };
        let mut line = Vec::with_capacity(width * 3);
        for column in 0..5 * nx {
            let i = (z * ny + y) * nx + column % nx;
            let [c0, c1, c2] = [0, 1, 2].map(|c| image[c * labels.len() + i]);
            let colour = match column / nx {
                0 => [c2, c0, c1].map(|v| v.saturating_mul(2)),
                k @ 1..=3 => [[c0, c1, c2][k - 1].saturating_mul(2); 3],
                _ => [[90, 160, 255], [255, 190, 60], [25, 25, 25]][usize::from(labels[i])],
            };
            for _ in 0..ZOOM {
                line.extend(colour);
            }
        }
        for _ in 0..ZOOM {
            pixels.extend_from_slice(&line);
        }
    }
    let mut png = png::Encoder::new(
        BufWriter::new(File::create(out)?),
        u32::try_from(width)?,
        u32::try_from(height)?,
    );
    png.set_color(png::ColorType::Rgb);
    png.write_header()?.write_image_data(&pixels)?;
    Ok(())
}
