//! Pictures as PNG in base64, as HTML holds them.
//!
//! A picture of few colours is an index a pixel. Its PNG begins with the same bytes for
//! all slices of a direction, then comes the palette, then the pixels: the viewer keeps
//! beginning and palette once and joins them with the pixels of the slice that it shows,
//! so that colours, outlines and classes are turned on and off without a second copy
//! of any slice. All three parts are whole groups of three bytes (the last may not be),
//! which is what base64 can be joined at.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use png::{BitDepth, ColorType, Compression, Encoder};

/// Bytes of the signature and the first chunk of every PNG: a multiple of three.
const HEAD_BYTES: usize = 8 + 25;

/// A picture that is an index a pixel.
pub(super) struct Indexed {
    pub(super) rows: usize,
    pub(super) columns: usize,
    /// How many indices there are, at most 256.
    pub(super) colours: usize,
    /// Row by row.
    pub(super) pixels: Vec<u8>,
}

impl Indexed {
    /// The beginning of the PNG, and its pixels: in base64, without the palette.
    pub(super) fn parts(&self) -> [String; 2] {
        let depth = match self.colours {
            0..=2 => BitDepth::One,
            3..=4 => BitDepth::Two,
            5..=16 => BitDepth::Four,
            _ => BitDepth::Eight,
        };
        let packed = pack(&self.pixels, self.columns, depth as usize);
        // The palette is replaced; a PNG without one is not written.
        let png = png(
            [self.rows, self.columns],
            (ColorType::Indexed, depth),
            Some(&[0, 0, 0]),
            &packed,
        );
        let pixels = chunks(&png).find(|(kind, _)| kind == b"IDAT");
        let pixels = pixels.map_or(&[][..], |(_, start)| &png[start..]);
        let head = png.get(..HEAD_BYTES).unwrap_or_default();
        [STANDARD.encode(head), STANDARD.encode(pixels)]
    }
}

/// A picture of one byte a pixel (gray) or three (red, green, blue), in base64.
pub(super) fn gray_or_rgb(pixels: &[u8], [rows, columns]: [usize; 2]) -> String {
    let colour = match pixels.len() {
        n if n == rows * columns => ColorType::Grayscale,
        _ => ColorType::Rgb,
    };
    let png = png([rows, columns], (colour, BitDepth::Eight), None, pixels);
    STANDARD.encode(png)
}

/// A picture of colours, in base64: as indices where the colours are few.
pub(super) fn colours(pixels: &[[u8; 3]], size: [usize; 2]) -> String {
    const MOST: usize = 256;
    let mut indices: HashMap<[u8; 3], u8> = HashMap::new();
    let mut palette = Vec::new();
    let mut indexed = Vec::with_capacity(pixels.len());
    for pixel in pixels {
        if indices.len() == MOST && !indices.contains_key(pixel) {
            return gray_or_rgb(pixels.as_flattened(), size);
        }
        let next = indices.len() as u8;
        indexed.push(*indices.entry(*pixel).or_insert_with(|| {
            palette.extend(pixel);
            next
        }));
    }
    let kind = (ColorType::Indexed, BitDepth::Eight);
    STANDARD.encode(png(size, kind, Some(&palette), &indexed))
}

/// An image element of a picture in base64.
pub(super) fn source(base64: &str) -> String {
    format!("data:image/png;base64,{base64}")
}

/// A PNG; empty if that fails, which memory alone can cause.
fn png(
    [rows, columns]: [usize; 2],
    (colour, depth): (ColorType, BitDepth),
    palette: Option<&[u8]>,
    data: &[u8],
) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = Encoder::new(&mut out, columns as u32, rows as u32);
    encoder.set_color(colour);
    encoder.set_depth(depth);
    encoder.set_compression(Compression::Balanced);
    if let Some(palette) = palette {
        encoder.set_palette(palette);
        // Neighbouring indices have nothing in common that a filter could use.
        encoder.set_filter(png::Filter::NoFilter);
    }
    let written = encoder
        .write_header()
        .and_then(|mut writer| writer.write_image_data(data));
    if written.is_err() {
        out.clear();
    }
    out
}

