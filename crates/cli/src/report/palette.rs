//! Colours of classes that stay apart for colour-blind eyes, on dark images
//! and on white paper.

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

/// Colour of a class by its index. Beyond seven classes colours repeat, darker.
pub(crate) fn of_class(index: usize) -> [u8; 3] {
    let colour = COLOURS[index % COLOURS.len()];
    let round = index / COLOURS.len();
    colour.map(|v| (u32::from(v) * 3 / (3 + round as u32)) as u8)
}

/// From black (0, certain) over violet and orange to pale yellow (1), ever lighter,
/// so that it reads without colours too.
pub(super) fn of_doubt(doubt: f32) -> [u8; 3] {
    const STOPS: [[f32; 3]; 4] = [
        [0.0, 0.0, 4.0],
        [120.0, 28.0, 109.0],
        [237.0, 105.0, 37.0],
        [252.0, 255.0, 164.0],
    ];
    let at = doubt.clamp(0.0, 1.0) * (STOPS.len() - 1) as f32;
    let from = (at as usize).min(STOPS.len() - 2);
    let share = at - from as f32;
    [0, 1, 2].map(|c| (STOPS[from][c] * (1.0 - share) + STOPS[from + 1][c] * share) as u8)
}

/// `#56b4e9`.
pub(crate) fn css([r, g, b]: [u8; 3]) -> String {
    format!("#{r:02x}{g:02x}{b:02x}")
}
