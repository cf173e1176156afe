//! All ways to turn, place and refuse, by hand and at random.

use proptest::prelude::*;

use super::relation::apply;
use super::*;
use crate::{
    Annotated, Class, Error, Geometry, Label, LabelScheme, Labels, NumberType, Samples, Volume,
};

const PLACED: How = How {
    by_index: false,
    outside: Outside::Unlabeled,
};
const BY_INDEX: How = How {
    by_index: true,
    ..PLACED
};

/// Axes along the world's, voxels of 2 x 1 x 0.5 mm, first voxel at (10, 20, 30).
fn straight(shape: [usize; 3]) -> Geometry {
    Geometry {
        spacing_mm: Some([2.0, 1.0, 0.5]),
        world_from_volume: Some([
            [0.0, 0.0, 0.5, 10.0],
            [0.0, 1.0, 0.0, 20.0],
            [2.0, 0.0, 0.0, 30.0],
        ]),
        ..Geometry::of_shape(shape)
    }
}

fn spacing_only(shape: [usize; 3], spacing: [f64; 3]) -> Geometry {
    Geometry {
        spacing_mm: Some(spacing),
        ..Geometry::of_shape(shape)
    }
}

/// A grid turned by three angles (degrees) about the world's axes.
fn oblique(shape: [usize; 3], degrees: [f64; 3], spacing: [f64; 3], origin: [f64; 3]) -> Geometry {
    let mut axes = [[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]];
    for (i, j, angle) in [(0, 1, degrees[0]), (1, 2, degrees[1]), (0, 2, degrees[2])] {
        let (sin, cos) = angle.to_radians().sin_cos();
        for axis in &mut axes {
            let (a, b) = (axis[i], axis[j]);
            (axis[i], axis[j]) = (cos * a - sin * b, sin * a + cos * b);
        }
    }
    let row = |r: usize| {
        [
            axes[0][r] * spacing[0],
            axes[1][r] * spacing[1],
            axes[2][r] * spacing[2],
            origin[r],
        ]
    };
    Geometry {
        spacing_mm: Some(spacing),
        world_from_volume: Some([row(0), row(1), row(2)]),
        ..Geometry::of_shape(shape)
    }
}

/// A volume in which every voxel is different.
fn numbered(geometry: Geometry, channels: usize) -> Volume {
    let count = channels * geometry.voxels();
    let samples = Samples::I32((1..=count as i32).collect());
    Volume::new(geometry, channels, samples).unwrap()
}

