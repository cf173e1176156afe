//! The page itself: parts in the order in which they are given, between a head that
//! lets nothing from outside in and a foot that says what made it.

use std::fmt::Write;

use super::markup::{escape, escape_lines};
use super::slices::Painter;
use super::{
    Files, Part, Quality, Report, Slices, Training, Trust, curve, diagram, palette, stills, table,
    viewer,
};
use crate::console::count;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("viewer.js");

/// What a browser may do with the page: show what is in it. Nothing is loaded and
/// nothing sent, whatever a name of a file may have smuggled in.
const POLICY: &str = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; \
                      script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// The report as the text of one HTML file.
pub(crate) fn to_html(report: &Report<'_>) -> String {
    let title = escape(&report.title);
    // Writing to a String cannot fail.
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n\
         <meta name=\"generator\" content=\"{}\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n\
         <script>document.documentElement.className='scripted'</script>\n</head>\n<body>\n<main>\n\
         <h1>{title}</h1>\n<p class=\"summary\">{}</p>\n",
        super::about::version(),
        escape(&report.summary)
    );
    for part in &report.parts {
        self::part(&mut out, part);
    }
    command(&mut out);
    let _ = write!(
        out,
        "<footer>{}</footer>\n</main>\n<script>\n{SCRIPT}</script>\n</body>\n</html>\n",
        escape(&report.program)
    );
    out
}

/// A part by itself: where the volumes of the next one would not fit beside it.
pub(crate) fn rendered(part: &Part<'_>) -> String {
    let mut out = String::new();
    self::part(&mut out, part);
    out
}

fn part(out: &mut String, part: &Part<'_>) {
    match part {
        Part::Quality(quality) => self::quality(out, quality),
        Part::Slices(heading, id, slices) => pictures(out, heading, *id, slices),
        Part::Still(heading, slices, chosen) => {
            let painter = Painter::new(slices);
            let _ = writeln!(out, "<h3 class=\"of\">{}</h3>", escape(heading));
            for (axis, index) in chosen {
                stills::figure(out, &painter, (*axis, *index), "");
            }
        }
        Part::Table(table) => table::html(out, table),
        Part::Trust(trust) => self::trust(out, trust),
        Part::Training(training) => self::training(out, training),
        Part::Facts(heading, facts) => self::facts(out, heading, facts),
        Part::Files(files) => self::files(out, files),
        Part::Text(heading, text) => {
            let _ = writeln!(out, "<h2>{}</h2>\n<p>{}</p>", escape(heading), escape(text));
        }
        Part::Rendered(html) => out.push_str(html),
    }
}

fn quality(out: &mut String, quality: &Quality<'_>) {
    let Quality {
        heading,
        measured_on,
        mean_iou,
        interval,
        names,
        classes,
    } = quality;
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
        "<div class=\"card quality\"><div><h3>{heading}</h3><div class=\"big\">{mean_iou:.3}</div>\
         {}<p>{}</p></div><div class=\"wide\"><table><thead><tr><th scope=\"col\">class</th>\
         <th scope=\"col\" class=\"n\">IoU</th><th scope=\"col\" class=\"n\">Dice</th>\
         <th scope=\"col\" class=\"n\">voxels</th><th></th></tr></thead><tbody>",
        interval.map_or_else(String::new, |[low, high]| format!(
            "<p class=\"interval\">between {low:.2} and {high:.2}, nine times in ten</p>"
        )),
        escape(measured_on),
    );
    for (i, class) in names.iter().enumerate() {
        let (iou, dice, voxels) = classes.get(i).copied().unwrap_or_default();
        let show =
            |value: Option<f64>| value.map_or("does not occur".into(), |v| format!("{v:.3}"));
        let bar = table::Cell::Bar(palette::of_class(i), iou.unwrap_or(0.0));
        let _ = write!(
            out,
            "<tr><td>{}{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>\
             <td class=\"bar\">{}</td></tr>",
            stills::swatch(i),
            escape(&class.name),
            show(iou),
            show(dice),
            count(voxels),
            table::content(&bar),
        );
    }
    out.push_str(
        "</tbody></table></div></div>\n<p class=\"key\">IoU of a class: the voxels where result and truth agree on it, \
         divided by those where either says it. 1 is perfect. Dice counts the agreement twice, so it is \
         always the higher number.</p>\n",
    );
}

