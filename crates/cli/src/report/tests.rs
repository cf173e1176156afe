//! Whole pages, made up from shells in a small volume.

use std::sync::OnceLock;

use unet3d_volume::{Geometry, Label, Samples, Volume};

use super::*;

const SHAPE: [usize; 3] = [24, 60, 80];

/// Concentric shells: enough structure to see that a report is right.
fn shells(shape: [usize; 3]) -> (Volume, Vec<Label>) {
    let mut gray = Vec::new();
    let mut labels = Vec::new();
    for z in 0..shape[0] {
        for y in 0..shape[1] {
            for x in 0..shape[2] {
                let at = [z, y, x];
                let d = |a: usize| (at[a] as f64 / shape[a] as f64 - 0.5).powi(2);
                let r = (d(0) + d(1) + d(2)).sqrt();
                let wave = (r * 40.0).sin();
                gray.push((120.0 + 90.0 * wave + (x * 7 + y * 13 + z * 5) as f64 % 17.0) as u8);
                labels.push(Label::of_class(
                    usize::from(wave > 0.0) + usize::from(r > 0.4),
                ));
            }
        }
    }
    let geometry = Geometry {
        spacing_mm: Some([0.002, 0.001, 0.001]),
        ..Geometry::of_shape(shape)
    };
    (
        Volume::new(geometry, 1, Samples::U8(gray)).expect("a volume"),
        labels,
    )
}

/// The labels of z 4, 12, 20 and y 30.
fn annotated(truth: &[Label]) -> Vec<Label> {
    let label = |i: usize| {
        let (z, y) = (i / 4800, i / 80 % 60);
        match [4, 12, 20].contains(&z) || y == 30 {
            true => truth[i],
            false => Label::UNLABELED,
        }
    };
    (0..truth.len()).map(label).collect()
}

fn classes(names: [&str; 3]) -> Vec<Class> {
    let class = |(value, name): (i64, &str)| Class {
        value,
        name: name.to_owned(),
    };
    (7..).zip(names).map(class).collect()
}

/// Slices of shells, annotated on a few.
fn slices<'a>(
    image: &'a Volume,
    classes: &'a [Class],
    [annotation, result]: [&'a [Label]; 2],
    room: usize,
) -> Slices<'a> {
    let held_out = [vec![12], vec![], vec![]];
    Slices {
        name: "kidney <1>.tif".into(),
        image: Source::File(image),
        classes,
        annotation: Some(annotation),
        result,
        doubts: None,
        truth: None,
        annotated: [vec![4, 12, 20], vec![30], vec![]],
        scores: SliceScores::all(&held_out, image.geometry.shape, classes, annotation, result),
        held_out,
        room,
    }
}

fn page(parts: Vec<Part<'_>>) -> String {
    to_html(&Report {
        title: "kidney.tif, filled".into(),
        summary: "Every voxel segmented from 4 annotated slices.".into(),
        parts,
        program: "Written by unet3d 0.1.0.".into(),
    })
}

/// A page with every kind of part.
fn whole(names: [&str; 3]) -> String {
    let (image, truth) = shells(SHAPE);
    let annotation = annotated(&truth);
    let classes = classes(names);
    let doubts = vec![0.5; truth.len()];
    let mut reliability = Reliability::default();
    reliability.add(0.9, true, 3.0);
    let mut shown = slices(&image, &classes, [&annotation, &truth], ROOM);
    shown.doubts = Some(&doubts);
    shown.truth = Some(&truth);
    let of_slices = annotated::held_out(&classes, &shown.scores, 1);
    let used = annotated::slices(&shown.annotated, &shown.held_out, SHAPE);
    let volumes = annotated::volumes(&classes, &truth, &image.geometry);
    page(vec![
        Part::Quality(Quality {
            heading: "Mean IoU",
            measured_on: "Measured on 4,800 voxels that were held out.".into(),
            mean_iou: Some(0.8123),
            interval: Some([0.77, 0.85]),
            names: &classes,
            classes: vec![
                (Some(0.91), Some(0.95), 2000),
                (Some(0.71), Some(0.83), 2800),
                (None, None, 0),
            ],
        }),
        Part::Slices("Slices".into(), 1, shown),
        Part::Table(volumes),
        Part::Table(of_slices.expect("a slice held out")),
        Part::Trust(Trust {
            sentence: "The network is too certain.".into(),
            before: &reliability,
            after: &reliability,
        }),
        Part::Training(Training {
            losses: (1..300).map(|s| (s, 1.0 / s as f32)).collect(),
            scores: vec![(100, 0.4), (200, 0.7), (299, 0.81)],
        }),
        Part::Table(used.expect("slices")),
        Part::Facts(
            "What was done",
            vec![("Volume", vec![("image", names[0].into())])],
        ),
        Part::Files(Files {
            written: vec![(names[1].into(), "the segmentation".into())],
            next: vec![(
                "Segment more.".into(),
                "unet3d predict model image.tif -o out.tif".into(),
            )],
        }),
    ])
}

