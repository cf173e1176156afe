//! The table of a profile: each layer and pass, beside what this machine could do.

use serde::Serialize;
use unet3d_kernels::Context;
use unet3d_kernels::probe;
use unet3d_unet::Profile;

use crate::console::{Console, percent, table};

/// What this machine can do at most, as measured.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Limits {
    /// Multiplications and additions a second in f32.
    flops_per_s: f64,
    /// Bytes a second, read and written together.
    bytes_per_s: f64,
}

impl Limits {
    /// Measures, which takes half a second and 256 MiB.
    pub(crate) fn measure(context: Context<'_>) -> Self {
        let (from, mut to) = (vec![1.0; probe::COPY_FLOATS], vec![0.0; probe::COPY_FLOATS]);
        Self {
            flops_per_s: probe::flops_per_s(context),
            bytes_per_s: probe::bytes_per_s(context, &from, &mut to),
        }
    }

    /// The least time of so much direct arithmetic and traffic.
    fn least_s(&self, flops: f64, bytes: f64) -> f64 {
        (flops / self.flops_per_s).max(bytes / self.bytes_per_s)
    }
}

/// Measures the limits and prints the table on standard error.
pub(crate) fn print(profile: &Profile, context: Context<'_>, console: Console) {
    let limits = Limits::measure(context);
    console.note(text(profile, &limits));
}

/// The table as text.
pub(crate) fn text(profile: &Profile, limits: &Limits) -> String {
    let all_s: f64 = profile.rows().map(|row| row.seconds).sum();
    let heading = [
        "layer",
        "n d h w c",
        "pass",
        "calls",
        "share",
        "ms",
        "fastest",
        "GFLOP/s",
        "GB/s",
        "of limit",
    ];
    let mut rows = vec![heading.map(String::from).to_vec()];
    let mut all = Sum::default();
    for row in profile.rows() {
        let calls = row.calls as f64;
        let sum = Sum {
            seconds: row.seconds,
            fastest_s: calls * row.fastest_s,
            flops: calls * row.flops as f64,
            bytes: calls * row.bytes as f64,
            least_s: calls * limits.least_s(row.flops as f64, row.bytes as f64),
        };
        all.add(&sum);
        let shape = row.shape.map(|n| n.to_string()).join(" ");
        let name = [row.name.clone(), shape, row.pass.name().to_owned()];
        rows.push(
            [
                &name[..],
                &[row.calls.to_string()],
                &sum.cells(calls, all_s),
            ]
            .concat(),
        );
    }
    let name = ["all", "", "", ""].map(String::from);
    rows.push([&name[..], &all.cells(1.0, all_s)].concat());
    format!(
        "{}\n\n\
         ms: of one call, the mean and the fastest, which the last three columns go by; in the last row, of\n\
         all calls. GFLOP/s: arithmetic of the direct algorithm over the time, so Winograd can pass the\n\
         machine's limit. GB/s: each operand once. Of limit: the least time by this machine's {:.0} GFLOP/s\n\
         and {:.1} GB/s (both measured just now) over the time taken.",
        table(&rows, "<<<>>>>>>>"),
        limits.flops_per_s / 1e9,
        limits.bytes_per_s / 1e9,
    )
}

/// Calls of one row, or of all, added up.
#[derive(Default)]
struct Sum {
    seconds: f64,
    fastest_s: f64,
    flops: f64,
    bytes: f64,
    /// By the machine's limits.
    least_s: f64,
}

impl Sum {
    fn add(&mut self, other: &Self) {
        self.seconds += other.seconds;
        self.fastest_s += other.fastest_s;
        self.flops += other.flops;
        self.bytes += other.bytes;
        self.least_s += other.least_s;
    }

    /// The cells from the share on, times divided by `calls`.
    fn cells(&self, calls: f64, all_s: f64) -> [String; 6] {
        let ms = |seconds: f64| format!("{:.2}", 1e3 * seconds / calls);
        // A clock may be too coarse for what has hardly any work.
        let ratio = |amount: f64, show: fn(f64) -> String| match amount / self.fastest_s {
            ratio if amount > 0.0 && ratio.is_finite() => show(ratio),
            _ => String::new(),
        };
        let giga = |rate: f64| format!("{:.1}", rate / 1e9);
        [
            percent(self.seconds / all_s),
            ms(self.seconds),
            ms(self.fastest_s),
            ratio(self.flops, giga),
            ratio(self.bytes, giga),
            ratio(self.least_s, percent),
        ]
    }
}
