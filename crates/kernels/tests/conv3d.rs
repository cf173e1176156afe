//! Every convolution kernel, every instruction set, against the reference.

mod common;

use common::{compare, integers, numbers, report};
use unet3d_kernels::conv3d::{
    self, KERNELS, Kernel, Method, Problem, flipped, reference::Reference,
};
use unet3d_kernels::{
    Context, Dropout, Isa, Memory, Pooled, Region, Shape, Source, Target, Threads, Transform, View,
    pool3d,
};

/// (n, space, channels of the two sources, out channels, kernel, pad)
type Case = (usize, [usize; 3], [usize; 2], usize, [usize; 3], [usize; 3]);

/// Sizes at, below and above the edges of the register tile (6 voxels, 16
/// channels), the channel blocks (48, 64) and the kernel itself.
const CASES: &[Case] = &[
    (1, [3, 3, 3], [1, 0], 1, [3, 3, 3], [0, 0, 0]),
    (1, [1, 1, 1], [2, 0], 3, [3, 3, 3], [1, 1, 1]),
    (2, [4, 5, 8], [3, 0], 16, [3, 3, 3], [0, 0, 0]),
    (1, [5, 4, 7], [16, 0], 17, [3, 3, 3], [1, 1, 1]),
    (1, [3, 6, 13], [15, 0], 15, [1, 3, 3], [0, 1, 1]),
    (1, [3, 3, 9], [8, 0], 3, [1, 1, 1], [0, 0, 0]),
    (2, [4, 4, 6], [7, 9], 32, [3, 3, 3], [0, 0, 0]),
    (1, [4, 5, 14], [33, 32], 20, [3, 3, 3], [1, 1, 1]),
    (1, [3, 4, 20], [48, 0], 33, [3, 1, 3], [1, 0, 1]),
    (1, [3, 3, 8], [64, 65], 16, [3, 3, 3], [0, 0, 0]),
    (1, [6, 21, 23], [5, 0], 18, [3, 3, 3], [2, 2, 2]),
    (1, [8, 10, 10], [32, 0], 32, [3, 3, 3], [1, 1, 1]),
    // Few channels: tiles of 12 voxels (6 with AVX2) by 16 or 32 channels.
    (1, [4, 20, 14], [1, 0], 32, [3, 3, 3], [0, 0, 0]),
    (2, [3, 4, 13], [1, 0], 16, [3, 3, 3], [1, 1, 1]),
    (1, [3, 5, 15], [2, 0], 48, [3, 3, 3], [0, 0, 0]),
    (1, [3, 3, 25], [1, 1], 31, [1, 3, 3], [0, 1, 1]),
    (1, [2, 3, 11], [3, 0], 33, [3, 3, 3], [1, 1, 1]),
    (1, [4, 3, 24], [4, 0], 32, [3, 1, 3], [1, 0, 1]),
    (1, [3, 3, 75], [1, 3], 64, [3, 3, 1], [1, 1, 0]),
    (2, [1, 2, 7], [3, 0], 64, [1, 1, 1], [0, 0, 0]),
    // One voxel to few channels.
    (2, [3, 17, 5], [16, 0], 1, [1, 1, 1], [0, 0, 0]),
    (1, [2, 8, 3], [32, 16], 2, [1, 1, 1], [0, 0, 0]),
    (1, [18, 3, 9], [64, 0], 3, [1, 1, 1], [0, 0, 0]),
    (1, [1, 9, 2], [16, 0], 4, [1, 1, 1], [0, 0, 0]),
    // Winograd's tiles (2, 3 and 4 outputs), their edges, and blocks of tiles.
    (2, [4, 5, 6], [16, 0], 16, [3, 3, 3], [0, 0, 0]),
    (1, [6, 11, 9], [16, 32], 32, [3, 3, 3], [0, 0, 0]),
    (1, [3, 4, 7], [48, 0], 16, [3, 3, 3], [1, 1, 1]),
    (1, [2, 9, 110], [16, 0], 16, [1, 3, 3], [0, 1, 1]),
    (1, [9, 6, 5], [32, 0], 16, [3, 1, 3], [1, 0, 1]),
    (1, [5, 5, 5], [16, 0], 48, [3, 3, 3], [2, 2, 2]),
];