/// The same with common names, made once.
fn common() -> &'static str {
    static PAGE: OnceLock<String> = OnceLock::new();
    PAGE.get_or_init(|| whole(["lumen", "wall", "background"]))
}

/// The data of a slider.
fn data(html: &str, id: usize) -> serde_json::Value {
    let start = format!("<script type=\"application/json\" id=\"slices-{id}-data\">");
    let (_, rest) = html.split_once(&start).expect("data");
    let (json, _) = rest.split_once("</script>").expect("an end");
    serde_json::from_str(json).unwrap_or_else(|e| panic!("{e}"))
}

/// Everything but pictures, which are base64.
fn text(html: &str) -> String {
    let parts = html.split('"');
    parts
        .filter(|p| p.len() < 1000)
        .collect::<Vec<_>>()
        .join("\"")
}

#[test]
fn a_report_is_one_file_that_needs_nothing_else() {
    let html = common();
    let text = text(html);
    for outside in [
        "http:", "https:", "<link", "src=\"//", "url(", "@import", "fetch(", "XMLHttp",
    ] {
        assert!(!text.contains(outside), "{outside}");
    }
    assert!(html.contains("default-src 'none'"));
    // Nothing that runs comes before the policy.
    assert!(html.find("Content-Security-Policy") < html.find("<script"));
    assert!(html.len() < 20_000_000, "{}", html.len());
}

