//! Up-convolution, pooling and normalisation against their references, for
//! every instruction set and several numbers of threads.

mod common;

use common::{compare, integers, numbers, report};
use unet3d_kernels::norm::{self, Normalised, Unpool, Value};
use unet3d_kernels::{
    Context, Dropout, Isa, Region, Shape, Source, Threads, Transform, pool3d, upconv3d,
};

/// (n, space, in channels, out channels, window).
type Up = (usize, [usize; 3], usize, usize, [usize; 3]);

/// At, below and above the chunk (12 voxels by 16 channels), the pair of panels,
/// the points of a load (144), and weights that are many.
const UP: &[Up] = &[
    (1, [1, 1, 1], 1, 1, [2, 2, 2]),
    (2, [2, 3, 5], 16, 16, [2, 2, 2]),
    (1, [3, 2, 6], 17, 15, [1, 2, 2]),
    (1, [2, 2, 7], 5, 33, [2, 1, 2]),
    (1, [2, 13, 12], 32, 17, [2, 2, 1]),
    (1, [1, 2, 130], 7, 3, [1, 1, 1]),
    (2, [1, 1, 11], 31, 48, [2, 2, 2]),
    (1, [1, 3, 4], 32, 32, [1, 2, 2]),
    (1, [1, 1, 13], 49, 64, [2, 1, 1]),
    (1, [1, 1, 143], 16, 32, [1, 1, 2]),
    (2, [1, 4, 36], 32, 16, [2, 2, 2]),
    (1, [1, 5, 29], 192, 192, [2, 2, 2]),
];

#[test]
fn up_convolutions_agree_with_the_reference() {
    let mut failures = Vec::new();
    for &(n, space, in_c, out_c, window) in UP {
        for exact in [true, false] {
            let make = if exact { integers } else { numbers };
            let shape = Shape { n, space, c: in_c };
            let (x, scale, shift) = (
                make(shape.len(), 1),
                numbers(n * in_c, 2),
                numbers(n * in_c, 3),
            );
            let transform = (!exact).then_some(Transform {
                scale: &scale,
                shift: &shift,
                slope: 0.1,
                dropout: None,
            });
            let input = Source {
                data: &x,
                shape,
                crop: [0; 3],
                transform,
            };
            let problem = upconv3d::Problem {
                input,
                window,
                out_c,
            };
            let size = problem.size();
            let (weights, bias) = (make(size.weights(), 4), make(out_c, 5));
            let dy = make(size.output().len(), 6);
            let mut want = [
                vec![0.0; dy.len()],
                vec![0.0; x.len()],
                vec![1.0; weights.len()],
            ];
            upconv3d::reference::forward(&problem, &weights, Some(&bias), &mut want[0]);
            upconv3d::reference::backward_input(&problem, &weights, &dy, &mut want[1]);
            upconv3d::reference::backward_weights(&problem, &dy, &mut want[2]);
            let terms = [in_c, size.taps() * out_c, n * shape.voxels()];
            for isa in Isa::available() {
                let mut first: Option<[Vec<f32>; 3]> = None;
                for count in [1, 2, 7] {
                    let threads = Threads::new(count).unwrap();
                    let context = Context {
                        threads: &threads,
                        isa,
                    };
                    let mut scratch = vec![f32::NAN; upconv3d::scratch(&size, count)];
                    let mut got = [
                        vec![9.0; dy.len()],
                        vec![9.0; x.len()],
                        vec![1.0; weights.len()],
                    ];
                    upconv3d::forward(
                        context,
                        &problem,
                        &weights,
                        Some(&bias),
                        &mut got[0],
                        &mut scratch,
                    );
                    upconv3d::backward_input(
                        context,
                        &problem,
                        &weights,
                        &dy,
                        &mut got[1],
                        &mut scratch,
                    );
                    upconv3d::backward_weights(context, &problem, &dy, &mut got[2], &mut scratch);
                    let name = format!(
                        "{n} {space:?} {in_c}>{out_c} {window:?} {isa} {count} threads exact {exact}"
                    );
                    for (k, pass) in ["y", "dx", "dw"].iter().enumerate() {
                        compare(
                            &mut failures,
                            &format!("{name} {pass}"),
                            &got[k],
                            &want[k],
                            terms[k],
                            exact,
                        );
                    }
                    let same = first.get_or_insert_with(|| got.clone()) == &got;
                    assert!(same, "{name}: bits depend on the threads or on the maxima");
                }
            }
        }
    }
    report(&failures);
}