/// Indices side by side in bytes, each row in bytes of its own, as PNG packs them.
fn pack(pixels: &[u8], columns: usize, bits: usize) -> Vec<u8> {
    let a_byte = 8 / bits;
    let rows = pixels.chunks(columns.max(1));
    rows.flat_map(|row| {
        row.chunks(a_byte).map(|few| {
            let places = few.iter().enumerate();
            places.fold(0, |byte, (i, index)| byte | index << (8 - bits * (i + 1)))
        })
    })
    .collect()
}

/// Kind and place of each chunk of a PNG.
fn chunks(png: &[u8]) -> impl Iterator<Item = ([u8; 4], usize)> + '_ {
    let mut at = 8;
    std::iter::from_fn(move || {
        let [a, b, c, d, kind @ ..] = *png.get(at..)?.first_chunk::<8>()?;
        let start = at;
        at += 12 + u32::from_be_bytes([a, b, c, d]) as usize;
        Some((kind, start))
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Rows, columns and bytes of a PNG in base64, expanded to gray or colours.
    pub(crate) fn decoded(base64: &str) -> (u32, u32, Vec<u8>) {
        let bytes = STANDARD.decode(base64).expect("base64");
        let mut decoder = png::Decoder::new(std::io::Cursor::new(bytes));
        decoder.set_transformations(png::Transformations::EXPAND);
        let mut reader = decoder.read_info().expect("a PNG");
        let mut out = vec![0; reader.output_buffer_size().expect("a size")];
        let frame = reader.next_frame(&mut out).expect("pixels");
        out.truncate(frame.buffer_size());
        (frame.height, frame.width, out)
    }

    /// What the viewer makes of the parts: a palette chunk of these colours between.
    pub(crate) fn joined([head, pixels]: &[String; 2], palette: &[u8]) -> String {
        let mut whole = Vec::new();
        let mut encoder = Encoder::new(&mut whole, 1, 1);
        encoder.set_color(ColorType::Indexed);
        encoder.set_palette(palette);
        let mut writer = encoder.write_header().expect("a header");
        writer.write_image_data(&[0]).expect("a pixel");
        drop(writer);
        let place = |kind: &[u8; 4]| chunks(&whole).find(|(k, _)| k == kind).expect("it").1;
        let palette = STANDARD.encode(&whole[place(b"PLTE")..place(b"IDAT")]);
        format!("{head}{palette}{pixels}")
    }

    #[test]
    fn parts_of_any_depth_join_to_a_picture() {
        for colours in [2, 3, 4, 5, 16, 17, 200, 256] {
            for columns in [1, 3, 8, 13] {
                let pixels: Vec<u8> = (0..columns * 5).map(|i| (i * 7 % colours) as u8).collect();
                let picture = Indexed {
                    rows: 5,
                    columns,
                    colours,
                    pixels: pixels.clone(),
                };
                let palette: Vec<u8> = (0..colours)
                    .flat_map(|i| [i as u8, 255 - i as u8, 9])
                    .collect();
                let (rows, width, found) = decoded(&joined(&picture.parts(), &palette));
                assert_eq!((rows, width as usize), (5, columns));
                let expected: Vec<u8> = pixels.iter().flat_map(|i| [*i, 255 - i, 9]).collect();
                assert_eq!(found, expected, "{colours} colours, {columns} columns");
            }
        }
    }

    #[test]
    fn pictures_come_back_as_they_were() {
        let gray: Vec<u8> = (0..35).map(|i| i * 7).collect();
        assert_eq!(decoded(&gray_or_rgb(&gray, [5, 7])), (5, 7, gray.clone()));
        let rgb: Vec<u8> = (0..105).map(|i| i * 2).collect();
        assert_eq!(decoded(&gray_or_rgb(&rgb, [5, 7])), (5, 7, rgb));
        for different in [1usize, 3, 256, 257, 1000] {
            let pixels: Vec<[u8; 3]> = (0..1000)
                .map(|i| [(i % different) as u8, (i % different / 256) as u8, 7])
                .collect();
            let found = decoded(&colours(&pixels, [20, 50]));
            assert_eq!(
                found,
                (20, 50, pixels.as_flattened().to_vec()),
                "{different}"
            );
        }
    }
}
