//! What lies over the image: labels, doubts, and where two of them differ, each as a
//! picture of few colours.

use unet3d_volume::{Class, Label};

use super::encode::Indexed;
use super::palette;
use super::plane::Plane;

/// Classes that have indices of their own: two each and one for what is not annotated
/// fill a byte. Beyond, indices repeat as colours do long before.
const MOST_CLASSES: usize = 126;

/// Steps of doubt that are shown: what the colours between black and yellow let apart.
pub(super) const DOUBT_STEPS: usize = 16;

/// Index of pixels without a label.
pub(super) const UNLABELED: u8 = 0;

/// What a class is in pictures of labels.
pub(super) struct Shades {
    /// How many classes there are.
    classes: usize,
    /// The class that is never painted over the image.
    pub(super) background: Option<usize>,
}

impl Shades {
    /// For classes that fill so much of a result.
    pub(super) fn new(classes: &[Class], voxels: &[u64]) -> Self {
        Self {
            classes: classes.len(),
            background: background(classes, voxels),
        }
    }

    /// Indices of pictures of labels.
    pub(super) fn colours(&self) -> usize {
        1 + 2 * self.classes.min(MOST_CLASSES)
    }

    /// The class whose colour shows this one.
    pub(super) fn shown(&self, class: usize) -> usize {
        let shown = class % MOST_CLASSES;
        match self.background {
            Some(background) if background == shown && background != class => {
                (shown + 1) % MOST_CLASSES
            }
            _ => shown,
        }
    }

    /// The class whose colour shows what has an index, and whether it is at an edge.
    pub(super) fn of_index(&self, index: u8) -> Option<(usize, bool)> {
        let index = usize::from(index.checked_sub(1)?);
        Some((index / 2, index % 2 == 1))
    }

    /// The labels of a slice: 0 where there is none, then two indices a class, inside
    /// and at an edge. `None` where nothing of the slice is labeled.
    pub(super) fn labels(&self, labels: &[Label], plane: &Plane) -> Option<Indexed> {
        let classes: Vec<Option<usize>> = plane
            .middles()
            .map(|voxel| Some(self.shown(labels[voxel].class()?)))
            .collect();
        classes.iter().any(Option::is_some).then(|| {
            let at = |i: usize| match classes[i] {
                None => UNLABELED,
                Some(class) => {
                    let edge = u8::from(is_edge(&classes, i, plane.columns));
                    1 + 2 * class as u8 + edge
                }
            };
            Indexed {
                rows: plane.rows,
                columns: plane.columns,
                colours: self.colours(),
                pixels: (0..classes.len()).map(at).collect(),
            }
        })
    }

    /// Where a result differs from what is known: 0 nowhere or nothing is known,
    /// 1 missed (background in its place), 2 too much (on background), 3 taken for
    /// another class. `None` where nothing of the slice is known.
    pub(super) fn difference(
        &self,
        known: &[Label],
        result: &[Label],
        plane: &Plane,
    ) -> Option<Indexed> {
        let is_background =
            |label: Label| label.class().is_some_and(|c| Some(c) == self.background);
        let mut is_known = false;
        let pixels = plane.middles().map(|voxel| {
            let (known, result) = (known[voxel], result[voxel]);
            is_known |= known.is_annotated();
            match () {
                () if !known.is_annotated() || known == result => 0,
                () if is_background(result) || !result.is_annotated() => 1,
                () if is_background(known) => 2,
                () => 3,
            }
        });
        let pixels = pixels.collect();
        is_known.then_some(Indexed {
            rows: plane.rows,
            columns: plane.columns,
            colours: DIFFERENCES.len() + 1,
            pixels,
        })
    }
}

/// What differences are called, with their colours.
pub(super) const DIFFERENCES: [(&str, [u8; 3]); 3] = [
    ("missed", [230, 159, 0]),
    ("too much", [86, 180, 233]),
    ("another class", [204, 121, 167]),
];

/// How doubtful each pixel is, in steps.
pub(super) fn doubts(doubts: &[f32], plane: &Plane) -> Indexed {
    let step = |voxel: usize| {
        let doubt = doubts[voxel].clamp(0.0, 1.0);
        (doubt * (DOUBT_STEPS - 1) as f32).round() as u8
    };
    Indexed {
        rows: plane.rows,
        columns: plane.columns,
        colours: DOUBT_STEPS,
        pixels: plane.middles().map(step).collect(),
    }
}

/// Colour of a step of doubt, and how much it covers the image: not at all where the
/// network is certain.
pub(super) fn doubt_colour(step: usize) -> ([u8; 3], f32) {
    let doubt = step as f32 / (DOUBT_STEPS - 1) as f32;
    (palette::of_doubt(doubt), (2.0 * doubt).min(1.0))
}