#[test]
fn nasty_names_stay_text_wherever_they_stand() {
    let nasty = [
        "<script>alert(1)</script>",
        "\" onload=\"x\" </script><!--",
        "a'b&\u{1b}[31m\u{202e}",
    ];
    let html = whole(nasty);
    let text = text(&html);
    for raw in ["<script>alert", "onload=\"x", "\u{1b}", "\u{202e}", "<!--"] {
        assert!(!text.contains(raw), "{raw:?}");
    }
    assert!(text.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    assert!(text.contains("kidney &lt;1&gt;.tif"));
    // One for the head, one for the data, one for the viewer.
    assert_eq!(html.matches("<script").count(), 3);
    assert_eq!(html.matches("</script>").count(), 3);
    data(&html, 1);
}

#[test]
fn every_picture_says_what_it_is_and_what_it_is_for() {
    let html = common();
    let images: Vec<&str> = html.split("<img ").skip(1).collect();
    // Two slices across z and y, one across x, five layers and the image: each crosses
    // the slice annotated across y. And three of the slider, which gives them texts.
    assert_eq!(images.len(), 5 * 6 + 3);
    for image in &images {
        let tag = image.split('>').next().expect("an end");
        let alt = tag.split("alt=\"").nth(1).expect("an alt text");
        let is_of_slider = tag.contains("hidden");
        assert_eq!(alt.starts_with('"'), is_of_slider, "{}", &tag[..60]);
    }
    for svg in html.split("<svg").skip(1) {
        let tag = svg.split('>').next().expect("an end");
        let is_told = tag.contains("aria-label=\"") || tag.contains("aria-hidden=\"true\"");
        assert!(is_told, "{tag}");
    }
}

#[test]
fn the_slider_holds_every_slice_with_its_layers_and_marks() {
    let html = common();
    let data = data(html, 1);
    let axes = data["axes"].as_array().expect("axes");
    assert_eq!(axes.len(), 3);
    for (axis, count) in axes.iter().zip(SHAPE) {
        let slices = axis["slices"].as_array().expect("slices");
        assert_eq!(
            (slices.len(), axis["of"].as_u64()),
            (count, Some(count as u64))
        );
        for (i, slice) in slices.iter().enumerate() {
            assert_eq!(slice["i"], i);
            for layer in [
                "image",
                "annotation",
                "result",
                "doubts",
                "difference",
                "truth",
            ] {
                assert!(slice[layer].is_string(), "{layer} of slice {i}");
            }
        }
    }
    let z = &axes[0]["slices"];
    assert_eq!([&z[3]["kind"], &z[4]["kind"], &z[12]["kind"]], [0, 1, 2]);
    assert_eq!(
        (&z[12]["iou"], &z[4]["iou"]),
        (&"1.000".into(), &serde_json::Value::Null)
    );
    for mark in [
        "class=\"used\" data-at=\"4\" style=\"left:17.39%\" title=\"z 4: annotated\"",
        "class=\"held\" data-at=\"12\" style=\"left:52.17%\" title=\"z 12: annotated, held out\"",
        "class=\"used\" data-at=\"30\" style=\"left:50.85%\" title=\"y 30: annotated\"",
    ] {
        assert!(html.contains(mark), "{mark}");
    }
    // In space: 80 by 60 µm across z, 80 by 48 across y.
    assert_eq!([&axes[0]["ratio"], &axes[1]["ratio"]], [1.33333, 1.66667]);
    assert_eq!(axes[0]["bar"], serde_json::json!([0.25, "20 µm"]));
    assert!(!html.contains("Reduced, to keep"));
}

#[test]
fn pictures_of_the_slider_are_those_of_the_volume() {
    let (image, truth) = shells(SHAPE);
    let annotation = super::tests::annotated(&truth);
    let classes = classes(["lumen", "wall", "background"]);
    let html = page(vec![Part::Slices(
        "Slices".into(),
        3,
        slices(&image, &classes, [&annotation, &truth], ROOM),
    )]);
    let data = data(&html, 3);
    let z = &data["axes"][0];
    let slice = &z["slices"][12];
    let text = |value: &serde_json::Value| value.as_str().expect("base64").to_owned();
    let (rows, columns, pixels) = encode::tests::decoded(&text(&slice["image"]));
    assert_eq!((rows, columns), (60, 80));
    let Samples::U8(gray) = &image.samples else {
        panic!("gray")
    };
    // Brighter is brighter.
    let pairs = gray[12 * 4800..13 * 4800].iter().zip(&pixels);
    let (mut bright, mut dark) = (0, 255);
    for (sample, pixel) in pairs {
        match sample {
            180.. => bright = bright.max(255 - *pixel),
            ..60 => dark = dark.min(255 - *pixel),
            _ => {}
        }
    }
    assert!(bright < 100 && dark > 150, "{bright}, {dark}");
    // Labels as indices, two a class.
    let parts = [text(&z["head"]["result"]), text(&slice["result"])];
    let palette: Vec<u8> = (0..7).flat_map(|i| [i; 3]).collect();
    let (_, _, indices) = encode::tests::decoded(&encode::tests::joined(&parts, &palette));
    let found = indices.chunks(3).map(|p| usize::from(p[0] - 1) / 2);
    let expected = truth[12 * 4800..13 * 4800]
        .iter()
        .map(|l| l.class().expect("one"));
    assert!(found.eq(expected));
    // Beside an annotated slice there is nothing but the crossing one.
    assert!(z["slices"][12]["annotation"].is_string());
    assert!(z["slices"][12]["difference"].is_string());
    assert!(z["slices"][4]["difference"].is_null(), "was learned from");
    assert!(z["head"]["doubts"].is_null());
}

#[test]
fn what_does_not_fit_is_reduced_and_the_page_says_so() {
    let (image, truth) = shells(SHAPE);
    let annotation = super::tests::annotated(&truth);
    let classes = classes(["lumen", "wall", "background"]);
    let mut notes = String::new();
    let mut room = 400_000;
    while room > 5_000 {
        let html = page(vec![Part::Slices(
            "Slices".into(),
            1,
            slices(&image, &classes, [&annotation, &truth], room),
        )]);
        let (_, note) = html.split_once("Reduced, to keep").expect("a sentence");
        notes.push_str(note.split_once("</p>").expect("an end").0);
        let data = data(&html, 1);
        let size = data["axes"].to_string().len();
        assert!(size <= room + 1000, "{size} in {room}");
        let z = data["axes"][0]["slices"].as_array().expect("slices");
        for annotated in [4, 12, 20] {
            assert!(z.iter().any(|s| s["i"] == annotated), "{annotated}");
        }
        room /= 2;
    }
    for reduction in [
        "64 grays",
        "1 of 2 x 2 pixels",
        "every second slice and all that are annotated",
        "every third slice",
        "slices across y and x are left out",
    ] {
        assert!(notes.contains(reduction), "{reduction} in {notes}");
    }
    // Where nothing fits, the stills do.
    let html = page(vec![Part::Slices(
        "Slices".into(),
        1,
        slices(&image, &classes, [&annotation, &truth], 10),
    )]);
    assert!(html.contains("too large for a slider") && html.contains("data:image/png"));
}

#[test]
fn volumes_and_scores_are_in_tables() {
    let (image, truth) = shells(SHAPE);
    let names = ["lumen", "wall", "background"];
    let html = common();
    let all = truth.len() as f64;
    for (class, name) in names.iter().enumerate() {
        let voxels = truth.iter().filter(|l| l.class() == Some(class)).count();
        // A voxel is 2 µm³.
        let volume = format!("{} µm³", crate::console::count(2 * voxels as u64));
        let share = crate::console::percent(voxels as f64 / all);
        for found in [*name, &volume, &share] {
            assert!(html.contains(&format!("{found}</td>")), "{found}");
        }
    }
    assert!(html.contains("Voxel size: z 2 µm, y 1 µm, x 1 µm."));
    assert!(html.contains("<a href=\"#slices-1\" data-slice=\"0,12\">z 12</a>"));
    assert!(html.contains("<td>across z</td><td>3 of 24</td><td>4, 20</td><td>12</td>"));
    // Without a spacing there are no volumes, and the page says why.
    let bare = Geometry::of_shape(SHAPE);
    let table = annotated::volumes(&classes(names), &truth, &bare);
    assert!(table.note.contains("does not state"));
    assert_eq!(table.columns.len(), 5);
    drop(image);
}

#[test]
fn the_background_is_not_painted_in_any_still() {
    let (image, truth) = shells(SHAPE);
    let annotation = super::tests::annotated(&truth);
    let classes = classes(["lumen", "wall", "background"]);
    let shown = slices(&image, &classes, [&annotation, &truth], ROOM);
    let painter = super::slices::Painter::new(&shown);
    assert_eq!(painter.shades.background, Some(2));
    let mut out = String::new();
    stills::figure(&mut out, &painter, (0, 12), "");
    let result = out
        .split("base64,")
        .nth(3)
        .expect("image, annotation, result");
    let result = result.split('"').next().expect("an end");
    let (_, _, pixels) = encode::tests::decoded(result);
    let labels = &truth[12 * 4800..13 * 4800];
    for (pixel, label) in pixels.chunks(3).zip(labels) {
        let is_gray = pixel[0] == pixel[1] && pixel[1] == pixel[2];
        assert_eq!(is_gray, label.class() == Some(2));
    }
}

#[test]
fn what_was_not_measured_has_no_plot() {
    let nothing = Reliability::default();
    let html = page(vec![
        Part::Trust(Trust {
            sentence: "Nothing was held out.".into(),
            before: &nothing,
            after: &nothing,
        }),
        Part::Training(Training {
            losses: Vec::new(),
            scores: Vec::new(),
        }),
    ]);
    assert!(html.contains("Nothing was held out.") && !html.contains("<svg"));
    assert!(!html.contains("How the training went"));
}