/// At, below and above a vector of each instruction set.
const CHANNELS: &[usize] = &[1, 3, 4, 7, 8, 9, 15, 16, 17, 32, 40];

#[test]
fn pooling_is_the_reference_to_the_bit() {
    let threads = [1, 2, 7].map(|count| Threads::new(count).unwrap());
    for window in [[2, 2, 2], [1, 2, 2], [2, 1, 1], [1, 1, 1]] {
        for &c in CHANNELS {
            for (slope, rate) in [(Some(0.0), None), (Some(0.1), Some(0.5)), (None, None)] {
                pooling(&threads, window, c, slope, rate);
            }
        }
    }
}

/// Compares one size with the reference, for each instruction set.
fn pooling(
    threads: &[Threads],
    window: [usize; 3],
    c: usize,
    slope: Option<f32>,
    rate: Option<f32>,
) {
    let shape = Shape {
        n: 2,
        space: [4, 6, 8],
        c,
    };
    // Small whole numbers: many of the values in a window are equal.
    let (x, scale, shift) = (
        integers(shape.len(), 1),
        numbers(2 * c, 2),
        numbers(2 * c, 3),
    );
    let transform = slope.map(|slope| Transform {
        scale: &scale,
        shift: &shift,
        slope,
        dropout: rate.map(|rate| Dropout { key: 5, rate }),
    });
    let input = Source {
        data: &x,
        shape,
        crop: [0; 3],
        transform,
    };
    let len = pool3d::output(shape, window).len();
    let mut y = vec![0.0; len];
    pool3d::reference::forward(&input, window, &mut y);
    for (isa, threads) in Isa::available()
        .into_iter()
        .flat_map(|isa| threads.iter().map(move |threads| (isa, threads)))
    {
        let context = Context { threads, isa };
        let mut got = vec![9.0; len];
        pool3d::forward(context, &input, window, &mut got);
        let name = format!("{window:?} {c} {slope:?} {rate:?} {isa}");
        assert_eq!(got, y, "{name} {}", threads.count());
    }
}

#[test]
fn moments_are_those_of_the_reference() {
    let mut failures = Vec::new();
    for c in [1, 3, 16, 33] {
        let shape = Shape {
            n: 3,
            space: [4, 5, 6],
            c,
        };
        // A mean a thousand times the deviation: the sums must not lose it.
        let y: Vec<f32> = numbers(shape.len(), 1).iter().map(|v| v + 1000.0).collect();
        for (isa, count) in Isa::available()
            .into_iter()
            .flat_map(|isa| [(isa, 1), (isa, 2)])
        {
            let threads = Threads::new(count).unwrap();
            let mut workspace = vec![f64::NAN; norm::workspace(shape)];
            let mut sums = vec![f64::NAN; 2 * shape.n * c];
            norm::moments(
                Context {
                    threads: &threads,
                    isa,
                },
                &y,
                shape,
                &mut workspace,
                &mut sums,
            );
            for n in 0..shape.n {
                for i in 0..c {
                    let (mean, variance) =
                        norm::reference::mean_and_variance(&y, shape, Some(n), i);
                    let voxels = shape.voxels() as f64;
                    let got_mean = sums[n * 2 * c + i] / voxels;
                    let got = sums[(n * 2 + 1) * c + i] / voxels - got_mean * got_mean;
                    if (got_mean - mean).abs() > 1e-9 || (got - variance).abs() > 1e-7 * variance {
                        failures.push(format!(
                            "{c} {n} {i} {isa}: {got_mean} {mean}, {got} {variance}"
                        ));
                    }
                }
            }
        }
    }
    report(&failures);
}

#[test]
fn the_gradient_through_activation_and_normalisation_is_the_reference() {
    let threads = [1, 2, 7].map(|count| Threads::new(count).unwrap());
    let mut failures = Vec::new();
    for &c in CHANNELS {
        for rate in [None, Some(0.3)] {
            let gradient = Gradient {
                space: [3, 4, 5],
                c,
                slope: 0.1,
                rate,
                pooling: None,
            };
            for isa in Isa::available() {
                gradient.compare(&mut failures, &threads, isa);
            }
        }
    }
    report(&failures);
}

