//! The slices of each direction as data, made for the room that a file has.
//!
//! A report is mailed and archived, so it stays small: where slices at full resolution
//! take more than their room, they are shown coarser, in fewer grays, and not all of
//! them, and the page says so. Slices that were annotated are always there.

use std::fmt::Write;

use super::encode;
use super::markup::json_string;
use super::plane::{Plane, extent};
use super::slices::{Layer, Painter};
use super::units;
use crate::parse::AXES;

/// Pixels along a side beyond which a screen shows no more.
const LONGEST_SIDE: usize = 1024;

/// How slices are made smaller, from not at all to as far as it goes: voxels along a
/// side of a pixel, every which slice, and grays. Noise fills the low bits of gray
/// values; it costs most of the room and shows nothing.
const DETAILS: [(usize, usize, u16); 8] = [
    (1, 1, 256),
    (1, 1, 64),
    (2, 1, 64),
    (2, 2, 64),
    (3, 3, 64),
    (4, 4, 32),
    (6, 8, 32),
    (8, 16, 32),
];

/// What further directions may be reduced to: a direction that is hardly to be seen is
/// better left out, the first one is not.
const DETAILS_OF_OTHERS: usize = 3;

/// One direction of slices, made for the room that it has.
pub(super) struct Direction {
    /// The axis that it goes along.
    pub(super) axis: usize,
    /// An object of JSON.
    pub(super) data: String,
    /// The slices that it has.
    pub(super) indices: Vec<usize>,
    step: usize,
    every: usize,
    grays: u16,
}

/// Every direction that fits: that across z first, or the one with most annotated
/// slices, then the others.
pub(super) fn directions(painter: &Painter<'_>) -> Vec<Direction> {
    let annotated = &painter.slices.annotated;
    let mut axes = [0, 1, 2];
    axes.sort_by_key(|axis| std::cmp::Reverse(annotated[*axis].len()));
    // Across z in any case, as all programs show volumes.
    axes.sort_by_key(|axis| *axis != 0);
    let mut left = painter.slices.room;
    let mut out = Vec::new();
    for (i, axis) in axes.into_iter().enumerate() {
        let (room, details) = match i {
            0 => (left, DETAILS.len()),
            _ => (left / (3 - i), DETAILS_OF_OTHERS),
        };
        let found =
            (DETAILS[..details].iter()).find_map(|detail| direction(painter, axis, *detail, room));
        if let Some(found) = found {
            left -= found.data.len();
            out.push(found);
        }
    }
    out.sort_by_key(|direction| direction.axis);
    out
}

/// A direction in this detail; `None` where it takes more than its room.
fn direction(
    painter: &Painter<'_>,
    axis: usize,
    (step, every, grays): (usize, usize, u16),
    room: usize,
) -> Option<Direction> {
    let (slices, shape) = (painter.slices, painter.shape());
    let longest = Plane::longest_side(shape, axis);
    let step = step.max(longest.div_ceil(LONGEST_SIDE));
    let is_kept = |index: &usize| {
        index.is_multiple_of(every)
            || slices.annotated[axis].contains(index)
            || slices.held_out[axis].contains(index)
    };
    let indices: Vec<usize> = (0..shape[axis]).filter(is_kept).collect();
    let layers = painter.layers();
    let mut heads = vec![None; layers.len()];
    // The slice in the middle tells what the others will take, long before they do.
    let middle = indices.get(indices.len() / 2)?;
    let one = slice(painter, (axis, *middle), (step, grays), &layers, &mut heads);
    if one.len() as f64 * indices.len() as f64 > 1.5 * room as f64 {
        return None;
    }
    let mut data = String::new();
    for index in &indices {
        let separator = if data.is_empty() { "" } else { ",\n" };
        data.push_str(separator);
        data.push_str(&slice(
            painter,
            (axis, *index),
            (step, grays),
            &layers,
            &mut heads,
        ));
        if data.len() > room {
            return None;
        }
    }
    let heads: Vec<String> = (layers.iter().zip(heads))
        .filter_map(|(layer, head)| Some(format!("\"{}\":\"{}\"", layer.name(), head?)))
        .collect();
    let [width, height] = extent(slices.image.geometry(), axis);
    let bar = slices
        .image
        .geometry()
        .spacing()
        .map(|_| units::scale_bar(width));
    let (share, text) = bar.unwrap_or((0.0, String::new()));
    let data = format!(
        "{{\"axis\":{axis},\"name\":\"{}\",\"of\":{},\"ratio\":{:.5},\"bar\":[{share:.5},{}],\
         \"head\":{{{}}},\"slices\":[\n{data}]}}",
        AXES[axis],
        shape[axis],
        width / height,
        json_string(&text),
        heads.join(",")
    );
    (data.len() <= room).then_some(Direction {
        axis,
        data,
        indices,
        step,
        every,
        grays,
    })
}

