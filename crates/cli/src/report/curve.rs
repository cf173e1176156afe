//! The loss over the steps, and the score on held-out voxels, as inline SVG.

use super::svg::{Anchor, Plot, nice_tick};
use crate::console::count;

const SIZE: [f64; 2] = [540.0, 240.0];

/// Left the numbers of the loss, right those of the score, above the names of both,
/// below the steps.
const MARGIN: [f64; 4] = [60.0, 44.0, 34.0, 46.0];

/// Points of a curve at most: about one a pixel.
const POINTS: usize = 400;

/// The curve; `None` where there is nothing to draw.
pub(super) fn svg(losses: &[(u64, f32)], scores: &[(u64, f64)]) -> Option<String> {
    let losses: Vec<(f64, f64)> = losses
        .iter()
        .filter(|(_, loss)| loss.is_finite())
        .map(|&(step, loss)| (step as f64, f64::from(loss)))
        .collect();
    let (first, last) = (losses.first()?, losses.last()?);
    let steps = [first.0, last.0.max(first.0 + 1.0)];
    let highest = losses.iter().map(|p| p.1).fold(0.0, f64::max);
    let tick = nice_tick(highest / 4.0);
    let top = (highest / tick).ceil().max(1.0) * tick;

    let mut plot = Plot::new(
        &format!(
            "Loss over {} steps, from {:.3} to {:.3}",
            count(last.0 as u64),
            first.1,
            last.1
        ),
        SIZE,
        MARGIN,
        steps,
        [0.0, top],
    );
    let ticks = (top / tick).round() as usize;
    for i in 0..=ticks {
        let value = i as f64 * tick;
        plot.tick_y(value, &number(value, tick));
    }
    let step_tick = nice_tick((steps[1] - steps[0]) / 4.0).max(1.0);
    let mut step = (steps[0] / step_tick).ceil() * step_tick;
    while step <= steps[1] {
        plot.tick_x(step, &count(step as u64));
        step += step_tick;
    }
    let middle = f64::midpoint(plot.left(), plot.right());
    plot.text([middle, SIZE[1] - 6.0], Anchor::Middle, "", "step");
    plot.text([4.0, 16.0], Anchor::Start, "loss-text", "loss");
    plot.line("raw", &thin(&losses));
    plot.line("loss", &thin(&smooth(&losses)));

    let scores: Vec<(f64, f64)> = scores
        .iter()
        .filter(|s| s.1.is_finite())
        .map(|&(step, score)| (step as f64, score * top))
        .collect();
    if !scores.is_empty() {
        for share in [0.0, 0.5, 1.0] {
            let at = [plot.right() + 8.0, plot.y(share * top) + 4.5];
            plot.text(at, Anchor::Start, "score-text", &format!("{share:.1}"));
        }
        plot.text([SIZE[0] - 4.0, 16.0], Anchor::End, "score-text", "mean IoU");
        plot.line("score", &scores);
        for (x, y) in &scores {
            plot.point("score-dot", [*x, *y], 3.0);
        }
    }
    Some(plot.finish())
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

fn number(value: f64, tick: f64) -> String {
    match tick {
        t if t < 1e-6 || value >= 1e6 => format!("{value:.0e}"),
        t => format!("{value:.*}", (-t.log10().floor()).max(0.0) as usize),
    }
}

#[cfg(test)]
mod tests {
    use super::super::svg::tests::assert_text_is_free;
    use super::*;

    #[test]
    fn odd_runs_still_draw() {
        assert_eq!(svg(&[], &[]), None);
        assert_eq!(svg(&[(1, f32::NAN)], &[]), None);
        for losses in [
            vec![(1, 0.0)],
            vec![(5, 1.0)],
            vec![(0, 1.0), (1, 1e9)],
            vec![(1, 1e-9), (1_000_000, 1e-7)],
            (1..=7).map(|s| (s, s as f32)).collect(),
            (1..20_000).map(|s| (s, 1.0 / s as f32)).collect(),
            (999_990..1_250_000).map(|s| (s, 0.3)).collect(),
        ] {
            for scores in [vec![], vec![(1, 0.5), (3, f64::NAN), (4, 1.0)]] {
                let svg = svg(&losses, &scores).expect("a curve");
                assert!(svg.ends_with("</svg>") && !svg.contains("NaN"), "{svg}");
                assert_text_is_free(&svg);
            }
        }
    }
}