fn pictures(out: &mut String, heading: &str, id: usize, slices: &Slices<'_>) {
    let painter = Painter::new(slices);
    let _ = writeln!(out, "<h2>{}</h2>", escape(heading));
    out.push_str(&viewer::html(&painter, id));
    out.push_str(&stills::html(&painter));
}

fn trust(out: &mut String, trust: &Trust<'_>) {
    let sentence = escape(&trust.sentence);
    out.push_str("<h2>How far its certainty can be trusted</h2>\n");
    let Some(diagram) = diagram::svg(trust.before, trust.after) else {
        let _ = writeln!(out, "<div class=\"card\"><p>{sentence}</p></div>");
        return;
    };
    let _ = writeln!(
        out,
        "<div class=\"card trust\"><div>{diagram}</div>\
         <div><p>{sentence}</p><p class=\"key\">Of all voxels that the network is, say, 80 % certain of, 80 % should be right: \
         points on the diagonal. Above it the network knows more than it says, below it less. \
         <b class=\"b\">Orange</b>: as the network says; <b class=\"a\">blue</b>: calibrated, each slice with what the others teach. \
         The larger a point, the more voxels.</p></div></div>",
    );
}

/// How the training went; nothing where nothing was learned.
fn training(out: &mut String, training: &Training) {
    let Some(curve) = curve::svg(&training.losses, &training.scores) else {
        return;
    };
    let _ = write!(
        out,
        "<h2>How the training went</h2>\n<div class=\"card curve\">{curve}\n<p class=\"key\">\
         <b class=\"a\">Blue</b>: the loss, lower is better; the faint line is each step, the strong one their running mean.{}</p></div>\n",
        if training.scores.is_empty() {
            ""
        } else {
            " <b class=\"b\">Orange</b>: the mean IoU on what the network did not learn from (right scale), higher is better."
        }
    );
}

fn facts(out: &mut String, heading: &str, facts: &super::Facts) {
    let _ = write!(out, "<h2>{}</h2>\n<div class=\"facts\">", escape(heading));
    for (heading, facts) in facts {
        let _ = write!(out, "<div class=\"card\"><h3>{}</h3><dl>", escape(heading));
        for (name, value) in facts {
            let _ = write!(out, "<dt>{}</dt><dd>{}</dd>", escape(name), escape(value));
        }
        out.push_str("</dl></div>");
    }
    out.push_str("</div>\n");
}

fn files(out: &mut String, files: &Files) {
    if !files.written.is_empty() {
        out.push_str("<h2>Files written</h2>\n<div class=\"card wide\"><table><tbody>");
        for (path, what) in &files.written {
            let _ = write!(
                out,
                "<tr><td><code>{}</code></td><td>{}</td></tr>",
                escape(path),
                escape(what)
            );
        }
        out.push_str("</tbody></table></div>\n");
    }
    if !files.next.is_empty() {
        out.push_str("<h2>What to do next</h2>\n");
        for (sentence, command) in &files.next {
            let _ = writeln!(
                out,
                "<p>{}</p><pre>{}</pre>",
                escape(sentence),
                escape_lines(command)
            );
        }
    }
}

fn command(out: &mut String) {
    let _ = writeln!(
        out,
        "<h2>The command that made this</h2>\n<pre>{}</pre>\n<p class=\"key\">{}, {}, in the folder {}.</p>",
        escape(&super::about::command()),
        super::about::version(),
        super::about::now(),
        escape(&super::about::folder()),
    );
}