/// One slice as an object of JSON; what a layer's pictures begin with goes to `heads`.
fn slice(
    painter: &Painter<'_>,
    (axis, index): (usize, usize),
    (step, grays): (usize, u16),
    layers: &[Layer],
    heads: &mut [Option<String>],
) -> String {
    let slices = painter.slices;
    let plane = Plane::new(painter.shape(), axis, index, step);
    let mut pixels = painter.gray.pixels(&plane);
    if grays < 256 {
        let width = (256 / grays) as u8;
        // To the middle of each step, or all would be darker.
        pixels
            .iter_mut()
            .for_each(|p| *p = *p / width * width + width / 2);
    }
    let image = encode::gray_or_rgb(&pixels, [plane.rows, plane.columns]);
    let kind = match () {
        () if slices.held_out[axis].contains(&index) => 2,
        () if slices.annotated[axis].contains(&index) => 1,
        () => 0,
    };
    let mut out = format!("{{\"i\":{index},\"kind\":{kind},\"image\":\"{image}\"");
    for (layer, head) in layers.iter().zip(heads) {
        if let Some(picture) = painter.layer(*layer, (axis, index), &plane) {
            let [start, pixels] = picture.parts();
            let _ = write!(out, ",\"{}\":\"{pixels}\"", layer.name());
            *head = Some(start);
        }
    }
    let scores = slices
        .scores
        .iter()
        .find(|s| (s.axis, s.index) == (axis, index));
    if let Some(iou) = scores.and_then(|s| s.scores.mean_iou) {
        let _ = write!(out, ",\"iou\":\"{iou:.3}\"");
    }
    out.push('}');
    out
}

/// What the slider does not show, in a sentence; `None` where it shows everything.
pub(super) fn reduced(directions: &[Direction]) -> Option<String> {
    let mut parts = Vec::new();
    for direction in directions {
        let mut what = Vec::new();
        if direction.every > 1 {
            what.push(format!(
                "every {} slice and all that are annotated",
                ordinal(direction.every)
            ));
        }
        if direction.step > 1 {
            what.push(format!("1 of {0} x {0} pixels", direction.step));
        }
        if direction.grays < 256 {
            what.push(format!("{} grays", direction.grays));
        }
        if !what.is_empty() {
            parts.push(format!(
                "across {} it shows {}",
                AXES[direction.axis],
                what.join(", ")
            ));
        }
    }
    let missing: Vec<&str> = (0..3)
        .filter(|axis| directions.iter().all(|d| d.axis != *axis))
        .map(|axis| AXES[axis])
        .collect();
    if !missing.is_empty() {
        parts.push(format!(
            "slices across {} are left out",
            missing.join(" and ")
        ));
    }
    (!parts.is_empty()).then(|| {
        format!(
            "Reduced, to keep this file small: {}. The result has everything.",
            parts.join("; ")
        )
    })
}

fn ordinal(n: usize) -> String {
    match n {
        2 => "second".into(),
        3 => "third".into(),
        n => format!("{n}th"),
    }
}