fn refusal(first: &Geometry, second: &Geometry) -> String {
    let second = numbered(second.clone(), 1);
    let error = bring(
        &mut first.clone(),
        second,
        ["image.nii", "labels.nii"],
        PLACED,
    );
    match error {
        Err(Error::Apart(apart)) => apart.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn turns_are_48_undo_each_other_and_keep_every_voxel_in_the_world() {
    let volume = numbered(
        oblique(
            [2, 3, 4],
            [20.0, -35.0, 70.0],
            [2.0, 1.0, 0.5],
            [1.0, 2.0, 3.0],
        ),
        2,
    );
    let turns: Vec<Turn> = Turn::all().collect();
    assert_eq!(turns.len(), 48);
    assert!(turns[0].is_none());
    for (i, turn) in turns.iter().enumerate() {
        assert!(!turns[..i].contains(turn));
        let turned = turn.volume(&volume);
        assert_eq!(turn.inverse().volume(&turned).samples, volume.samples);
        for c in 0..2 {
            for at in 0..24 {
                let here = turned.geometry.position(at);
                let there = turn.stored_position(here, [2, 3, 4]);
                let (a, b) = (turned.index(c, here), volume.index(c, there));
                assert_eq!(turned.samples.i64_at(a), volume.samples.i64_at(b));
                let world = |g: &Geometry, p: [usize; 3]| {
                    apply(&g.world_from_volume.unwrap(), p.map(|v| v as f64))
                };
                let (a, b) = (
                    world(&turned.geometry, here),
                    world(&volume.geometry, there),
                );
                assert!((0..3).all(|r| (a[r] - b[r]).abs() < 1e-12));
            }
        }
    }
}

#[test]
fn a_shift_within_a_thousandth_of_a_voxel_is_the_same_place_and_more_is_not() {
    let image = straight([3, 4, 5]);
    // Along world x, where voxels are 0.5 mm.
    for (shift, same) in [(0.0, true), (0.0004, true), (0.0006, false), (0.25, false)] {
        let mut labels = image.clone();
        labels.world_from_volume.as_mut().unwrap()[0][3] += shift;
        assert_eq!(relate(&image, &labels).is_ok(), same, "{shift}");
    }
    // A rotation or a scale that shows at the far corner only.
    let mut turned = image.clone();
    turned.world_from_volume.as_mut().unwrap()[0][1] = 0.002;
    assert_eq!(relate(&image, &turned), Err(Why::Axes));
    let mut longer = image.clone();
    longer.world_from_volume.as_mut().unwrap()[2][0] *= 1.01;
    assert_eq!(relate(&image, &longer), Err(Why::Axes));
}

#[test]
fn what_headers_cannot_say_in_f32_is_no_difference() {
    // A stage at 30 mm, voxels of a tenth of a micrometre.
    let mut image = oblique([9, 9, 9], [0.0; 3], [1e-4; 3], [30.0, -20.0, 25.0]);
    let mut labels = image.clone();
    for (a, b) in (image.world_from_volume.iter_mut().flatten())
        .zip(labels.world_from_volume.iter_mut().flatten())
    {
        b[3] = f64::from((b[3] + 1e-6) as f32);
        a[3] = f64::from(a[3] as f32);
    }
    assert_eq!(relate(&image, &labels), Ok(Relation::Same));
    // Nearly half a turn, where the quaternion has the fewest digits.
    let image = oblique([200; 3], [179.9, 0.05, 0.0], [1.0; 3], [0.0; 3]);
    let labels = oblique([200; 3], [179.9, 0.0501, 0.0], [1.0; 3], [0.0; 3]);
    assert_eq!(relate(&image, &labels), Ok(Relation::Same));
    let labels = oblique([200; 3], [179.9, 0.5, 0.0], [1.0; 3], [0.0; 3]);
    assert!(relate(&image, &labels).is_err());
}

#[test]
fn without_places_shapes_and_spacings_must_do() {
    let shape = [3, 4, 5];
    let none = Geometry::of_shape(shape);
    let placed = straight(shape);
    let spacing = |s| spacing_only(shape, s);
    let own = spacing([2.0, 1.0, 0.5]);
    for (first, second, expected) in [
        (&none, &none, Ok(Relation::Same)),
        (&own, &spacing([2.02, 1.0, 0.5]), Ok(Relation::Same)),
        (&own, &spacing([2.1, 1.0, 0.5]), Err(Why::Spacing)),
        (&none, &own, Ok(Relation::SecondSays)),
        (&own, &none, Ok(Relation::FirstSays)),
        (&none, &placed, Ok(Relation::SecondSays)),
        (&placed, &none, Ok(Relation::FirstSays)),
        (&placed, &own, Ok(Relation::FirstSays)),
        (&own, &placed, Ok(Relation::SecondSays)),
        (&placed, &spacing([0.5, 1.0, 2.0]), Err(Why::Spacing)),
        (&placed, &Geometry::of_shape([3, 5, 4]), Err(Why::Shape)),
        (&Geometry::of_shape([3, 5, 4]), &placed, Err(Why::Shape)),
        (&none, &Geometry::of_shape([5, 4, 3]), Err(Why::Shape)),
        // Without a place nobody knows where a box belongs.
        (&placed, &Geometry::of_shape([2, 4, 5]), Err(Why::Shape)),
    ] {
        assert_eq!(relate(first, second), expected, "{first:?} {second:?}");
    }
    // The thickness of one slice is a filler in many files.
    let thick = spacing_only([1, 4, 5], [9.0, 1.0, 0.5]);
    assert_eq!(
        relate(&straight([1, 4, 5]), &thick),
        Ok(Relation::FirstSays)
    );
}

#[test]
fn one_slice_has_no_direction_across() {
    let image = straight([1, 4, 5]);
    let mut labels = image.clone();
    for row in labels.world_from_volume.as_mut().unwrap() {
        row[0] *= -3.0;
    }
    assert_eq!(relate(&image, &labels), Ok(Relation::Same));
    // One slice of a stack.
    let mut slice = straight([1, 4, 5]);
    slice.world_from_volume.as_mut().unwrap()[2][3] += 6.0;
    let stack = straight([9, 4, 5]);
    let within = Relation::Within {
        turn: Turn::NONE,
        start: [3, 0, 0],
    };
    assert_eq!(relate(&stack, &slice), Ok(within));
}

#[test]
fn boxes_that_leave_the_grid_or_lie_between_voxels_are_refused() {
    let image = straight([6, 6, 6]);
    let mut beyond = straight([6, 6, 6]);
    beyond.world_from_volume.as_mut().unwrap()[0][3] -= 1.0;
    let text = refusal(&image, &beyond);
    for part in [
        "labels.nii: it reaches beyond image.nii: x -2:4 of 0:6",
        "shape [6, 6, 6]",
        "spacing 2 x 1 x 0.5 mm",
        "orientation RAS",
        "first voxel at (9, 20, 30) mm",
        "furthest corners are 1 mm apart",
        "--ignore-geometry",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let mut between = image.clone();
    between.world_from_volume.as_mut().unwrap()[1][3] += 0.5;
    assert!(refusal(&image, &between).contains("lie between those of image.nii"));
    // The larger of two is no box of the smaller; --ignore-geometry would not help.
    let text = refusal(&image, &straight([7, 6, 6]));
    assert!(
        text.contains("z 0:7 of 0:6") && !text.contains("--ignore-geometry"),
        "{text}"
    );
    let text = refusal(
        &Geometry::of_shape([6, 6, 6]),
        &Geometry::of_shape([6, 6, 5]),
    );
    assert!(
        text.contains("another shape") && text.contains("[6, 6, 5]"),
        "{text}"
    );
    assert!(!text.contains(" mm apart"), "{text}");
}

#[test]
fn the_filler_of_programs_that_know_no_place_is_named() {
    let filler = oblique([3, 4, 5], [0.0; 3], [1.0; 3], [0.0; 3]);
    let text = refusal(&straight([3, 4, 5]), &filler);
    assert!(text.contains("labels.nii may be such a file"), "{text}");
    assert!(
        !refusal(
            &straight([3, 4, 5]),
            &oblique([3, 4, 5], [9.0, 0.0, 0.0], [1.0; 3], [0.0; 3])
        )
        .contains("such a file")
    );
}

#[test]
fn a_grid_without_three_axes_is_refused_unless_it_is_the_very_same() {
    let mut flat = straight([3, 4, 5]);
    flat.world_from_volume.as_mut().unwrap()[2][0] = 0.0;
    assert_eq!(relate(&flat, &flat.clone()), Ok(Relation::Same));
    assert_eq!(relate(&flat, &straight([3, 4, 5])), Err(Why::Singular));
}

#[test]
fn notes_say_what_was_done_in_one_line() {
    let names = ["image.nii", "labels.nii"];
    let image = straight([4, 4, 4]);
    let turned = |axes, reversed| Turn::new(axes, reversed).unwrap().geometry(&image);
    let note = |second: Geometry, how| {
        let (volume, _) = bring(&mut image.clone(), numbered(second, 1), names, how).unwrap();
        volume.notes.join("|")
    };
    assert_eq!(note(image.clone(), PLACED), "");
    assert!(note(turned([0, 1, 2], [false, false, true]), PLACED).contains("(x reversed)"));
    assert!(note(turned([0, 1, 2], [true; 3]), PLACED).contains("(z, y and x reversed)"));
    assert!(note(turned([2, 1, 0], [false; 3]), PLACED).contains("(its x, y, z are z, y, x)"));
    assert!(note(Geometry::of_shape([4; 3]), PLACED).starts_with("labels.nii: does not state"));
    assert!(note(turned([0, 1, 2], [true; 3]), BY_INDEX).contains("--ignore-geometry"));
    // Nothing to ignore, nothing to tell.
    assert_eq!(note(image.clone(), BY_INDEX), "");
    let slab = numbered(image.clone(), 1).crop([1..3, 0..4, 0..4]).unwrap();
    let placed = note(slab.geometry.clone(), PLACED);
    assert!(
        placed.contains("is a box of image.nii (z 1:3 of 4)") && placed.contains("not annotated"),
        "{placed}"
    );
    let background = How {
        outside: Outside::Background,
        ..PLACED
    };
    assert!(note(slab.geometry, background).contains("background (0)"));
}

#[test]
fn orders_by_index_need_one_shape_and_take_the_first_place() {
    let image = straight([3, 4, 5]);
    let other = oblique([3, 4, 5], [40.0, 0.0, 0.0], [1.0; 3], [5.0; 3]);
    let before = numbered(other, 1);
    let (volume, done) = bring(&mut image.clone(), before.clone(), ["a", "b"], BY_INDEX).unwrap();
    assert_eq!((volume.samples, done), (before.samples, Done::ByIndex));
    assert_eq!(volume.geometry, image);
    let error = bring(
        &mut image.clone(),
        numbered(straight([3, 4, 6]), 1),
        ["a", "b"],
        BY_INDEX,
    );
    assert!(error.unwrap_err().to_string().contains("another shape"));
}

#[test]
fn where_a_part_will_not_do_it_is_refused() {
    let image = straight([4, 4, 4]);
    let whole = How {
        outside: Outside::Refused,
        ..PLACED
    };
    let slab = numbered(image.clone(), 1).crop([1..3, 0..4, 0..4]).unwrap();
    let error = bring(&mut image.clone(), slab, ["a", "b"], whole)
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("b: covers only a part of a"), "{error}");
}

#[test]
fn either_of_two_may_be_the_box() {
    let whole = numbered(straight([4, 4, 4]), 1);
    let part = whole.crop([0..4, 1..3, 2..4]).unwrap();
    let (a, b) = bring_either(
        part.clone(),
        whole.clone(),
        ["p", "w"],
        false,
        [Outside::Unlabeled; 2],
    )
    .unwrap();
    let (d, c) = bring_either(
        whole.clone(),
        part,
        ["w", "p"],
        false,
        [Outside::Unlabeled; 2],
    )
    .unwrap();
    assert_eq!((&a.samples, &a.placed), (&c.samples, &c.placed));
    assert_eq!(a.placed, Some(crate::Filled::Box([0..4, 1..3, 2..4])));
    assert_eq!((b.samples, b.placed), (d.samples, None));
    assert!(a.notes[0].starts_with("p: is a box of w"));
}

#[test]
fn around_a_box_that_is_background_everything_is_stated() {
    let whole = numbered(straight([4, 4, 4]), 1);
    let part = whole.crop([0..4, 1..3, 2..4]).unwrap();
    let background = How {
        outside: Outside::Background,
        ..PLACED
    };
    let (placed, done) = bring(&mut whole.geometry.clone(), part, ["w", "p"], background).unwrap();
    assert!(placed.placed.is_none() && placed.is_filled(0));
    assert_eq!(placed.samples.i64_at(0), Some(0));
    let within = [0..4, 1..3, 2..4];
    assert_eq!(
        done,
        Done::Placed {
            turn: Turn::NONE,
            within
        }
    );
}

#[test]
fn a_mask_may_cover_less_and_more_than_its_labels() {
    let whole = numbered(straight([4, 5, 6]), 1);
    let ranges = [1..3, 1..4, 2..6];
    let part = whole.crop(ranges.clone()).unwrap();
    for turn in Turn::all() {
        let stored = turn.volume(&part);
        let cut = bring_mask(&stored.geometry, whole.clone(), ["l", "m"], false).unwrap();
        assert_eq!(
            (cut.geometry, cut.samples),
            (stored.geometry.clone(), stored.samples.clone())
        );
        let padded = bring_mask(&whole.geometry, stored, ["l", "m"], false).unwrap();
        assert_eq!(padded.placed, Some(crate::Filled::Box(ranges.clone())));
    }
}

#[test]
fn a_crop_of_a_placed_box_knows_what_is_left_of_it() {
    let whole = numbered(straight([4, 4, 4]), 1);
    let part = whole.crop([0..4, 1..3, 2..4]).unwrap();
    let (placed, _) = bring(&mut whole.geometry.clone(), part, ["w", "p"], PLACED).unwrap();
    let left = placed.crop([1..3, 0..2, 3..4]).unwrap();
    assert_eq!(left.placed, Some(crate::Filled::Box([0..2, 1..2, 0..1])));
}

#[test]
fn orientations_are_the_nearest_axes_and_read_back() {
    assert_eq!(straight([2; 3]).orientation().unwrap().to_string(), "RAS");
    assert_eq!(Geometry::of_shape([2; 3]).orientation(), None);
    let near = oblique([2; 3], [10.0, -20.0, 15.0], [1.0; 3], [0.0; 3]);
    assert_eq!(near.orientation().unwrap().to_string(), "RAS");
    let mut seen = Vec::new();
    for turn in Turn::all() {
        let geometry = turn.geometry(&near);
        let orientation = geometry.orientation().unwrap();
        let text = orientation.to_string();
        assert!(!seen.contains(&text));
        assert_eq!(text.parse::<Orientation>().unwrap(), orientation);
        let json = serde_json::to_string(&orientation).unwrap();
        assert_eq!(json, format!("\"{text}\""));
        assert_eq!(
            serde_json::from_str::<Orientation>(&json).unwrap(),
            orientation
        );
        // Back to where it came from.
        let back = orientation.turn_to(near.orientation().unwrap());
        assert_eq!(back, turn.inverse());
        seen.push(text);
    }
    for wrong in ["", "RA", "RAR", "RAL", "ras", "XYZ", "RASS", "R\u{e4}S"] {
        assert!(wrong.parse::<Orientation>().is_err(), "{wrong}");
    }
    // At 45 degrees it is one of the two, and rounding does not decide which.
    let degrees = |d: f64| oblique([2; 3], [d, 0.0, 0.0], [1.0; 3], [0.0; 3]).orientation();
    assert_eq!(degrees(45.0), degrees(45.0 - 1e-8));
    assert_eq!(degrees(45.0), degrees(45.0 + 1e-8));
}

/// What a label file holds in each scheme, and the scheme.
fn schemes() -> Vec<LabelScheme> {
    let scheme = |annotated| LabelScheme::new(Vec::new(), annotated);
    vec![
        scheme(Annotated::Dense),
        scheme(Annotated::Except(0)),
        scheme(Annotated::Except(2)),
        scheme(Annotated::PaintedSlices(vec![crate::labels::Direction::Z])),
        scheme(Annotated::PaintedSlices(vec![crate::labels::Direction::X])),
        scheme(Annotated::Mask("mask".into())),
    ]
}

fn grid() -> impl Strategy<Value = Geometry> {
    (
        [3usize..7, 3..7, 3..7],
        [-180.0..180.0f64, -180.0..180.0, -180.0..180.0],
        [0.01..4.0f64, 0.01..4.0, 0.01..4.0],
        [-200.0..200.0f64, -200.0..200.0, -200.0..200.0],
    )
        .prop_map(|(shape, degrees, spacing, origin)| oblique(shape, degrees, spacing, origin))
}

/// One of the 48, by number.
fn turn(index: usize) -> Turn {
    Turn::all().nth(index).unwrap()
}

proptest! {
    // Volumes of five by five voxels and all turns: a second for all of it.
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_turn_and_box_comes_back_bit_for_bit(
        image in grid(),
        index in 0usize..48,
        low in [0usize..3, 0..3, 0..3],
        channels in 1usize..3,
        kind in prop::sample::select(NumberType::ALL.to_vec()),
    ) {
        let count = channels * image.voxels();
        let mut samples = Samples::zeros(kind, count);
        if let Samples::F64(values) = &mut samples {
            values.iter_mut().enumerate().for_each(|(i, v)| *v = i as f64 / 7.0);
        } else {
            let numbers: Vec<i32> = (1..=count as i32).collect();
            // A type that holds them all stands for the others.
            samples = Samples::I32(numbers);
        }
        let whole = Volume::new(image.clone(), channels, samples).unwrap();
        let ranges = [0, 1, 2].map(|a| low[a]..image.shape[a]);
        let part = whole.crop(ranges.clone()).unwrap();
        let stored = turn(index).volume(&part);
        let (back, done) = bring(&mut image.clone(), stored, ["i", "s"], PLACED).unwrap();
        prop_assert_eq!(&back.geometry, &image);
        let is_whole = low == [0; 3];
        // Along an axis of one voxel, reversed or not is the same.
        let undone = |t: Turn| {
            part.geometry.shape.contains(&1) || t == turn(index).inverse()
        };
        let placed = back.placed.clone();
        prop_assert_eq!(placed, (!is_whole).then(|| crate::Filled::Box(ranges.clone())));
        prop_assert_eq!(back.crop(ranges).unwrap().samples, part.samples);
        for i in (0..image.voxels()).filter(|&i| !back.is_filled(i)) {
            prop_assert_eq!(back.samples.f64_at(i), 0.0);
        }
        match done {
            Done::Same => prop_assert!(is_whole && turn(index).is_none()),
            Done::Turned(t) => prop_assert!(is_whole && undone(t)),
            Done::Placed { turn: t, .. } => prop_assert!(!is_whole && undone(t)),
            other => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn labels_mean_the_same_however_they_are_stored(
        image in grid(),
        index in 0usize..48,
        mask_index in 0usize..48,
        low in [0usize..3, 0..3, 0..3],
        values in prop::collection::vec(0u8..4, 216),
        mask in prop::collection::vec(0u8..2, 216),
    ) {
        let class = |value: i64| Class { value, name: value.to_string() };
        let volume = |values: &[u8]| {
            let samples = Samples::U8(values[..image.voxels()].to_vec());
            Volume::new(image.clone(), 1, samples).unwrap()
        };
        let (labels, mask) = (volume(&values), volume(&mask));
        let ranges = [0, 1, 2].map(|a| low[a]..image.shape[a]);
        let to_image = |v: &Volume| {
            bring(&mut image.clone(), v.clone(), ["i", "l"], PLACED).unwrap().0
        };
        for scheme in schemes() {
            let free = |v: i64| scheme.annotated != Annotated::Except(v);
            let scheme = LabelScheme {
                classes: (0..4).filter(|v| free(*v)).map(class).collect(),
                ..scheme
            };
            // As one would have it without any of this: in the order of the image, the
            // part alone, and unlabeled around it.
            let (part, part_mask) = (
                labels.crop(ranges.clone()).unwrap(),
                mask.crop(ranges.clone()).unwrap(),
            );
            let read = |l: &Volume, m: &Volume| Labels::from_volume(l, &scheme, Some(m), "l");
            let expected = read(&part, &part_mask);
            let stored = turn(index).volume(&part);
            let stored_mask = turn(mask_index).volume(&mask);
            let found = read(&to_image(&stored), &to_image(&stored_mask));
            match (expected, found) {
                (Ok(expected), Ok(found)) => {
                    prop_assert_eq!(&found.geometry, &image);
                    let mut inside = Vec::new();
                    for (i, label) in found.voxels.iter().enumerate() {
                        let at = image.position(i);
                        match (0..3).all(|a| ranges[a].contains(&at[a])) {
                            true => inside.push(*label),
                            false => prop_assert_eq!(*label, Label::UNLABELED),
                        }
                    }
                    prop_assert_eq!(inside, expected.voxels);
                }
                (Err(_), Err(_)) => {}
                (a, b) => prop_assert!(false, "{:?} {:?}", a, b),
            }
        }
    }

    #[test]
    fn a_shift_by_a_part_of_a_voxel_is_never_taken_for_a_place(
        image in grid(),
        index in 0usize..48,
        shift in [0.05..0.95f64, 0.05..0.95, 0.05..0.95],
    ) {
        let mut moved = image.clone();
        for row in moved.world_from_volume.as_mut().unwrap() {
            row[3] += (0..3).map(|a| row[a] * shift[a]).sum::<f64>();
        }
        let second = turn(index).geometry(&moved);
        let refused = matches!(relate(&image, &second), Err(Why::Between));
        prop_assert!(refused, "{:?}", relate(&image, &second));
    }
}

#[test]
fn errors_of_placed_labels_name_voxels_of_the_image() {
    let image = straight([4, 4, 4]);
    let mut values = vec![1u8; 64];
    values[63] = 9;
    let whole = Volume::new(image.clone(), 1, Samples::U8(values)).unwrap();
    let part = whole.crop([2..4, 2..4, 2..4]).unwrap();
    let stored = Turn::new([2, 0, 1], [true, false, true])
        .unwrap()
        .volume(&part);
    let (labels, _) = bring(&mut image.clone(), stored, ["i", "l"], PLACED).unwrap();
    let one = Class {
        value: 1,
        name: "one".into(),
    };
    let scheme = LabelScheme::new(vec![one], Annotated::Dense);
    let error = Labels::from_volume(&labels, &scheme, None, "l.nii")
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("value 9 at [z, y, x] = [3, 3, 3] (1 such voxel)"),
        "{error}"
    );
    // The zeros around it are no values of the file.
    let found = crate::labels::describe_values(&labels, "l.nii").unwrap();
    assert_eq!(
        found.values.iter().map(|v| v.value).collect::<Vec<_>>(),
        [1, 9]
    );
    assert_eq!(found.values[0].share, 7.0 / 8.0);
}

#[test]
fn a_shift_by_part_of_a_voxel_is_seen_on_every_grid() {
    // Tilted by 5 degrees about x: half a turn for the quaternion of an LPS grid, which
    // says such angles worst.
    let (sin, cos) = 5f64.to_radians().sin_cos();
    for (mirror, spacing_mm, shape) in [
        (-1.0, [1.0, 0.5, 0.5], [200, 512, 512]),
        (1.0, [1.0, 0.5, 0.5], [200, 512, 512]),
        (-1.0, [0.2, 0.2, 0.2], [500, 1024, 1024]),
    ] {
        let [z, y, x] = spacing_mm;
        let world = [
            [0.0, 0.0, mirror * x, 90.0],
            [sin * z, -cos * y, 0.0, 120.0],
            [cos * z, sin * y, 0.0, -70.0],
        ];
        let first = Geometry {
            spacing_mm: Some(spacing_mm),
            world_from_volume: Some(world),
            ..Geometry::of_shape(shape)
        };
        assert_eq!(relate(&first, &first), Ok(Relation::Same));
        for axis in 0..3 {
            for part in [0.05, 0.25, 0.5] {
                let mut second = first.clone();
                let moved = world.map(|row| [row[0], row[1], row[2], row[3] + part * row[axis]]);
                second.world_from_volume = Some(moved);
                let found = relate(&first, &second);
                assert_eq!(found, Err(Why::Between), "{mirror} {axis} {part}");
            }
        }
    }
}