/// For Winograd alone, against the direct kernel.
const LARGE: &[Case] = &[
    // Too few blocks for the workers: batches of blocks through a stage, the second with
    // rests of channels and of tiles, the third in two batches. Weight gradients in parts
    // of unlike channels.
    (1, [6, 10, 11], [96, 0], 112, [3, 3, 3], [0, 0, 0]),
    (1, [2, 14, 38], [240, 0], 256, [1, 3, 3], [0, 0, 0]),
    (1, [3, 20, 40], [16, 0], 912, [3, 3, 3], [0, 0, 0]),
    // Weights in stretches, past the caches; weights too large for seven readers.
    (1, [3, 3, 3], [640, 0], 640, [3, 3, 3], [0, 0, 0]),
    (1, [3, 3, 338], [224, 0], 208, [3, 3, 3], [0, 0, 0]),
    // Weight gradients in slabs of one part and of two.
    (1, [3, 68, 130], [16, 0], 16, [3, 3, 3], [0, 0, 0]),
    (1, [3, 3, 1602], [16, 0], 688, [3, 3, 3], [0, 0, 0]),
];

struct Inputs {
    data: [Vec<f32>; 2],
    scale: [Vec<f32>; 2],
    shift: [Vec<f32>; 2],
    weights: Vec<f32>,
    bias: Vec<f32>,
}

