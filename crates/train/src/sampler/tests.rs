//! What is drawn, how often, and what is refused.

use unet3d_volume::{Class, Geometry, Image};

use super::*;

const PATCH: PatchShape = PatchShape {
    input: [8; 3],
    output: [4; 3],
};

fn case(shape: [usize; 3], label: impl Fn([usize; 3]) -> Option<usize>) -> Case {
    let [depth, height, width] = shape;
    let geometry = Geometry::of_shape(shape);
    let mut voxels = Vec::new();
    for i in 0..depth * height * width {
        let at = [i / width / height, i / width % height, i % width];
        voxels.push(label(at).map_or(Label::UNLABELED, Label::of_class));
    }
    let classes = ["lumen", "wall", "background"].iter().zip(0..);
    Case {
        name: "case".into(),
        subject: None,
        notes: Vec::new(),
        image: Image {
            channels: 1,
            voxels: vec![0.0; geometry.voxels()],
            geometry: geometry.clone(),
        },
        labels: Labels {
            geometry,
            classes: classes
                .map(|(name, value)| Class {
                    value,
                    name: (*name).to_owned(),
                })
                .collect(),
            voxels,
        },
    }
}

fn sampler(cases: Vec<Case>, config: &SamplerConfig) -> Result<Sampler, SamplerError> {
    Sampler::new(cases.into(), PATCH, config)
}

fn ratio(positive: f64, negative: f64) -> SamplerConfig {
    SamplerConfig::Ratio {
        positive,
        negative,
        background: "background".into(),
    }
}

fn label_at(sampler: &Sampler, location: Location) -> Option<usize> {
    let labels = &sampler.cases()[location.case].labels;
    let [z, y, x] = location.centre;
    let [_, height, width] = labels.geometry.shape;
    labels.voxels[(z * height + y) * width + x].class()
}

#[test]
fn centres_are_annotated_voxels_all_equally_likely() {
    // Ten annotated voxels in odd places, the first and the last among them.
    let chosen = |[z, y, x]: [usize; 3]| (z * 7 + y) * 5 + x;
    let annotated = [0, 1, 4, 5, 34, 35, 100, 101, 150, 174];
    let label = move |at| annotated.contains(&chosen(at)).then_some(1);
    let sampler = sampler(vec![case([5, 7, 5], label)], &SamplerConfig::Annotated).unwrap();
    let mut counts = [0; 10];
    for step in 0..2000 {
        let location = sampler.draw(3, step, 0);
        let voxel = chosen(location.centre);
        let Some(i) = annotated.iter().position(|&a| a == voxel) else {
            panic!("voxel {voxel} is not annotated");
        };
        counts[i] += 1;
    }
    // 200 expected, deviation 13.4; five of those.
    assert!(counts.iter().all(|n| (133..267).contains(n)), "{counts:?}");
}

#[test]
fn cases_are_equally_likely_and_empty_ones_never_drawn() {
    let cases = vec![
        case([4; 3], |_| None),
        case([20; 3], |_| Some(0)),
        case([4; 3], |at| (at == [1, 2, 3]).then_some(1)),
    ];
    let sampler = sampler(cases, &SamplerConfig::Annotated).unwrap();
    let mut counts = [0; 3];
    for step in 0..1000 {
        let location = sampler.draw(1, step, 0);
        counts[location.case] += 1;
        assert!(location.case != 2 || location.centre == [1, 2, 3]);
    }
    assert_eq!(counts[0], 0);
    assert!((400..600).contains(&counts[1]), "{counts:?}");
}

#[test]
fn a_ratio_is_kept_whatever_the_share_of_voxels() {
    let label = |[z, y, _]: [usize; 3]| match (z, y) {
        (0, 0) => Some(1),
        (2..4, _) => None,
        _ => Some(2),
    };
    let sampler = sampler(vec![case([12; 3], label)], &ratio(1.0, 3.0)).unwrap();
    let mut positive = 0;
    for step in 0..2000 {
        match label_at(&sampler, sampler.draw(1, step, 0)) {
            Some(1) => positive += 1,
            Some(2) => {}
            other => panic!("{other:?} drawn"),
        }
    }
    assert!(
        (400..600).contains(&positive),
        "{positive} of 2000, 500 expected"
    );
}

