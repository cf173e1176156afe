use super::*;
use crate::volume::position;
use crate::{Geometry, LabelScheme, Samples};

const SHAPE: [usize; 3] = [60, 64, 56];

/// Values where `inside`, on these slices along `axis` alone.
fn painted(axis: usize, slices: &[usize], inside: impl Fn([usize; 3]) -> u8) -> Volume {
    let values = (0..SHAPE.iter().product()).map(|i| {
        let p = position(i, SHAPE);
        if slices.contains(&p[axis]) {
            inside(p)
        } else {
            0
        }
    });
    Volume {
        geometry: Geometry::of_shape(SHAPE),
        channels: 1,
        samples: Samples::U8(values.collect()),
        notes: Vec::new(),
        scaling: None,
        placed: None,
    }
}

fn set(volume: &mut Volume, [z, y, x]: [usize; 3], value: u8) {
    if let Samples::U8(values) = &mut volume.samples {
        values[(z * SHAPE[1] + y) * SHAPE[2] + x] = value;
    }
}

fn warnings(volume: &Volume, annotated: Annotated) -> Vec<String> {
    let scheme = LabelScheme {
        classes: vec![],
        objects: None,
        annotated,
    };
    let labels = Labels::from_volume(volume, &scheme, None, "l.nii").unwrap();
    annotation_warnings(volume, &labels, &scheme.annotated, "l.nii").unwrap()
}

fn of_painted(volume: &Volume, axis: usize) -> Vec<String> {
    let direction = Direction::of_axis(axis).unwrap();
    warnings(volume, Annotated::PaintedSlices(vec![direction]))
}

/// An ellipsoid.
fn ball(centre: [f64; 3], radii: [f64; 3]) -> impl Fn([usize; 3]) -> u8 {
    move |p| {
        let d = (0..3).map(|a| ((p[a] as f64 - centre[a]) / radii[a]).powi(2));
        u8::from(d.sum::<f64>() <= 1.0)
    }
}

/// A bent, tapering body, a hippocampus of sorts, along any axis.
fn bent(along: usize, scale: f64) -> impl Fn([usize; 3]) -> u8 {
    move |p| {
        let [a, b] = PLANES[along];
        let t = (p[along] as f64 - 6.0) / 45.0;
        if !(0.0..=1.0).contains(&t) {
            return 0;
        }
        let width = scale * (2.0 + 7.0 * (1.0 - t)) * (t * (1.0 - t) * 4.0).sqrt();
        let (u, v) = (
            p[a] as f64 - 28.0 - 9.0 * (t * 3.0).sin(),
            p[b] as f64 - 26.0 - 6.0 * (t * 4.0).cos(),
        );
        match (u / width).powi(2) + (v / (0.6 * width)).powi(2) {
            d if d < 0.3 => 2,
            d => u8::from(d < 1.0),
        }
    }
}

fn every(first: usize, step: usize, axis: usize) -> Vec<usize> {
    (first..SHAPE[axis]).step_by(step).collect()
}

#[test]
fn sound_shapes_are_not_named_at_any_spacing() {
    let mut named = Vec::new();
    let mut seen = 0;
    for axis in 0..3 {
        for step in [1, 3, 5, 10] {
            for first in (0..step).step_by(3) {
                let slices = every(first, step, axis);
                let mut look = |name: &str, volume: Volume| {
                    seen += 1;
                    if let Samples::U8(values) = &volume.samples
                        && values.iter().all(|v| *v == 0)
                    {
                        return;
                    }
                    for text in of_painted(&volume, axis) {
                        named.push(format!("{name} {axis} {step} {first}: {text}"));
                    }
                };
                for radius in [3.0, 6.0, 12.0, 20.0] {
                    let at = ball([30.0, 31.0, 27.0], [radius; 3]);
                    look("ball", painted(axis, &slices, at));
                }
                let egg = ball([30.3, 30.7, 27.2], [25.0, 9.5, 14.0]);
                look("egg", painted(axis, &slices, egg));
                let (a, b) = (
                    ball([14.0, 20.0, 18.0], [9.0; 3]),
                    ball([42.0, 40.0, 38.0], [12.0, 8.0, 8.0]),
                );
                look("two", painted(axis, &slices, |p| a(p) + 2 * b(p)));
                look("bent", painted(axis, &slices, bent(axis, 1.2)));
                // Cut off by the border of the volume.
                let border = ball([30.0, 2.0, 50.0], [22.0, 30.0, 14.0]);
                look("border", painted(axis, &slices, border));
                let block = |p: [usize; 3]| {
                    u8::from((0..3).all(|a| (9..48).contains(&p[a]) && p[a] < SHAPE[a] - 9))
                };
                look("block", painted(axis, &slices, block));
                let tube = |[z, y, x]: [usize; 3]| {
                    let centre = |v: usize| 20.0 + 0.25 * v as f64;
                    let at = [[y, x, z], [z, x, y], [z, y, x]][axis];
                    let d = (at[0] as f64 - centre(at[2])).hypot(at[1] as f64 - 25.0);
                    u8::from(d < 4.0)
                };
                look("tube", painted(axis, &slices, tube));
            }
        }
    }
    assert!(seen > 200, "{seen}");
    assert!(
        named.is_empty(),
        "{} of {seen}:\n{}",
        named.len(),
        named.join("\n")
    );
}

