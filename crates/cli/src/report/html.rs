//! The page itself.

use std::fmt::Write;

use super::picture::{Overlay, Painter};
use super::{Quality, Report, Slices, curve, diagram, palette};
use crate::console::count;

const STYLE: &str = include_str!("style.css");

/// Names of directions: the slices that stand across z are what most viewers
/// show first.
const DIRECTIONS: [&str; 3] = ["across z", "across y", "across x"];

/// The report as the text of one HTML file.
pub(crate) fn to_html(report: &Report<'_>) -> String {
    let mut out = String::new();
    let title = escape(&report.title);
    // Writing to a String cannot fail.
    let _ = write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n\
         <h1>{title}</h1>\n<p class=\"summary\">{}</p>\n",
        escape(&report.summary)
    );
    quality(&mut out, report);
    trust(&mut out, report);
    pictures(&mut out, report);
    training(&mut out, report);
    facts(&mut out, report);
    out.push_str("<h2>Files written</h2>\n<div class=\"card files\"><table>");
    for (path, what) in &report.written {
        let _ = write!(
            out,
            "<tr><td><code>{}</code></td><td>{}</td></tr>",
            escape(path),
            escape(what)
        );
    }
    out.push_str("</table></div>\n<h2>What to do next</h2>\n");
    for (sentence, command) in &report.next {
        let _ = writeln!(
            out,
            "<p>{}</p><pre>{}</pre>",
            escape(sentence),
            escape(command)
        );
    }
    let _ = write!(
        out,
        "<footer>{}</footer>\n</main>\n</body>\n</html>\n",
        escape(&report.program)
    );
    out
}

fn quality(out: &mut String, report: &Report<'_>) {
    let Quality {
        measured_on,
        mean_iou,
        interval,
        classes,
    } = &report.quality;
    let Some(mean_iou) = mean_iou else {
        let _ = writeln!(
            out,
            "<div class=\"card\"><h3>How good is it?</h3><p>{}</p></div>",
            escape(measured_on)
        );
        return;
    };
    let _ = write!(
        out,
        "<div class=\"card quality\"><div><h3>{}</h3><div class=\"big\">{mean_iou:.3}</div>\
         {}<p>{}</p></div><table><tr><th>class</th><th class=\"n\">IoU</th><th class=\"n\">Dice</th>\
         <th class=\"n\">voxels</th><th class=\"bar\"></th></tr>",
        if report.slices.truth.is_some() {
            "Mean IoU"
        } else {
            "Expected mean IoU"
        },
        interval.map_or_else(String::new, |[low, high]| format!(
            "<p class=\"interval\">between {low:.2} and {high:.2}, nine times in ten</p>"
        )),
        escape(measured_on),
    );
    for (i, class) in report.classes.iter().enumerate() {
        let (iou, dice, voxels) = classes.get(i).copied().unwrap_or_default();
        let show =
            |value: Option<f64>| value.map_or("does not occur".into(), |v| format!("{v:.3}"));
        let colour = palette::css(palette::of_class(i));
        let _ = write!(
            out,
            "<tr><td>{}{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>\
             <td class=\"bar\"><span><i style=\"width:{:.1}%;background:{colour}\"></i></span></td></tr>",
            swatch(i),
            escape(&class.name),
            show(iou),
            show(dice),
            count(voxels),
            100.0 * iou.unwrap_or(0.0)
        );
    }
    out.push_str(
        "</table></div>\n<p class=\"key\">IoU of a class: the voxels where result and truth agree on it, \
         divided by those where either says it. 1 is perfect. Dice counts the agreement twice, so it is \
         always the higher number.</p>\n",
    );
}

fn trust(out: &mut String, report: &Report<'_>) {
    let Some(trust) = &report.trust else { return };
    let _ = write!(
        out,
        "<h2>How far its certainty can be trusted</h2>\n<div class=\"card trust\"><div>{}</div>\
         <div><p>{}</p><p class=\"key\">Of all voxels that the network is, say, 80 % certain of, 80 % should be right: \
         points on the diagonal. Above it the network knows more than it says, below it less. \
         <b class=\"b\">Orange</b>: as the network says; <b class=\"a\">blue</b>: calibrated, each slice with what the others teach. \
         The larger a point, the more voxels.</p></div></div>\n",
        diagram::svg(trust.before, trust.after),
        escape(&trust.sentence)
    );
}

