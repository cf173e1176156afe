//! Still pictures of a few slices: for paper, and where scripts do not run.

use std::fmt::Write;

use super::encode;
use super::layers::{self, DIFFERENCES, Shades, UNLABELED};
use super::markup::escape;
use super::palette;
use super::plane::{Plane, extent};
use super::slices::{Layer, Painter, Slices};
use super::units;
use crate::parse::AXES;

/// Largest side of a still picture in pixels: sharp on paper, where several stand side
/// by side.
const LONGEST_SIDE: usize = 384;

/// How strongly a class colours the image under it: enough to tell colours apart,
/// little enough to see edges through it.
const OPACITY: f32 = 0.45;

/// How bright the image stays where nothing is annotated.
const DIMMED: f32 = 0.7;

/// Grays of the image under colours, so that all mixtures fit a palette.
const GRAY_STEP: u8 = 8;

/// The stills of each direction.
pub(super) fn html(painter: &Painter<'_>) -> String {
    let mut out = String::from("<div class=\"stills\">\n");
    legend(&mut out, painter);
    for axis in 0..3 {
        for (index, what) in chosen(painter.slices, axis) {
            figure(&mut out, painter, (axis, index), what);
        }
    }
    out.push_str("</div>\n");
    out
}

/// One slice with its layers side by side.
pub(super) fn figure(
    out: &mut String,
    painter: &Painter<'_>,
    (axis, index): (usize, usize),
    what: &str,
) {
    let shape = painter.shape();
    let step = Plane::longest_side(shape, axis)
        .div_ceil(LONGEST_SIDE)
        .max(1);
    let plane = Plane::new(shape, axis, index, step);
    let geometry = painter.slices.image.geometry();
    let [width, height] = extent(geometry, axis);
    // A slice much taller than wide would fill the page by itself.
    let tall = if height > 1.2 * width { " tall" } else { "" };
    let slice = format!("slice {} {index}", AXES[axis]);
    let what = if what.is_empty() {
        String::new()
    } else {
        format!(", {what}")
    };
    let _ = write!(
        out,
        "<figure class=\"slice card{tall}\"><figcaption><b>Slice {} {index}</b> of 0 to {}{what}</figcaption>\
         <div class=\"row\">",
        AXES[axis],
        shape[axis] - 1,
    );
    let name = escape(&painter.slices.name);
    let mut panel = |title: &str, base64: &str, inside: &str| {
        let _ = write!(
            out,
            "<div><span class=\"framed\"><img alt=\"{title} of {name}, {slice}\" \
             style=\"aspect-ratio:{width:.5}/{height:.5}\" src=\"{}\">{inside}</span>{title}</div>",
            encode::source(base64)
        );
    };
    let pixels = painter.gray.pixels(&plane);
    let size = [plane.rows, plane.columns];
    let bar = geometry.spacing().map_or_else(String::new, |_| {
        let (share, text) = units::scale_bar(width);
        format!(
            "<span class=\"scale\" style=\"width:{:.2}%\"><i></i><span>{text}</span></span>",
            100.0 * share
        )
    });
    panel("image", &encode::gray_or_rgb(&pixels, size), &bar);
    let grays: Vec<u8> = pixels
        .chunks(painter.gray.bytes_a_pixel())
        .map(|p| (p.iter().map(|v| usize::from(*v)).sum::<usize>() / p.len()) as u8)
        .collect();
    for layer in painter.layers() {
        if let Some(picture) = painter.layer(layer, (axis, index), &plane) {
            let under = grays.iter().zip(&picture.pixels);
            let pixels: Vec<[u8; 3]> = under
                .map(|(gray, over)| composed(&painter.shades, layer, *gray, *over))
                .collect();
            panel(layer.name(), &encode::colours(&pixels, size), "");
        }
    }
    out.push_str("</div></figure>\n");
}

/// A pixel of a layer over the image.
fn composed(shades: &Shades, layer: Layer, gray: u8, index: u8) -> [u8; 3] {
    let gray = gray / GRAY_STEP * GRAY_STEP;
    let mix = |over: [u8; 3], opacity: f32| {
        over.map(|v| (f32::from(gray) * (1.0 - opacity) + f32::from(v) * opacity) as u8)
    };
    match layer {
        Layer::Annotation | Layer::Result | Layer::Truth => match shades.of_index(index) {
            None => mix(
                [0; 3],
                if index == UNLABELED {
                    1.0 - DIMMED
                } else {
                    0.0
                },
            ),
            Some((class, _)) if shades.background == Some(class) => [gray; 3],
            Some((class, is_edge)) => {
                let opacity = if is_edge { 1.0 } else { OPACITY };
                mix(palette::of_class(class), opacity)
            }
        },
        Layer::Doubts => {
            let (colour, opacity) = layers::doubt_colour(usize::from(index));
            mix(colour, opacity)
        }
        Layer::Difference => match usize::from(index).checked_sub(1) {
            None => mix([0; 3], 0.0),
            Some(kind) => DIFFERENCES
                .get(kind)
                .map_or([gray; 3], |(_, colour)| *colour),
        },
    }
}

/// The slices worth showing: one that was held out (or else annotated), and one as far
/// as possible from all that were annotated.
fn chosen(slices: &Slices<'_>, axis: usize) -> Vec<(usize, &'static str)> {
    let count = slices.image.geometry().shape[axis];
    let (annotated, held_out) = (&slices.annotated[axis], &slices.held_out[axis]);
    let middle = |from: &[usize]| from.get(from.len() / 2).copied();
    let mut out = Vec::new();
    if let Some(index) = middle(held_out) {
        out.push((index, "annotated, held out to measure the quality"));
    } else if let Some(index) = middle(annotated) {
        out.push((index, "annotated and used"));
    }
    let distance = |i: usize| annotated.iter().map(|&a| a.abs_diff(i)).min().unwrap_or(0);
    let centre = |i: usize| (2 * i).abs_diff(count);
    let far = if annotated.is_empty() {
        Some(count / 2)
    } else {
        // Not at the rim, where little is to be seen.
        (count / 8..count - count / 8).max_by_key(|&i| (distance(i), usize::MAX - centre(i)))
    };
    let what = match slices.has_annotated() {
        true => "not annotated",
        false => "",
    };
    if let Some(index) = far.filter(|i| !annotated.contains(i)) {
        out.push((index, what));
    }
    out
}

fn legend(out: &mut String, painter: &Painter<'_>) {
    out.push_str("<ul class=\"legend\">");
    for (i, class) in painter.slices.classes.iter().enumerate() {
        let name = escape(&class.name);
        let _ = match painter.shades.background == Some(i) {
            true => write!(out, "<li>{name}: not painted</li>"),
            false => write!(out, "<li>{}{name}</li>", swatch(painter.shades.shown(i))),
        };
    }
    out.push_str("</ul>\n");
    super::bars::html(out, painter);
}

/// A field of the colour of a class.
pub(super) fn swatch(class: usize) -> String {
    let colour = palette::css(palette::of_class(class));
    format!("<span class=\"swatch\" style=\"background:{colour}\"></span>")
}