fn with_problem(case: &Case, exact: bool, run: impl FnOnce(&Problem<'_>, &[f32], &[f32], &str)) {
    let (n, space, c, out_c, kernel, pad) = *case;
    let make = if exact { integers } else { numbers };
    // The second source is larger and cropped.
    let crop = [[0; 3], [1, 0, 2]];
    let shapes = [0, 1].map(|s| Shape {
        n,
        space: std::array::from_fn(|a| space[a] + 2 * crop[s][a]),
        c: c[s],
    });
    let inputs = Inputs {
        data: [0, 1].map(|s| make(shapes[s].len(), 3 + s as u64)),
        scale: [0, 1].map(|s| numbers(n * c[s], 5 + s as u64)),
        shift: [0, 1].map(|s| numbers(n * c[s], 7 + s as u64)),
        weights: make(kernel.iter().product::<usize>() * (c[0] + c[1]) * out_c, 11),
        bias: make(out_c, 12),
    };
    let transform = |s: usize| {
        (!exact).then(|| Transform {
            scale: &inputs.scale[s],
            shift: &inputs.shift[s],
            slope: if s == 0 { 0.0 } else { 0.1 },
            dropout: (s == 1).then_some(Dropout { key: 99, rate: 0.3 }),
        })
    };
    let sources: Vec<Source<'_>> = (0..if c[1] == 0 { 1 } else { 2 })
        .map(|s| Source {
            data: &inputs.data[s],
            shape: shapes[s],
            crop: crop[s],
            transform: transform(s),
        })
        .collect();
    let problem = Problem {
        input: View {
            sources: &sources,
            space,
            pad,
        },
        kernel,
        out_c,
    };
    run(
        &problem,
        &inputs.weights,
        &inputs.bias,
        &format!("{case:?} exact {exact}"),
    );
}

fn forward(
    kernel: &dyn Kernel,
    context: Context<'_>,
    problem: &Problem<'_>,
    weights: &[f32],
    bias: &[f32],
) -> (Vec<f32>, Vec<f64>) {
    // Into the middle of a larger tensor, with a guard zone that must stay.
    let y = problem.output();
    let shape = Shape {
        n: y.n,
        space: y.space.map(|s| s + 3),
        c: y.c,
    };
    let mut out = vec![7.5; shape.len()];
    let mut scratch = vec![f32::NAN; kernel.scratch(&problem.size(), context.threads.count())];
    let parts = kernel.parts(&problem.size());
    let mut moments = vec![f64::NAN; y.n * parts * 2 * y.c];
    let target = Target {
        data: &mut out,
        shape,
        crop: [1, 2, 1],
        accumulate: false,
        moments: Some(&mut moments),
        kept: Region::all(y),
        pooled: None,
    };
    kernel.forward(context, problem, weights, Some(bias), target, &mut scratch);
    let mut inside = Vec::new();
    for n in 0..y.n {
        for d in 0..shape.space[0] {
            for h in 0..shape.space[1] {
                for w in 0..shape.space[2] {
                    let within = (1..1 + y.space[0]).contains(&d)
                        && (2..2 + y.space[1]).contains(&h)
                        && (1..1 + y.space[2]).contains(&w);
                    let at = shape.at(n, [d, h, w]);
                    if within {
                        inside.extend_from_slice(&out[at..at + y.c]);
                    } else {
                        assert!(
                            out[at..at + y.c].iter().all(|v| *v == 7.5),
                            "guard zone at {d},{h},{w}"
                        );
                    }
                }
            }
        }
    }
    for (n, sample) in inside.chunks_exact(y.voxels() * y.c).enumerate() {
        for c in 0..y.c {
            let values = || sample[c..].iter().step_by(y.c).map(|v| f64::from(*v));
            for (power, [want, size]) in [
                [values().sum(), values().map(f64::abs).sum::<f64>()],
                [values().map(|v| v * v).sum(); 2],
            ]
            .into_iter()
            .enumerate()
            {
                let got: f64 = (0..parts)
                    .map(|part| moments[((n * parts + part) * 2 + power) * y.c + c])
                    .sum();
                assert!(
                    (got - want).abs() <= 32.0 * f64::from(f32::EPSILON) * size,
                    "{} {} sums of powers {}: {got}, should be {want}",
                    kernel.name(),
                    context.isa,
                    power + 1
                );
            }
        }
    }
    (inside, moments)
}

fn weights_gradient(
    kernel: &dyn Kernel,
    context: Context<'_>,
    problem: &Problem<'_>,
    dy: &[f32],
) -> Vec<f32> {
    let mut dw = vec![1.0; problem.size().weights()];
    let mut scratch = vec![f32::NAN; kernel.scratch(&problem.size(), context.threads.count())];
    kernel.backward_weights(context, problem, dy, &mut dw, &mut scratch);
    dw
}

/// Forward passes and weight gradients of `kernels`, with every instruction set and
/// several numbers of threads, against `truth`.
fn agree(
    cases: &[Case],
    truth: &dyn Kernel,
    context: Context<'_>,
    kernels: impl Fn(&dyn Kernel) -> bool,
) {
    let threads = [1, 2, 7].map(|count| Threads::new(count).expect("starts threads"));
    let mut failures = Vec::new();
    for case in cases {
        for exact in [true, false] {
            with_problem(case, exact, |problem, weights, bias, what| {
                let (y, _) = forward(truth, context, problem, weights, bias);
                let dy = if exact {
                    integers(y.len(), 21)
                } else {
                    numbers(y.len(), 21)
                };
                let dw = weights_gradient(truth, context, problem, &dy);
                for kernel in KERNELS
                    .iter()
                    .filter(|kernel| kernels(**kernel) && kernel.supports(&problem.size()))
                {
                    let growth = kernel.growth(&problem.size());
                    let terms = ((problem.size().weights() / problem.out_c) as f32 * growth.powi(2))
                        as usize;
                    let voxels = ((y.len() / problem.out_c) as f32 * growth.powi(2)) as usize;
                    let exact = exact && growth == 1.0;
                    for isa in Isa::available() {
                        let mut first = None;
                        for threads in &threads {
                            let context = Context { threads, isa };
                            let name = format!(
                                "{} {isa} {} threads {what}",
                                kernel.name(),
                                threads.count()
                            );
                            let (got, moments) = forward(*kernel, context, problem, weights, bias);
                            compare(&mut failures, &format!("{name} y"), &got, &y, terms, exact);
                            let got_dw = weights_gradient(*kernel, context, problem, &dy);
                            compare(
                                &mut failures,
                                &format!("{name} dw"),
                                &got_dw,
                                &dw,
                                voxels,
                                exact,
                            );
                            match &first {
                                None => first = Some((got, got_dw, moments)),
                                Some(first) => {
                                    assert!(
                                        *first == (got, got_dw, moments),
                                        "{name}: bits depend on the threads"
                                    );
                                }
                            }
                        }
                    }
                }
            });
        }
    }
    report(&failures);
}

#[test]
fn kernels_agree_with_the_reference() {
    let threads = Threads::new(1).unwrap();
    let plain = Context {
        threads: &threads,
        isa: Isa::PORTABLE,
    };
    agree(CASES, &Reference, plain, |_| true);
}

#[test]
fn every_schedule_of_winograd_agrees_with_the_direct_kernel() {
    let threads = Threads::new(0).unwrap();
    let best = Context {
        threads: &threads,
        isa: Isa::best(),
    };
    let kernel = |name: &str| KERNELS.iter().find(|kernel| kernel.name() == name).unwrap();
    agree(LARGE, *kernel("direct"), best, |kernel| {
        kernel.name() == "winograd"
    });
}

#[test]
fn an_output_written_past_the_caches_is_the_same() {
    // 2^23 floats and more; integers, so that the kernels agree to the bit.
    let case = (1, [4, 258, 260], [1, 0], 32, [1, 3, 3], [0, 0, 0]);
    with_problem(&case, true, |problem, weights, bias, what| {
        let threads = Threads::new(2).unwrap();
        let (size, y) = (problem.size(), problem.output());
        let run = |kernel: &dyn Kernel, isa| {
            let mut out = Memory::zeroed(y.len());
            let mut scratch = Memory::zeroed(kernel.scratch(&size, threads.count()));
            let target = Target {
                data: &mut out,
                shape: y,
                crop: [0; 3],
                accumulate: false,
                moments: None,
                kept: Region::all(y),
                pooled: None,
            };
            let context = Context {
                threads: &threads,
                isa,
            };
            kernel.forward(context, problem, weights, Some(bias), target, &mut scratch);
            out
        };
        let want = run(KERNELS[1], Isa::best());
        for isa in Isa::available() {
            let got = run(conv3d::choose(&size, Method::Fastest), isa);
            assert!(*got == *want, "{isa} {what}");
        }
    });
}

#[test]
fn maxima_taken_with_the_write_are_those_of_the_pooling() {
    // Outputs whose tiles are 4 long, so that no window crosses two tiles.
    let cases: [(Case, [usize; 3]); 4] = [
        (
            (2, [8, 16, 12], [16, 0], 32, [3, 3, 3], [1, 1, 1]),
            [2, 2, 2],
        ),
        // Odd outputs: the last plane, row or column has no window.
        (
            (1, [13, 15, 13], [16, 0], 16, [3, 3, 3], [0, 0, 0]),
            [2, 2, 2],
        ),
        (
            (1, [3, 26, 22], [32, 0], 16, [1, 3, 3], [0, 0, 0]),
            [1, 2, 2],
        ),
        // Together, as two blocks are too few for seven workers.
        (
            (1, [8, 12, 16], [64, 0], 64, [3, 3, 3], [1, 1, 1]),
            [2, 2, 2],
        ),
    ];
    for (case, window) in cases {
        let mut pooled = 0;
        with_problem(&case, false, |problem, weights, bias, what| {
            let threads = Threads::new(7).unwrap();
            let (size, y) = (problem.size(), problem.output());
            // Of either sign, as a normalisation learns them.
            let scale: Vec<f32> = (0..y.c).map(|c| [1.5, -0.5, 0.0][c % 3]).collect();
            for kernel in KERNELS.iter().filter(|kernel| kernel.supports(&size)) {
                let Some(tile) = kernel.pools(&size, window) else {
                    continue;
                };
                // The tiles but for the first and the last, where there are three of them.
                let kept = Region {
                    start: [0, 1, 2].map(|a| if y.space[a] > 2 * tile[a] { tile[a] } else { 0 }),
                    end: [0, 1, 2].map(|a| (2 * tile[a]).min(y.space[a])),
                };
                for isa in Isa::available() {
                    let context = Context {
                        threads: &threads,
                        isa,
                    };
                    let mut scratch = Memory::zeroed(kernel.scratch(&size, threads.count()));
                    let mut run = |kept: Region, pooled: Option<Pooled<'_>>| {
                        let shape = Shape {
                            space: [0, 1, 2].map(|a| kept.end[a] - kept.start[a]),
                            ..y
                        };
                        let mut out = vec![f32::NAN; shape.len()];
                        let target = Target {
                            data: &mut out,
                            shape,
                            crop: [0; 3],
                            accumulate: false,
                            moments: None,
                            kept,
                            pooled,
                        };
                        kernel.forward(context, problem, weights, Some(bias), target, &mut scratch);
                        out
                    };
                    let whole = run(Region::all(y), None);
                    let many: Vec<f32> = (0..y.n).flat_map(|_| scale.clone()).collect();
                    let source = Source {
                        data: &whole,
                        shape: y,
                        crop: [0; 3],
                        transform: Some(Transform {
                            scale: &many,
                            shift: &vec![0.0; many.len()],
                            slope: 1.0,
                            dropout: None,
                        }),
                    };
                    let shape = pool3d::output(y, window);
                    let mut want = vec![0.0; shape.len()];
                    pool3d::forward(context, &source, window, &mut want);
                    let mut got = vec![f32::NAN; shape.len()];
                    let part = run(
                        kept,
                        Some(Pooled {
                            data: &mut got,
                            window,
                            scale: Some(&scale),
                        }),
                    );
                    for (i, (got, want)) in got.iter().zip(&want).enumerate() {
                        assert!(got.is_finite(), "{isa} {what}, maximum {i}: {got}");
                        let got = got * scale[i % y.c];
                        assert!(got == *want, "{isa} {what}, maximum {i}: {got}, not {want}");
                    }
                    let mut part = part.chunks_exact(y.c);
                    for (voxel, want) in whole.chunks_exact(y.c).enumerate() {
                        let [_, h, w] = y.space;
                        let at = voxel % y.voxels();
                        let at = [at / (h * w), at / w % h, at % w];
                        if kept.contains(at) {
                            assert_eq!(part.next(), Some(want), "{isa} {what}, output {at:?}");
                        }
                    }
                    assert_eq!(part.next(), None, "{isa} {what}");
                    pooled += 1;
                }
            }
        });
        assert_eq!(pooled, Isa::available().len(), "a kernel pools {case:?}");
    }
}

