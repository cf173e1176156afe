//! Colours of classes that stay apart for colour-blind eyes, on dark images
//! and on white paper. Reports and label files use the same ones.

use super::Class;

/// The palette of Okabe and Ito (2008) without its black and gray, which would
/// vanish in images; ordered so that the first ones differ in lightness too.
const COLOURS: [[u8; 3]; 7] = [
    [86, 180, 233],  // sky blue
    [230, 159, 0],   // orange
    [0, 158, 115],   // bluish green
    [204, 121, 167], // reddish purple
    [240, 228, 66],  // yellow
    [0, 114, 178],   // blue
    [213, 94, 0],    // vermilion
];

/// Values that are no class: not annotated.
const NO_CLASS: [u8; 3] = [96; 3];

/// Colour of a class by its index. Beyond seven classes colours repeat, darker.
pub fn colour_of_class(index: usize) -> [u8; 3] {
    let colour = COLOURS[index % COLOURS.len()];
    let round = index / COLOURS.len();
    colour.map(|v| (u32::from(v) * 3 / (3 + round as u32)) as u8)
}

/// Colours of the values 0 to 255 of a label file. 0 is black, class or not: it
/// is the background nearly everywhere, and a viewer shows nothing else then.
pub(crate) fn table(classes: &[Class]) -> [[u8; 3]; 256] {
    let mut table = [NO_CLASS; 256];
    for (index, class) in classes.iter().enumerate() {
        if let Ok(value) = u8::try_from(class.value) {
            table[usize::from(value)] = colour_of_class(index);
        }
    }
    table[0] = [0; 3];
    table
}

/// The lowest and the highest value to show: those of the classes, and 0.
pub(crate) fn display_range(classes: &[Class]) -> (i64, i64) {
    let values = || classes.iter().map(|class| class.value);
    let low = values().min().unwrap_or(0).min(0);
    (low, values().max().unwrap_or(0).max(low.saturating_add(1)))
}

/// Values and names of classes, a line each, for people.
pub(crate) fn legend(classes: &[Class]) -> String {
    let mut text = String::from("classes:\n");
    for class in classes {
        let name: String = class.name.chars().filter(|c| !c.is_control()).collect();
        text.push_str(&format!("{} {name}\n", class.value));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_class_has_its_colour_and_0_is_black() {
        let class = |value, name: &str| Class {
            value,
            name: name.to_owned(),
        };
        let classes = [class(0, "outside"), class(7, "a"), class(300, "b\u{1b}[2J")];
        let table = table(&classes);
        assert_eq!(table[0], [0; 3]);
        assert_eq!(table[7], colour_of_class(1));
        assert_eq!(table[255], NO_CLASS);
        assert_eq!(display_range(&classes), (0, 300));
        assert_eq!(display_range(&[]), (0, 1));
        assert_eq!(legend(&classes), "classes:\n0 outside\n7 a\n300 b[2J\n");
        let first: std::collections::HashSet<_> = (0..28).map(colour_of_class).collect();
        assert_eq!(first.len(), 28);
    }
}
