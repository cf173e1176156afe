//! The slider through every slice: pictures and what lies over them, as data that
//! `viewer.js` shows.

use std::fmt::Write;

use super::directions::{Direction, directions, reduced};
use super::layers::{self, DIFFERENCES, DOUBT_STEPS};
use super::markup::{escape, json_string};
use super::palette;
use super::slices::{Layer, Painter};
use crate::parse::AXES;

/// The slider with its data; nothing where even the coarsest does not fit.
pub(super) fn html(painter: &Painter<'_>, id: usize) -> String {
    let directions = directions(painter);
    if directions.is_empty() {
        return "<p class=\"key\">The volume is too large for a slider in this file.</p>\n".into();
    }
    let mut out = format!(
        "<div class=\"viewer card\" id=\"slices-{id}\" tabindex=\"0\" role=\"group\" \
         aria-label=\"Slices of {name}: left and right arrow keys go from one to the next\">\n",
        name = escape(&painter.slices.name),
    );
    controls(&mut out, painter, &directions, id);
    out.push_str(
        "<div class=\"stage\"><div class=\"picture\">\
         <img class=\"image\" alt=\"\" hidden><img class=\"colour\" alt=\"\" hidden>\
         <img class=\"outline\" alt=\"\" hidden>\
         <div class=\"scale\" hidden><i></i><span></span></div></div></div>\n",
    );
    out.push_str(
        "<div class=\"go\"><button type=\"button\" data-step=\"-1\" aria-label=\"previous slice\">\u{2039}</button>\
         <div class=\"track\">",
    );
    for direction in &directions {
        marks(&mut out, painter, direction);
    }
    out.push_str(
        "<input type=\"range\" class=\"at\" min=\"0\" value=\"0\" aria-label=\"slice\"></div>\
         <button type=\"button\" data-step=\"1\" aria-label=\"next slice\">\u{203a}</button></div>\n\
         <p class=\"where\" aria-live=\"polite\"></p>\n",
    );
    keys(&mut out, painter);
    let _ = writeln!(
        out,
        "<p class=\"key\">{}</p>\n</div>",
        escape(&note(painter, &directions))
    );
    data(&mut out, painter, &directions, id);
    out
}

/// Direction, layers, opacity.
fn controls(out: &mut String, painter: &Painter<'_>, directions: &[Direction], id: usize) {
    let layers = painter.layers();
    let radios = |out: &mut String,
                  legend: &str,
                  name: &str,
                  values: &[(&str, String)],
                  first: &str| {
        let _ = write!(out, "<fieldset><legend>{legend}</legend>");
        for (value, text) in values {
            let checked = if *value == first { " checked" } else { "" };
            let _ = write!(
                out,
                "<label><input type=\"radio\" name=\"{name}-{id}\" data-set=\"{name}\" value=\"{value}\"{checked}>\
                 <span>{text}</span></label>"
            );
        }
        out.push_str("</fieldset>");
    };
    out.push_str("<div class=\"controls\">");
    let axes: Vec<(&str, String)> = (directions.iter())
        .map(|d| (AXES[d.axis], format!("across {}", AXES[d.axis])))
        .collect();
    if axes.len() > 1 {
        radios(out, "Slices", "axis", &axes, AXES[0]);
    }
    let none = [("none", "none".to_owned())];
    let named = |layer: &Layer| (layer.name(), layer.name().to_owned());
    let colours: Vec<_> = none
        .iter()
        .cloned()
        .chain(layers.iter().map(named))
        .collect();
    radios(out, "Colours", "colour", &colours, "result");
    let with_outlines = layers.iter().filter(|l| l.has_outlines());
    let outlines: Vec<_> = none
        .iter()
        .cloned()
        .chain(with_outlines.map(named))
        .collect();
    let known = [Layer::Annotation, Layer::Truth];
    let first = known.iter().find(|layer| layers.contains(layer));
    let first = first.map_or("none", |layer| layer.name());
    radios(out, "Outlines", "outline", &outlines, first);
    out.push_str(
        "<fieldset class=\"opacity\"><legend>Opacity</legend><input type=\"range\" class=\"opaque\" \
         min=\"0\" max=\"100\" value=\"45\" aria-label=\"opacity of the colours\"></fieldset></div>\n",
    );
}

