//! Axes of inline SVG, once for all plots: places, ticks, text that stays inside.

use std::fmt::Write;

/// Size of the text of all plots, in units of the plot; `style.css` says the same.
pub(super) const TEXT: f64 = 13.0;

/// A plot under way: axes of numbers within a frame that leaves room for their labels.
pub(super) struct Plot {
    size: [f64; 2],
    /// Room left of, right of, above and below the axes.
    margin: [f64; 4],
    x: [f64; 2],
    y: [f64; 2],
    pub(super) out: String,
}

/// Which end of a text is at its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

impl Plot {
    /// A plot of `size` for numbers from `x[0]` to `x[1]` and from `y[0]` to `y[1]`,
    /// with room `[left, right, above, below]`; `about` is for those who do not see it.
    pub(super) fn new(
        about: &str,
        size: [f64; 2],
        margin: [f64; 4],
        x: [f64; 2],
        y: [f64; 2],
    ) -> Self {
        let [width, height] = size;
        Self {
            size,
            margin,
            x,
            y,
            out: format!(
                "<svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{about}\">"
            ),
        }
    }

    /// Where a number stands along x.
    pub(super) fn x(&self, value: f64) -> f64 {
        let share = (value - self.x[0]) / (self.x[1] - self.x[0]);
        self.left() + share * (self.right() - self.left())
    }

    /// Where a number stands along y, which grows upwards.
    pub(super) fn y(&self, value: f64) -> f64 {
        let share = (value - self.y[0]) / (self.y[1] - self.y[0]);
        self.bottom() - share * (self.bottom() - self.top())
    }

    pub(super) fn left(&self) -> f64 {
        self.margin[0]
    }

    pub(super) fn right(&self) -> f64 {
        self.size[0] - self.margin[1]
    }

    pub(super) fn top(&self) -> f64 {
        self.margin[2]
    }

    pub(super) fn bottom(&self) -> f64 {
        self.size[1] - self.margin[3]
    }

    /// A line across, with its label left of the axes.
    pub(super) fn tick_y(&mut self, value: f64, label: &str) {
        let at = self.y(value);
        let (left, right) = (self.left(), self.right());
        let _ = write!(
            self.out,
            "<line class=\"grid\" x1=\"{left:.1}\" x2=\"{right:.1}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>"
        );
        self.text([left - 7.0, at + 0.35 * TEXT], Anchor::End, "", label);
    }

    /// A label below the axes.
    pub(super) fn tick_x(&mut self, value: f64, label: &str) {
        let at = [self.x(value), self.bottom() + TEXT + 5.0];
        self.text(at, Anchor::Middle, "", label);
    }

    /// Text whose baseline is at a place.
    pub(super) fn text(&mut self, [x, y]: [f64; 2], anchor: Anchor, class: &str, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let class = match class {
            "" => String::new(),
            class => format!(" class=\"{class}\""),
        };
        let _ = write!(
            self.out,
            "<text{class} x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>"
        );
    }

    /// A line through points that are in numbers.
    pub(super) fn line(&mut self, class: &str, points: &[(f64, f64)]) {
        let mut path = String::new();
        for (i, (x, y)) in points.iter().enumerate() {
            let command = if i == 0 { 'M' } else { 'L' };
            let _ = write!(path, "{command}{:.1} {:.1}", self.x(*x), self.y(*y));
        }
        let _ = write!(self.out, "<path class=\"{class}\" d=\"{path}\"/>");
    }

    /// A point that is in numbers.
    pub(super) fn point(&mut self, class: &str, [x, y]: [f64; 2], radius: f64) {
        let (x, y) = (self.x(x), self.y(y));
        let _ = write!(
            self.out,
            "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius:.1}\"/>"
        );
    }

    /// The whole element.
    pub(super) fn finish(mut self) -> String {
        self.out.push_str("</svg>");
        self.out
    }
}

/// The next of 1, 2, 5 times a power of ten.
pub(super) fn nice_tick(at_least: f64) -> f64 {
    if !(at_least.is_finite() && at_least > 0.0) {
        return 1.0;
    }
    let power = 10f64.powf(at_least.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0];
    let found = steps.into_iter().find(|s| s * power >= at_least * 0.999);
    found.unwrap_or(10.0) * power
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Widest characters of common fonts, digits and small letters, as a part of their size.
    const WIDEST: f64 = 0.62;

    /// Fails where a text leaves its plot or touches another.
    pub(in super::super) fn assert_text_is_free(svg: &str) {
        let attribute = |tag: &str, name: &str| -> String {
            let rest = tag.split(&format!("{name}=\"")).nth(1).expect("it");
            rest.split('"').next().expect("an end").to_owned()
        };
        let view: Vec<f64> = attribute(svg, "viewBox")
            .split(' ')
            .map(|n| n.parse().expect("a number"))
            .collect();
        let mut boxes: Vec<([f64; 4], String)> = Vec::new();
        for element in svg.split("<text").skip(1) {
            let (tag, rest) = element.split_once('>').expect("a tag");
            let text = rest.split('<').next().expect("text").to_owned();
            let number = |name: &str| attribute(tag, name).parse::<f64>().expect("a number");
            let width = WIDEST * TEXT * text.chars().count() as f64;
            let left = number(" x")
                - width
                    * match attribute(tag, "text-anchor").as_str() {
                        "start" => 0.0,
                        "middle" => 0.5,
                        _ => 1.0,
                    };
            let y = number(" y");
            let found = [left, left + width, y - 0.75 * TEXT, y + 0.25 * TEXT];
            assert!(
                found[0] >= 0.0 && found[1] <= view[2] && found[2] >= 0.0 && found[3] <= view[3],
                "{text:?} leaves the plot: {found:?} of {view:?}"
            );
            for (other, name) in &boxes {
                let apart = found[1] <= other[0]
                    || found[0] >= other[1]
                    || found[3] <= other[2]
                    || found[2] >= other[3];
                assert!(apart, "{text:?} touches {name:?}: {found:?}, {other:?}");
            }
            boxes.push((found, text));
        }
        assert!(!boxes.is_empty());
    }

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
    #[should_panic(expected = "leaves the plot")]
    fn text_that_leaves_its_plot_is_found() {
        let mut plot = Plot::new("", [100.0; 2], [20.0; 4], [0.0, 1.0], [0.0, 1.0]);
        plot.tick_y(1.0, "100 %");
        assert_text_is_free(&plot.finish());
    }

    #[test]
    #[should_panic(expected = "touches")]
    fn text_that_touches_other_text_is_found() {
        let mut plot = Plot::new("", [100.0; 2], [20.0; 4], [0.0, 1.0], [0.0, 1.0]);
        plot.text([50.0, 50.0], Anchor::Middle, "", "one");
        plot.text([55.0, 52.0], Anchor::Start, "", "two");
        assert_text_is_free(&plot.finish());
    }
}