#[test]
fn the_gradient_through_pooling_is_the_reference() {
    let threads = [1, 2, 7].map(|count| Threads::new(count).unwrap());
    let mut failures = Vec::new();
    let space = [4, 6, 8];
    let part = Region {
        start: [1, 2, 3],
        end: [3, 5, 6],
    };
    let all = Region {
        start: [0; 3],
        end: space,
    };
    // Gradients are multiples of 2^-23 below 1: sums of two, and an eighth of one, are exact.
    for &c in CHANNELS {
        for (window, present, rate, slope) in [
            ([2, 2, 2], Region::NOTHING, None, 0.0),
            ([2, 2, 2], part, None, 0.125),
            ([2, 2, 2], part, Some(0.3), 0.125),
            ([2, 2, 2], all, None, 0.0),
            ([2, 2, 2], all, Some(0.3), 0.0),
            ([1, 2, 2], part, Some(0.3), 0.0),
            ([1, 2, 2], Region::NOTHING, None, 0.125),
            ([2, 2, 1], part, None, 0.0),
            ([1, 1, 2], part, None, 0.125),
            ([2, 1, 1], Region::NOTHING, Some(0.3), 0.125),
            ([1, 1, 1], part, None, 0.0),
        ] {
            let gradient = Gradient {
                space,
                c,
                slope,
                rate,
                pooling: Some((window, present)),
            };
            for isa in Isa::available() {
                gradient.compare(&mut failures, &threads, isa);
            }
        }
    }
    // Large enough to be written past the caches.
    let gradient = Gradient {
        space: [32, 34, 64],
        c: 64,
        slope: 0.0,
        rate: None,
        pooling: Some(([2, 2, 2], part)),
    };
    for isa in Isa::available() {
        gradient.compare(&mut failures, &threads[1..], isa);
    }
    report(&failures);
}

/// A gradient that goes through dropout, activation and normalisation.
struct Gradient {
    space: [usize; 3],
    c: usize,
    slope: f32,
    rate: Option<f32>,
    /// The window of a value that is pooled, and where other readers have left a
    /// gradient.
    pooling: Option<([usize; 3], Region)>,
}