#[test]
fn the_input_gradient_is_the_convolution_with_flipped_weights() {
    // <dy, conv(x)> is linear in x: its gradient is conv(dy, flipped), checked
    // on integers, where both sides are exact.
    for case in CASES.iter().filter(|case| case.2[1] == 0) {
        with_problem(case, true, |problem, weights, _, what| {
            let threads = Threads::new(2).unwrap();
            let context = Context {
                threads: &threads,
                isa: Isa::best(),
            };
            let (size, y) = (problem.size(), problem.output());
            let dy = integers(y.len(), 31);
            let mut turned = vec![0.0; size.weights()];
            flipped(&size, weights, 0, size.in_c, &threads, &mut turned);
            let source = Source {
                data: &dy,
                shape: y,
                crop: [0; 3],
                transform: None,
            };
            let pad: [usize; 3] =
                std::array::from_fn(|a| problem.kernel[a] - 1 - problem.input.pad[a]);
            let view = View {
                sources: &[source],
                space: y.space,
                pad,
            };
            let back = Problem {
                input: view,
                kernel: problem.kernel,
                out_c: size.in_c,
            };
            let dx_shape = back.output();
            assert_eq!(dx_shape.space, problem.input.space, "{what}");
            let mut dx = vec![0.0; dx_shape.len()];
            let kernel = KERNELS[1]; // exact
            let mut scratch = vec![0.0; kernel.scratch(&back.size(), 2)];
            let target = Target {
                data: &mut dx,
                shape: dx_shape,
                crop: [0; 3],
                accumulate: false,
                moments: None,
                kept: Region::all(dx_shape),
                pooled: None,
            };
            kernel.forward(context, &back, &turned, None, target, &mut scratch);
            // Directly: dx[p, i] = sum over taps, o of dy[p - tap] * w[tap, i, o].
            for n in 0..y.n {
                for d in 0..dx_shape.space[0] {
                    for h in 0..dx_shape.space[1] {
                        for w in 0..dx_shape.space[2] {
                            for i in 0..size.in_c {
                                let mut sum = 0.0;
                                for tap in 0..size.taps() {
                                    let [_, kh, kw] = problem.kernel;
                                    let k = [tap / (kh * kw), tap / kw % kh, tap % kw];
                                    let at: Option<Vec<usize>> = [d, h, w]
                                        .iter()
                                        .enumerate()
                                        .map(|(a, p)| (p + problem.input.pad[a]).checked_sub(k[a]))
                                        .collect();
                                    let Some(at) = at else { continue };
                                    if (0..3).all(|a| at[a] < y.space[a]) {
                                        let dy = &dy[y.at(n, [at[0], at[1], at[2]])..];
                                        for o in 0..size.out_c {
                                            sum += dy[o]
                                                * weights[(tap * size.in_c + i) * size.out_c + o];
                                        }
                                    }
                                }
                                assert_eq!(
                                    dx[dx_shape.at(n, [d, h, w]) + i],
                                    sum,
                                    "{what} {d},{h},{w},{i}"
                                );
                            }
                        }
                    }
                }
            }
        });
    }
}