#[test]
fn many_small_things_are_not_named() {
    let texture = |[z, y, x]: [usize; 3]| {
        let wave = |v: usize, f: f64, by: f64| (v as f64 * f + by).sin();
        let value = wave(z, 0.9, 0.3) + wave(y, 0.8, 1.0) + wave(x, 0.7, 2.0);
        u8::from(value > 0.2) + u8::from(value > 1.2)
    };
    for (axis, step) in [(0, 2), (0, 10), (1, 5), (2, 10)] {
        let volume = painted(axis, &every(2, step, axis), texture);
        assert_eq!(of_painted(&volume, axis), [""; 0], "{axis} {step}");
    }
}

#[test]
fn a_stray_click_is_named_wherever_it_is() {
    let body = ball([30.0, 31.0, 27.0], [22.0; 3]);
    for axis in 0..3 {
        let slices: Vec<usize> = vec![14, 24, 34, 44];
        let [a, b] = PLANES[axis];
        // Between slices inside and outside the body, beyond it, at the ends.
        for (index, row, column) in [
            (19, 30, 27),
            (29, 5, 5),
            (33, 31, 28),
            (49, 3, 50),
            (50, 17, 30),
            (0, 2, 2),
            (55, 30, 10),
        ] {
            for size in 1..=3 {
                let mut volume = painted(axis, &slices, &body);
                for (i, j) in (0..size).flat_map(|i| (0..size).map(move |j| (i, j))) {
                    let mut at = [index; 3];
                    (at[a], at[b]) = (row + i, column + j);
                    set(&mut volume, at, 1);
                }
                let found = of_painted(&volume, axis);
                let name = format!("l.nii: {} {index} holds", axis_name(axis));
                assert_eq!(found.len(), 1, "{axis} {index} {size}: {found:?}");
                assert!(found[0].starts_with(&name), "{name}: {}", found[0]);
                let flag = format!("--annotated-slices {}=14,24,34,44", axis_name(axis));
                assert!(found[0].ends_with(&flag), "{}", found[0]);
            }
        }
    }
}

#[test]
fn a_click_among_densely_painted_slices_and_a_ball_of_paint_are_named() {
    let body = ball([30.0, 31.0, 27.0], [22.0; 3]);
    let slices: Vec<usize> = (10..50).filter(|z| *z != 31).collect();
    let mut volume = painted(0, &slices, &body);
    set(&mut volume, [31, 30, 30], 1);
    let found = of_painted(&volume, 0);
    assert!(
        found.len() == 1 && found[0].contains("z 31 holds 1 painted voxel,"),
        "{found:?}"
    );

    let mut volume = painted(0, &[14, 24, 44], &body);
    for (z, size) in [(33, 1), (34, 2), (35, 1)] {
        (0..size).for_each(|i| set(&mut volume, [z, 40 + i, 30], 1));
    }
    let found = of_painted(&volume, 0);
    assert!(
        found.len() == 1 && found[0].contains("z 33 to 35 hold at most 2"),
        "{found:?}"
    );

    let mut volume = painted(0, &[14, 24, 34, 44], &body);
    for (i, z) in [16, 18, 20, 27, 29, 31, 37, 39, 41].into_iter().enumerate() {
        set(&mut volume, [z, 3 + 5 * i, 50 - 5 * i], 1);
    }
    let found = of_painted(&volume, 0);
    assert_eq!(found.len(), NAMED + 1, "{found:?}");
    assert!(found[NAMED].contains("4 more slices along z"), "{found:?}");
}