fn pictures(out: &mut String, report: &Report<'_>) {
    let slices = &report.slices;
    out.push_str("<h2>Slices</h2>\n<ul class=\"legend\">");
    for (i, class) in report.classes.iter().enumerate() {
        let _ = write!(out, "<li>{}{}</li>", swatch(i), escape(&class.name));
    }
    let doubts = match slices.uncertainty {
        Some(_) => "<li>doubts: dark where the network is certain, bright where it is not</li>",
        None => "",
    };
    let _ = writeln!(out, "<li>no colour: not annotated</li>{doubts}</ul>");
    let painter = Painter::new(slices.image);
    let shape = slices.image.geometry.shape;
    for axis in 0..3 {
        for (index, what) in chosen(slices, axis) {
            let (rows, columns) = [(1, 2), (0, 2), (0, 1)][axis];
            // A slice much taller than wide would fill the page by itself.
            let class = if shape[rows] * 10 > shape[columns] * 12 {
                "slice card tall"
            } else {
                "slice card"
            };
            let _ = write!(
                out,
                "<figure class=\"{class}\"><figcaption><b>Slice {index}</b> of {} {}, {what}</figcaption><div class=\"row\">",
                shape[axis], DIRECTIONS[axis]
            );
            let mut panels = vec![
                ("image", Overlay::Nothing),
                ("annotation", Overlay::Labels(slices.annotation)),
                ("result", Overlay::Labels(slices.result)),
            ];
            panels.extend(slices.uncertainty.map(|u| ("doubts", Overlay::Doubts(u))));
            panels.extend(slices.truth.map(|t| ("truth", Overlay::Labels(t))));
            for (name, overlay) in panels {
                let picture = painter.slice(axis, index, overlay);
                let _ = write!(out, "<div>{picture}{name}</div>");
            }
            out.push_str("</div></figure>\n");
        }
    }
}

/// How the training went; nothing where nothing was learned.
fn training(out: &mut String, report: &Report<'_>) {
    if report.losses.is_empty() && report.scores.is_empty() {
        return;
    }
    let _ = write!(
        out,
        "<h2>How the training went</h2>\n<div class=\"card\">{}\n<p class=\"key\">\
         <b class=\"a\">Blue</b>: the loss, lower is better; the faint line is each step, the strong one their running mean.{}</p></div>\n",
        curve::svg(&report.losses, &report.scores),
        if report.scores.is_empty() {
            ""
        } else {
            " <b class=\"b\">Orange</b>: the mean IoU on slices that the network did not learn from (right scale), higher is better."
        }
    );
}

/// The slices worth showing: one that was held out (or else annotated), and
/// one as far as possible from all that were annotated.
fn chosen(slices: &Slices<'_>, axis: usize) -> Vec<(usize, &'static str)> {
    let count = slices.image.geometry.shape[axis];
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
    if let Some(index) = far.filter(|i| !annotated.contains(i)) {
        out.push((index, "not annotated"));
    }
    out
}

fn facts(out: &mut String, report: &Report<'_>) {
    out.push_str("<h2>What was done</h2>\n<div class=\"facts\">");
    for (heading, facts) in &report.facts {
        let _ = write!(out, "<div class=\"card\"><h3>{}</h3><dl>", escape(heading));
        for (name, value) in facts {
            let _ = write!(out, "<dt>{}</dt><dd>{}</dd>", escape(name), escape(value));
        }
        out.push_str("</dl></div>");
    }
    out.push_str("</div>\n");
}

fn swatch(class: usize) -> String {
    let colour = palette::css(palette::of_class(class));
    format!("<span class=\"swatch\" style=\"background:{colour}\"></span>")
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_from_files_cannot_become_markup() {
        assert_eq!(
            escape("<a href=\"x\">&"),
            "&lt;a href=&quot;x&quot;&gt;&amp;"
        );
    }
}
