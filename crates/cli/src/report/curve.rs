//! The loss over the steps, and the score on held-out voxels, as inline SVG.

use std::fmt::Write;

/// Drawing area in SVG units, with room for the axis labels around it.
const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 250.0;
const LEFT: f64 = 52.0;
const RIGHT: f64 = 52.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 34.0;

/// Points of a curve at most: about one a pixel.
const POINTS: usize = 400;

/// The curve; a sentence where there is nothing to draw.
pub(super) fn svg(losses: &[(u64, f32)], scores: &[(u64, f64)]) -> String {
    let losses: Vec<(f64, f64)> = losses
        .iter()
        .filter(|(_, loss)| loss.is_finite())
        .map(|&(step, loss)| (step as f64, f64::from(loss)))
        .collect();
    let (Some(first), Some(last)) = (losses.first(), losses.last()) else {
        return "<p>No step was made.</p>".into();
    };
    let steps = (first.0, last.0.max(first.0 + 1.0));
    let highest = losses.iter().map(|p| p.1).fold(0.0, f64::max);
    let tick = nice_tick(highest / 4.0);
    let top = (highest / tick).ceil().max(1.0) * tick;

    let x = |step: f64| LEFT + (step - steps.0) / (steps.1 - steps.0) * (WIDTH - LEFT - RIGHT);
    let y = |share: f64| HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM);

    let mut out = format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"loss over the steps\">"
    );
    let mut value = 0.0;
    while value <= top + tick / 2.0 {
        let at = y(value / top);
        let _ = write!(
            out,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            WIDTH - RIGHT,
            LEFT - 8.0,
            at + 4.0,
            number(value, tick)
        );
        value += tick;
    }
    let step_tick = nice_tick((steps.1 - steps.0) / 6.0).max(1.0);
    let mut step = (steps.0 / step_tick).ceil() * step_tick;
    while step <= steps.1 {
        let _ = write!(
            out,
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{}{step}</text>",
            x(step),
            HEIGHT - BOTTOM + 18.0,
            if step + step_tick > steps.1 {
                "step "
            } else {
                ""
            }
        );
        step += step_tick;
    }
    let place = |points: &[(f64, f64)]| -> Vec<(f64, f64)> {
        points.iter().map(|p| (x(p.0), y(p.1 / top))).collect()
    };
    let _ = write!(
        out,
        "<path class=\"raw\" d=\"{}\"/>",
        path(&place(&thin(&losses)))
    );
    let _ = write!(
        out,
        "<path class=\"loss\" d=\"{}\"/>",
        path(&place(&thin(&smooth(&losses))))
    );

    let scores: Vec<(f64, f64)> = scores
        .iter()
        .filter(|s| s.1.is_finite())
        .map(|&(step, score)| (x(step as f64), y(score)))
        .collect();
    if !scores.is_empty() {
        for share in [0.0, 0.5, 1.0] {
            let _ = write!(
                out,
                "<text class=\"score-text\" x=\"{}\" y=\"{:.1}\">{share:.1}</text>",
                WIDTH - RIGHT + 8.0,
                y(share) + 4.0
            );
        }
        let _ = write!(out, "<path class=\"score\" d=\"{}\"/>", path(&scores));
        for (x, y) in &scores {
            let _ = write!(
                out,
                "<circle class=\"score-dot\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\"/>"
            );
        }
    }
    out.push_str("</svg>");
    out
}

/// The mean of the last steps, more of them the longer the run.
fn smooth(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let keep = 1.0 - 1.0 / (points.len() as f64 / 25.0).max(1.0);
    let mut mean = points.first().map_or(0.0, |p| p.1);
    let next = points.iter().map(|&(step, value)| {
        mean = keep * mean + (1.0 - keep) * value;
        (step, mean)
    });
    next.collect()
}

fn thin(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let every = points.len().div_ceil(POINTS).max(1);
    points.iter().copied().step_by(every).collect()
}

fn path(points: &[(f64, f64)]) -> String {
    let mut out = String::new();
    for (i, (x, y)) in points.iter().enumerate() {
        let _ = write!(out, "{}{x:.1} {y:.1}", if i == 0 { 'M' } else { 'L' });
    }
    out
}

/// The next of 1, 2, 5 times a power of ten.
fn nice_tick(at_least: f64) -> f64 {
    if !(at_least.is_finite() && at_least > 0.0) {
        return 1.0;
    }
    let power = 10f64.powf(at_least.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0];
    let found = steps.into_iter().find(|s| s * power >= at_least * 0.999);
    found.unwrap_or(10.0) * power
}

fn number(value: f64, tick: f64) -> String {
    let decimals = (-tick.log10().floor()).clamp(0.0, 6.0) as usize;
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_numbers() {
        for (at_least, tick) in [
            (0.3, 0.5),
            (1.0, 1.0),
            (17.0, 20.0),
            (0.0, 1.0),
            (6e-3, 1e-2),
        ] {
            assert!((nice_tick(at_least) - tick).abs() < 1e-9, "{at_least}");
        }
    }

    #[test]
    fn odd_runs_still_draw() {
        assert!(svg(&[], &[]).contains("No step"));
        assert!(svg(&[(1, f32::NAN)], &[]).contains("No step"));
        for losses in [vec![(1, 0.0)], vec![(5, 1.0)], vec![(0, 1.0), (1, 1e9)]] {
            let svg = svg(&losses, &[(1, 0.5)]);
            assert!(svg.ends_with("</svg>") && !svg.contains("NaN"), "{svg}");
        }
    }
}
