//! Colours of classes (those that label files get too) and of doubts.

pub(crate) use unet3d_volume::labels::colour_of_class as of_class;

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