#[test]
fn a_click_is_named_where_slices_are_stated_too() {
    let body = ball([30.0, 31.0, 27.0], [22.0; 3]);
    let mut volume = painted(0, &[14, 24, 44], &body);
    set(&mut volume, [34, 30, 30], 1);
    let stated = |text: &str| warnings(&volume, Annotated::Slices(text.parse().unwrap()));
    let found = stated("z=4,14,24,34,44,54");
    assert!(
        found.len() == 1 && found[0].contains("z 34 holds 1"),
        "{found:?}"
    );
    // Left out, it is told as such.
    let found = stated("z=4,14,24,44,54");
    assert!(
        found.len() == 1 && found[0].contains("z 34 (1 slice)"),
        "{found:?}"
    );
}

#[test]
fn half_painted_slices_are_named_in_all_directions() {
    for axis in 0..3 {
        let [a, b] = PLANES[axis];
        for (step, radius) in [(2, 9.0), (5, 14.0), (10, 22.0)] {
            let body = ball([30.0, 30.0, 27.0], [radius; 3]);
            let slices = every(0, step, axis);
            for half in 0..6 {
                let is_kept = |p: [usize; 3]| match half {
                    0 => p[a] < 29,
                    1 => p[a] >= 31,
                    2 => p[b] < 26,
                    3 => p[b] >= 30,
                    // Along a diagonal, and one across.
                    4 => p[a] + p[b] < 56,
                    _ => p[a] < p[b] + 4,
                };
                let volume = painted(axis, &slices, |p| match p[axis] == 30 && !is_kept(p) {
                    true => 0,
                    false => body(p),
                });
                let found = of_painted(&volume, axis);
                let name = format!(
                    "{} 30: a structure ends in a straight edge",
                    axis_name(axis)
                );
                assert!(
                    found.len() == 1 && found[0].contains(&name),
                    "{axis} {step} {half}: {found:?}"
                );
                for beside in [30 - step, 30 + step] {
                    assert!(found[0].contains(&format!("{} {beside}", axis_name(axis))));
                }
            }
        }
    }
}

#[test]
fn a_half_painted_slice_is_named_beside_whole_structures_and_at_the_end() {
    let (left, right) = (
        ball([30.0, 30.0, 14.0], [22.0, 14.0, 10.0]),
        ball([30.0, 30.0, 40.0], [22.0, 14.0, 10.0]),
    );
    let slices = every(0, 5, 0);
    // One of two structures is whole.
    let volume = painted(0, &slices, |p| match p[0] == 30 && p[1] < 29 {
        true => left(p),
        false => left(p) + 2 * right(p),
    });
    let found = of_painted(&volume, 0);
    assert!(found.len() == 1 && found[0].contains("z 30: "), "{found:?}");
    // The last slice of what is annotated.
    let volume = painted(0, &[20, 25, 30], |p| match p[0] == 30 && p[2] < 14 {
        true => 0,
        false => left(p),
    });
    let found = of_painted(&volume, 0);
    assert!(
        found.len() == 1 && found[0].contains("beyond which z 25 goes on"),
        "{found:?}"
    );
}

#[test]
fn paint_across_a_direction_that_was_not_named() {
    let body = ball([30.0, 31.0, 27.0], [22.0; 3]);
    for (axis, other) in [(0, 1), (0, 2), (1, 2), (2, 0), (1, 0)] {
        let volume = painted(axis, &every(0, 1, axis), |p| {
            let is_on = p[axis] % 10 == 4 || p[other] == 28;
            if is_on { body(p) } else { 0 }
        });
        let found = of_painted(&volume, axis);
        let flag = format!("--painted-slices {},{}", axis_name(axis), axis_name(other));
        assert!(
            found.len() == 1 && found[0].contains(&flag),
            "{axis} {other}: {found:?}"
        );
        // Named, all is well.
        let both = [axis, other].map(|a| Direction::of_axis(a).unwrap());
        let found = warnings(&volume, Annotated::PaintedSlices(both.to_vec()));
        assert_eq!(found, [""; 0]);
    }
}

#[test]
fn only_labels_with_background_are_looked_at() {
    let body = ball([30.0, 31.0, 27.0], [22.0; 3]);
    // 255 is not annotated; 0 is a class that was drawn.
    let mut volume = painted(0, &[14, 24, 34], |p| 1 + body(p));
    if let Samples::U8(values) = &mut volume.samples {
        values.iter_mut().for_each(|v| *v = v.wrapping_sub(1));
        values[24 * 64 * 56..24 * 64 * 56 + 35 * 56].fill(0);
    }
    let found = warnings(&volume, Annotated::Except(255));
    assert!(found.len() == 1 && found[0].contains("z 24: "), "{found:?}");
    assert_eq!(warnings(&volume, Annotated::Dense), [""; 0]);
}
