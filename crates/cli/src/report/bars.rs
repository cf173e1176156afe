//! Bars of colour beside pictures: which gray is which value, what is doubtful, what a
//! difference is. Drawn as SVG, which prints where backgrounds do not.

use std::fmt::Write;

use super::layers::DIFFERENCES;
use super::palette;
use super::slices::{Layer, Painter};
use super::units::number;

/// The bars that suit the layers of these slices.
pub(super) fn html(out: &mut String, painter: &Painter<'_>) {
    out.push_str("<ul class=\"bars\">");
    for (channel, [black, white]) in painter.gray.range.iter().enumerate() {
        let (colour, name) = match (painter.gray.range.len(), channel) {
            (1, _) => ([255, 255, 255], "gray"),
            (2, 0) => ([255, 0, 255], "channel 1"),
            (2, _) => ([0, 255, 0], "channel 2"),
            (_, 0) => ([255, 0, 0], "channel 1"),
            (_, 1) => ([0, 255, 0], "channel 2"),
            _ => ([0, 0, 255], "channel 3"),
        };
        let [black, white] = [black, white].map(|v| number(f64::from(*v)));
        bar(out, name, &black, &white, &[[0; 3], colour]);
    }
    let layers = painter.layers();
    if layers.contains(&Layer::Doubts) {
        let stops = [0.0, 1.0 / 3.0, 2.0 / 3.0, 1.0].map(palette::of_doubt);
        bar(out, "doubts", "0, certain", "1, all classes alike", &stops);
    }
    if layers.contains(&Layer::Difference) {
        out.push_str("<li>difference: ");
        for (name, colour) in DIFFERENCES {
            let colour = palette::css(colour);
            let _ = write!(
                out,
                "<span class=\"kind\"><span class=\"swatch\" style=\"background:{colour}\"></span>{name}</span> "
            );
        }
        out.push_str("</li>");
    }
    let channels = painter.slices.image.channels();
    if channels > painter.gray.range.len() {
        let _ = write!(
            out,
            "<li>the first {} of {channels} channels</li>",
            painter.gray.range.len()
        );
    }
    out.push_str("</ul>\n");
}

/// A bar from the first colour to the last, with what its ends mean.
fn bar(out: &mut String, name: &str, first: &str, last: &str, colours: &[[u8; 3]]) {
    const WIDTH: usize = 120;
    const HEIGHT: usize = 12;
    // Rectangles rather than a gradient, which would need a name that is unique in the page.
    const STEPS: usize = 24;
    let _ = write!(
        out,
        "<li>{name}: {first} <svg class=\"ramp\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
         aria-label=\"{name}, from {first} to {last}\">"
    );
    for step in 0..STEPS {
        let at = step as f64 / (STEPS - 1) as f64 * (colours.len() - 1) as f64;
        let from = (at as usize).min(colours.len() - 2);
        let colour = palette::css(between(colours[from], colours[from + 1], at - from as f64));
        let width = WIDTH as f64 / STEPS as f64;
        let _ = write!(
            out,
            "<rect x=\"{:.1}\" width=\"{:.1}\" height=\"{HEIGHT}\" fill=\"{colour}\"/>",
            step as f64 * width,
            // No gap between neighbours.
            width + if step + 1 < STEPS { 0.5 } else { 0.0 }
        );
    }
    let _ = write!(out, "</svg> {last}</li>");
}

fn between(a: [u8; 3], b: [u8; 3], share: f64) -> [u8; 3] {
    let mix = |c: usize| f64::from(a[c]) * (1.0 - share) + f64::from(b[c]) * share;
    [0, 1, 2].map(|c| mix(c).round() as u8)
}