/// Where the annotated slices of a direction are, along the slider.
fn marks(out: &mut String, painter: &Painter<'_>, direction: &Direction) {
    let (axis, last) = (direction.axis, (direction.indices.len() - 1).max(1));
    let _ = write!(
        out,
        "<div class=\"marks\" data-axis=\"{}\" hidden>",
        AXES[axis]
    );
    for (at, index) in direction.indices.iter().enumerate() {
        let (class, what) = if painter.slices.held_out[axis].contains(index) {
            ("held", "annotated, held out")
        } else if painter.slices.annotated[axis].contains(index) {
            ("used", "annotated")
        } else {
            continue;
        };
        let _ = write!(
            out,
            "<i class=\"{class}\" data-at=\"{at}\" style=\"left:{:.2}%\" title=\"{} {index}: {what}\"></i>",
            100.0 * at as f64 / last as f64,
            AXES[axis]
        );
    }
    out.push_str("</div>\n");
}

/// What colours mean: classes, doubts, differences, grays, marks.
fn keys(out: &mut String, painter: &Painter<'_>) {
    out.push_str("<ul class=\"legend\">");
    for (i, class) in painter.slices.classes.iter().enumerate() {
        let is_background = painter.shades.background == Some(i);
        let colour = palette::css(palette::of_class(painter.shades.shown(i)));
        let _ = write!(
            out,
            "<li><label><input type=\"checkbox\" data-class=\"{i}\"{}>\
             <span class=\"swatch\" style=\"background:{colour}\"></span>{}{}</label></li>",
            if is_background { "" } else { " checked" },
            escape(&class.name),
            if is_background { " (not painted)" } else { "" }
        );
    }
    out.push_str("</ul>\n");
    super::bars::html(out, painter);
}

/// How to use it, and what was left out.
fn note(painter: &Painter<'_>, directions: &[Direction]) -> String {
    let mut out =
        "Arrow keys go from slice to slice; Home and End to the first and the last.".to_owned();
    if painter.slices.has_annotated() {
        out.push_str(" Marks over the slider are annotated slices, hollow ones were held out; a click goes there.");
    }
    let Some(reduced) = reduced(directions) else {
        return out;
    };
    out.push_str(&format!(" {reduced}"));
    out
}

/// All pictures, inside a script element that is no script.
fn data(out: &mut String, painter: &Painter<'_>, directions: &[Direction], id: usize) {
    let colours: Vec<String> = (0..painter.slices.classes.len())
        .map(|class| {
            json_string(&palette::css(palette::of_class(
                painter.shades.shown(class),
            )))
        })
        .collect();
    let shown: Vec<String> = (0..painter.slices.classes.len())
        .map(|class| painter.shades.shown(class).to_string())
        .collect();
    let doubts: Vec<String> = (0..DOUBT_STEPS)
        .map(|step| {
            let (colour, opacity) = layers::doubt_colour(step);
            format!(
                "\"{}{:02x}\"",
                palette::css(colour),
                (255.0 * opacity) as u8
            )
        })
        .collect();
    let differences = DIFFERENCES.map(|(_, colour)| format!("\"{}ff\"", palette::css(colour)));
    let _ = writeln!(
        out,
        "<script type=\"application/json\" id=\"slices-{id}-data\">{{\"label\":{},\"classes\":[{}],\"shown\":[{}],\
         \"doubts\":[{}],\"difference\":[\"#00000000\",{}],\"axes\":[",
        json_string(&painter.slices.name),
        colours.join(","),
        shown.join(","),
        doubts.join(","),
        differences.join(",")
    );
    for (i, direction) in directions.iter().enumerate() {
        out.push_str(if i > 0 { ",\n" } else { "" });
        out.push_str(&direction.data);
    }
    out.push_str("]}</script>\n");
}