impl Gradient {
    /// Compares both passes with the reference.
    fn compare(&self, failures: &mut Vec<String>, threads: &[Threads], isa: Isa) {
        let &Self {
            space,
            c,
            slope,
            rate,
            pooling,
        } = self;
        let shape = Shape { n: 2, space, c };
        // Pooled, many of the values in a window are equal.
        let make = if pooling.is_some() { integers } else { numbers };
        let (y, mut there) = (make(shape.len(), 1), numbers(shape.len(), 2));
        let (scale, shift) = (numbers(2 * c, 3), numbers(2 * c, 4));
        let transform = Transform {
            scale: &scale,
            shift: &shift,
            slope,
            dropout: rate.map(|rate| Dropout { key: 77, rate }),
        };
        let mut dz = there.clone();
        let d_maxima = numbers(shape.len(), 10);
        let stored = pooling.map(|(window, _)| stored_maxima((&y, shape), &transform, window));
        let unpool = pooling.map(|(window, present)| {
            // Where nothing is present, nothing may be read.
            let [depth, height, width] = space;
            for (voxel, channels) in there.chunks_exact_mut(c).enumerate() {
                let d = voxel / (height * width) % depth;
                if !present.contains([d, voxel / width % height, voxel % width]) {
                    channels.fill(f32::NAN);
                }
            }
            let input = Source {
                data: &y,
                shape,
                crop: [0; 3],
                transform: Some(transform),
            };
            let dy = &d_maxima[..pool3d::output(shape, window).len()];
            pool3d::reference::backward(&input, window, dy, present, &mut dz);
            Unpool {
                window,
                maxima: None,
                dy,
                present,
            }
        });
        let g = norm::reference::backward_activation(&y, shape, &transform, &dz);
        let (mean, inv_std) = (numbers(2 * c, 5), numbers(2 * c, 6));
        let abc = [7, 8, 9].map(|seed| numbers(2 * c, seed));
        let of = |i: usize| i / (shape.voxels() * c) * c + i % c; // sample and channel
        let dy = g.iter().zip(&y).enumerate();
        let dy: Vec<f32> = dy
            .map(|(i, (g, y))| abc[0][of(i)] * g + (abc[1][of(i)] * y + abc[2][of(i)]))
            .collect();
        // Roundings of g and of x_hat, of which the sums themselves add none.
        let mut want = vec![0.0; 4 * c];
        for (i, (g, y)) in g.iter().zip(&y).enumerate() {
            let (n, k) = (of(i) / c, of(i));
            let x_hat = (y - mean[k]) * inv_std[k];
            want[2 * n * c + i % c] += f64::from(*g);
            want[(2 * n + 1) * c + i % c] += f64::from(*g) * f64::from(x_hat);
        }
        let mut first: Option<Vec<f64>> = None;
        let mut first_applied: [Option<Vec<f32>>; 2] = [None, None];
        for threads in threads {
            let context = Context { threads, isa };
            let count = threads.count();
            let name = format!("{pooling:?} {c} {slope} {rate:?} {isa} {count}");
            let mut workspace = vec![f64::NAN; norm::workspace(shape)];
            let normalised = Normalised {
                mean: &mean,
                inv_std: &inv_std,
            };
            let value = |maxima| Value {
                y: &y,
                shape,
                transform,
                unpool: unpool.map(|unpool| Unpool { maxima, ..unpool }),
            };
            // With the maxima at hand or found again the bits are the same, as nothing here
            // is equal by rounding alone.
            for (normalised, maxima) in [
                (None, None),
                (Some(normalised), None),
                (Some(normalised), stored.as_deref()),
            ] {
                let name = format!("{name}, maxima: {}", maxima.is_some());
                let mut sums = vec![f64::NAN; 4 * c];
                let value = value(maxima);
                let s = &mut sums;
                norm::backward_sums(context, &value, normalised, &there, &mut workspace, s);
                // A factor of dropout rounds g once more or less than the reference.
                let each = if rate.is_some() { 1.2e-7 } else { 1e-12 };
                let bound = shape.voxels() as f64 * each;
                for (i, (got, want)) in sums.iter().zip(&want).enumerate() {
                    let skipped = normalised.is_none() && i / c % 2 == 1;
                    if !skipped && ((got - want).abs() > bound || got.is_nan()) {
                        failures.push(format!("{name}: sum {i} is {got}, should be {want}"));
                    }
                }
                if normalised.is_some() {
                    let same = first.get_or_insert_with(|| sums.clone()) == &sums;
                    assert!(same, "{name}: bits depend on the threads");
                }
            }
            let coefficients = std::array::from_fn(|k| abc[k].as_slice());
            let both = [(None, &g), (Some(coefficients), &dy)];
            for ((coefficients, want), first) in both.into_iter().zip(&mut first_applied) {
                let mut got = there.clone();
                norm::backward_apply(context, &value(None), coefficients, &mut got);
                compare(failures, &name, &got, want, 1, false);
                let same = first.get_or_insert_with(|| got.clone()) == &got;
                assert!(same, "{name}: bits depend on the threads");
            }
        }
    }
}

/// The values of which the transform is the largest of a window, sample for sample.
fn stored_maxima(
    (y, shape): (&[f32], Shape),
    transform: &Transform<'_>,
    window: [usize; 3],
) -> Vec<f32> {
    let sign: Vec<f32> = { transform.scale.iter() }.map(|s| s.signum()).collect();
    let signed = Source {
        data: y,
        shape,
        crop: [0; 3],
        transform: Some(Transform {
            scale: &sign,
            shift: &vec![0.0; sign.len()],
            slope: 1.0,
            dropout: None,
        }),
    };
    let maxima = pool3d::output(shape, window);
    let mut stored = vec![0.0; maxima.len()];
    pool3d::reference::forward(&signed, window, &mut stored);
    let each = maxima.voxels() * maxima.c;
    for (i, value) in stored.iter_mut().enumerate() {
        *value *= sign[i / each * maxima.c + i % maxima.c];
    }
    stored
}
