fn main() {
    use std::time::Instant;
    use unet3d_kernels::conv3d::*;
    use unet3d_kernels::*;
    let th = Threads::new(0).unwrap();
    for (sp, ci, co) in [
        ([30usize, 66, 66], 32, 64),
        ([58, 64, 64], 3, 32),
        ([28, 62, 62], 64, 64),
        ([26, 30, 30], 64, 128),
        ([11, 14, 14], 256, 512),
        ([16, 18, 18], 768, 256),
    ] {
        let sh = Shape {
            n: 1,
            space: sp,
            c: ci,
        };
        let x = vec![0.5f32; sh.len()];
        let src = [Source {
            data: &x,
            shape: sh,
            crop: [0; 3],
            transform: None,
        }];
        let p = Problem {
            input: View::of(&src[0]),
            kernel: [3, 3, 3],
            out_c: co,
        };
        let y = p.output();
        let mut out = vec![0f32; y.len()];
        let w = vec![0.1f32; p.size().weights()];
        let mut dw = w.clone();
        for k in &KERNELS[1..] {
            let mut s = vec![0f32; k.scratch(&p.size(), th.count())];
            for isa in Isa::available() {
                let cx = Context { threads: &th, isa };
                let mut best = [1e9f64; 2];
                for _ in 0..4 {
                    let t = Instant::now();
                    k.forward(
                        cx,
                        &p,
                        &w,
                        None,
                        Target {
                            data: &mut out,
                            shape: y,
                            crop: [0; 3],
                            accumulate: false,
                        },
                        &mut s,
                    );
                    best[0] = best[0].min(t.elapsed().as_secs_f64());
                    let t = Instant::now();
                    k.backward_weights(cx, &p, &out, &mut dw, &mut s);
                    best[1] = best[1].min(t.elapsed().as_secs_f64());
                }
                println!(
                    "{sp:?} {ci}>{co} {} {isa}: fwd {:.0} GF/s  dw {:.0} GF/s",
                    k.name(),
                    p.size().flops() as f64 / best[0] / 1e9,
                    p.size().flops() as f64 / best[1] / 1e9
                );
            }
        }
    }
}