/// The class that is what lies around the others, which is not painted over the image:
/// the one that is called so, else the one with the value 0, else, where classes have
/// no names, the one that fills more than half of `voxels`.
fn background(classes: &[Class], voxels: &[u64]) -> Option<usize> {
    const NAMES: [&str; 5] = ["background", "bg", "outside", "exterior", "rest"];
    let named = |name: &&str| {
        let mut classes = classes.iter();
        classes.position(|c| c.name.trim().eq_ignore_ascii_case(name))
    };
    let all: u64 = voxels.iter().sum();
    let is_nameless = classes.iter().all(|c| c.name == c.value.to_string());
    let largest = || {
        let found = voxels.iter().position(|n| 2 * n > all);
        found.filter(|_| is_nameless && classes.len() > 1)
    };
    (NAMES.iter().find_map(named))
        .or_else(|| classes.iter().position(|c| c.value == 0))
        .or_else(largest)
}

/// Whether one of the four neighbours is another class. The border of the picture is
/// no edge.
fn is_edge(classes: &[Option<usize>], i: usize, columns: usize) -> bool {
    let column = i % columns;
    let differs = |j: usize| classes.get(j).is_some_and(|c| *c != classes[i]);
    (column > 0 && differs(i - 1))
        || (column + 1 < columns && differs(i + 1))
        || (i >= columns && differs(i - columns))
        || differs(i + columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes(names: &[(i64, &str)]) -> Vec<Class> {
        let class = |(value, name): &(i64, &str)| Class {
            value: *value,
            name: (*name).into(),
        };
        names.iter().map(class).collect()
    }

    fn labels(text: &str) -> Vec<Label> {
        text.bytes()
            .map(|b| match b {
                b'.' => Label::UNLABELED,
                digit => Label::of_class(usize::from(digit - b'0')),
            })
            .collect()
    }

    #[test]
    fn the_background_is_known_by_name_or_by_value() {
        for (names, voxels, expected) in [
            (&[(0, "0"), (1, "1")][..], [1, 9], Some(0)),
            (&[(1, "cell"), (2, "Background")], [9, 1], Some(1)),
            (&[(0, "tumour"), (1, "background")], [1, 1], Some(1)),
            (&[(1, "inside"), (2, "outside")], [1, 1], Some(1)),
            (&[(1, "1"), (2, "2")], [2, 9], Some(1)),
            (&[(1, "1"), (2, "2")], [5, 5], None),
            (&[(1, "cell"), (2, "wall")], [1, 9], None),
        ] {
            let found = background(&classes(names), &voxels);
            assert_eq!(found, expected, "{names:?}");
        }
    }

    #[test]
    fn edges_are_where_the_class_changes_and_nowhere_at_the_border() {
        let shades = Shades::new(&classes(&[(0, "0"), (1, "1")]), &[1, 1]);
        let plane = Plane::new([1, 4, 5], 0, 0, 1);
        let found = shades.labels(&labels("00000011100111000000"), &plane);
        let pixels = found.expect("labels").pixels;
        assert_eq!(pixels[..10], [1, 2, 2, 2, 1, 2, 4, 4, 4, 2]);
        let whole = shades
            .labels(&labels(&"1".repeat(20)), &plane)
            .expect("labels");
        assert!(whole.pixels.iter().all(|p| *p == 3));
        assert!(shades.labels(&labels(&".".repeat(20)), &plane).is_none());
    }

    #[test]
    fn differences_have_three_kinds_and_unknown_is_none() {
        let shades = Shades::new(&classes(&[(0, "0"), (1, "1"), (2, "2")]), &[1; 3]);
        let plane = Plane::new([1, 2, 4], 0, 0, 1);
        let (known, result) = (labels("0012.12."), labels("01002212"));
        let found = shades.difference(&known, &result, &plane).expect("known");
        assert_eq!(found.pixels, [0, 2, 1, 1, 0, 3, 3, 0]);
        let nothing = labels("........");
        assert!(shades.difference(&nothing, &result, &plane).is_none());
    }

    #[test]
    fn more_classes_than_a_byte_can_hold_are_still_pictures() {
        let many: Vec<Class> = (0..255)
            .map(|value| Class {
                value,
                name: value.to_string(),
            })
            .collect();
        let shades = Shades::new(&many, &[1; 255]);
        assert!(shades.colours() <= 256);
        let plane = Plane::new([1, 1, 255], 0, 0, 1);
        let all: Vec<Label> = (0..255).map(Label::of_class).collect();
        let picture = shades.labels(&all, &plane).expect("labels");
        for (class, index) in picture.pixels.iter().enumerate() {
            let (shown, _) = shades.of_index(*index).expect("a class");
            // None but the background looks like background.
            assert_eq!(shown == 0, class == 0, "{class}");
        }
    }

    #[test]
    fn doubts_are_in_steps_and_certainty_hides_nothing() {
        let plane = Plane::new([1, 1, 5], 0, 0, 1);
        let found = doubts(&[0.0, 0.5, 1.0, 2.0, f32::NAN], &plane);
        assert_eq!(found.pixels, [0, 8, 15, 15, 0]);
        assert_eq!(doubt_colour(0).1, 0.0);
        assert_eq!(doubt_colour(DOUBT_STEPS - 1).1, 1.0);
    }
}