#[test]
fn patches_inside_stay_inside_and_cover_what_is_smaller() {
    // Along z smaller than the output of 4, along y as large, along x larger.
    let shape = [3, 4, 20];
    let label = |[_, _, x]: [usize; 3]| (x % 19 == 0).then_some(0);
    let sampler = sampler(vec![case(shape, label)], &SamplerConfig::Inside).unwrap();
    let mut starts = std::collections::BTreeSet::new();
    for step in 0..50 {
        let location = sampler.draw(1, step, 0);
        let labels = &sampler.cases()[0].labels;
        assert!(sampler.output_is_annotated(labels, location.centre));
        assert!((0..3).all(|a| location.centre[a] < shape[a]));
        starts.insert(location.centre.map(|c| c as isize - 2));
    }
    assert_eq!(
        starts.into_iter().collect::<Vec<_>>(),
        [[-1, 0, 0], [-1, 0, 16]]
    );
}

#[test]
fn uniform_patches_hold_an_annotated_voxel() {
    type Labeling = fn([usize; 3]) -> Option<usize>;
    let labelings: [Labeling; 4] = [
        |_| Some(0),
        |[z, ..]| (z == 17).then_some(1),
        // So rare that only the fallback finds it, in a corner and inside.
        |at| (at == [0, 0, 39]).then_some(1),
        |at| (at == [20, 21, 22]).then_some(1),
    ];
    for (i, label) in labelings.into_iter().enumerate() {
        let sampler = sampler(vec![case([40; 3], label)], &SamplerConfig::Uniform).unwrap();
        let mut centres = std::collections::HashSet::new();
        for step in 0..200 {
            let location = sampler.draw(1, step, 0);
            centres.insert(location.centre);
            let labels = &sampler.cases()[0].labels;
            assert!(location.centre.iter().all(|&c| c < 40));
            assert!(
                sampler.output_is_annotated(labels, location.centre),
                "labeling {i}: nothing annotated around {location:?}"
            );
        }
        // The corner allows 2 * 2 * 3 centres or so, the others 64 and more.
        assert!(centres.len() > 5, "labeling {i}: {} centres", centres.len());
    }
}

#[test]
fn draws_depend_on_seed_step_and_index_alone() {
    let sampler = sampler(vec![case([30; 3], |_| Some(0))], &SamplerConfig::Annotated).unwrap();
    let base = sampler.draw(1, 2, 3);
    assert_eq!(base, sampler.draw(1, 2, 3));
    for other in [
        sampler.draw(2, 2, 3),
        sampler.draw(1, 3, 3),
        sampler.draw(1, 2, 4),
    ] {
        assert_ne!(base, other);
    }
}

#[test]
fn what_cannot_be_sampled_is_refused() {
    let all = || case([8; 3], |_| Some(2));
    let refused = |cases, config: &SamplerConfig| sampler(cases, config).unwrap_err().to_string();
    let message = refused(vec![case([8; 3], |_| None)], &SamplerConfig::Annotated);
    assert!(message.contains("no annotated voxel"), "{message}");
    let message = refused(vec![], &SamplerConfig::Annotated);
    assert!(message.contains("0 cases"), "{message}");
    let mut wrong = all();
    wrong.image.geometry.shape = [8, 8, 9];
    let message = refused(vec![wrong], &SamplerConfig::Annotated);
    assert!(message.contains("[8, 8, 9]"), "{message}");
    let message = refused(vec![all()], &ratio(1.0, 3.0));
    assert!(
        message.contains("outside class \"background\""),
        "{message}"
    );
    assert!(sampler(vec![all()], &ratio(0.0, 1.0)).is_ok());
    for (positive, negative) in [(0.0, 0.0), (-1.0, 2.0), (f64::NAN, 1.0)] {
        let message = refused(vec![all()], &ratio(positive, negative));
        assert!(message.contains("not both 0"), "{message}");
    }
    let other = SamplerConfig::Ratio {
        positive: 1.0,
        negative: 1.0,
        background: "outside".into(),
    };
    let message = refused(vec![all()], &other);
    assert!(message.contains("lumen, wall, background"), "{message}");
}

#[test]
fn a_patch_has_whole_voxels_around_its_output() {
    assert_eq!(
        PatchShape::new([132, 132, 116], [44, 44, 28])
            .unwrap()
            .margin(),
        [44; 3]
    );
    assert!(PatchShape::new([8, 8, 8], [8, 8, 8]).is_ok());
    for output in [[0, 4, 4], [4, 10, 4], [4, 4, 3]] {
        assert!(PatchShape::new([8; 3], output).is_err(), "{output:?}");
    }
}

#[test]
fn configuration_reads_as_written() {
    let text = "centre = \"ratio\"\npositive = 1.0\nnegative = 3.0\nbackground = \"background\"";
    assert_eq!(
        toml::from_str::<SamplerConfig>(text).unwrap(),
        ratio(1.0, 3.0)
    );
    let annotated: SamplerConfig = toml::from_str("centre = \"annotated\"").unwrap();
    assert_eq!(annotated, SamplerConfig::default());
}
