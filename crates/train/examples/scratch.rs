//! x
#![allow(clippy::all, clippy::print_stdout, clippy::unwrap_used, missing_docs)]
use std::ops::ControlFlow;
use unet3d_kernels::Threads;
use unet3d_train::*;
use unet3d_train::run::*;
use unet3d_train::validate::HeldOut;
use unet3d_train::dataset::Split;
use unet3d_volume::*;
struct Show(std::time::Instant);
impl Observer for Show {
    fn planned(&mut self, n: &Needs) { println!("needs {n:?} {} MiB", n.peak_bytes() >> 20); }
    fn step(&mut self, s: &StepRecord, p: &Progress) -> ControlFlow<()> {
        if s.step % 25 == 0 { println!("{:4} loss {:.3} ce {:.3} dice {:.3} rate {:.1e} gn {:.2} el {:.1}", s.step, s.loss.total, s.loss.cross_entropy.unwrap_or(0.), s.loss.dice.unwrap_or(0.), s.rate, s.gradient_norm, p.elapsed_s); }
        ControlFlow::Continue(())
    }
    fn validated(&mut self, v: &Validation) -> ControlFlow<()> { println!("{v:?} at {:.1}s", self.0.elapsed().as_secs_f64()); ControlFlow::Continue(()) }
}
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let threads = Threads::new(2).unwrap();
    let mut show = Show(std::time::Instant::now());
    let iters: u64 = a[2].parse().unwrap();
    let rate: f64 = a[3].parse().unwrap();
    let mut c = TrainConfig { budget: Budget::iterations(iters), validate_every: 0, ..TrainConfig::default() };
    c.optimizer = OptimizerConfig::AdamW { rate, betas: [0.9, 0.999], weight_decay: 1e-2 };
    for x in &a[4..] { match x.as_str() {
        "noaug" => c.augment = augment::AugmentConfig::none(),
        "noelastic" => c.augment.elastic.enabled = false,
        "mirror" => c.augment.mirror = [true; 3],
        "balanced" => c.loss.class_weights = ClassWeights::Balanced,
        "ce" => c.loss.dice = 0.0,
        "constant" => c.schedule.decay = schedule::Decay::Constant,
        "b2" => c.batch = Some(2),
        x if x.starts_with("seed") => c.seed = x[4..].parse().unwrap(),
        _ => {} } }
    let root = std::env::var("DATA").unwrap();
    if a[1] == "hippo" {
        let d = dataset::find(format!("{root}/hippocampus").as_ref(), None).unwrap();
        c.patch = Some([40, 56, 40]); c.batch = Some(2);
        let training = d.load(Split::Train, &c.normalise).unwrap();
        let cases = d.load(Split::Validate, &c.normalise).unwrap();
        println!("loaded {} {} in {:.1}s", training.len(), cases.len(), show.0.elapsed().as_secs_f64());
        let out = run(&c, RunData { training, held_out: HeldOut { cases, slices: vec![] }, record: d.record() }, &Files::default(), &threads, &mut show).unwrap();
        println!("{:?}", out.validations);
    } else {
        let v = read(format!("{root}/fib25/image.tif").as_ref()).unwrap();
        let l = read(format!("{root}/fib25/labels.tif").as_ref()).unwrap();
        let crop = |v: &Volume| { let Samples::U8(s) = &v.samples else { panic!() }; let [_, y, x] = v.geometry.shape;
            let mut o = vec![]; for zz in 0..128 { for yy in 0..128 { for xx in 0..128 { o.push(s[(zz * y + yy) * x + xx]); } } }
            Volume::new(Geometry::of_shape([128; 3]), 1, Samples::U8(o)).unwrap() };
        let (v, l) = (crop(&v), crop(&l));
        let dense = Labels::from_volume(&l, &LabelScheme { classes: vec![], annotated: Annotated::Dense }, None, "l").unwrap();
        let sparse = dense.sparsify([3; 3]);
        c.patch = Some([64; 3]); 
        let f = FillConfig { train: c, hold_out: !a.contains(&"all".to_string()), ..FillConfig::default() };
        let r = fill(&v, &sparse, &f, &threads, &mut show).unwrap();
        println!("held out {:?} expected {:?}", r.held_out, r.expected.map(|e| (e.overall.mean_iou, e.overall.classes.iter().map(|c| c.iou).collect::<Vec<_>>())));
        let conf = unet3d_metrics::Confusion::compare(&dense, &r.labels, Some(&sparse)).unwrap();
        let s = unet3d_metrics::Scores::new(&conf, &dense.classes);
        println!("TRUE mean iou {:?} {:?} total {:.1}s train {:.1}s", s.mean_iou, s.classes.iter().map(|c| c.iou).collect::<Vec<_>>(), show.0.elapsed().as_secs_f64(), r.training_s);
    }
}
