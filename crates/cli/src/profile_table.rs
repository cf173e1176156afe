//! The table of a profile: each layer and pass, beside what this machine could do.

use serde::Serialize;
use unet3d_kernels::conv3d::Context;
use unet3d_kernels::probe;
use unet3d_unet::Profile;
use unet3d_unet::profile::Row;

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
    let mut rows = vec![
        [
            "layer",
            "n d h w c",
            "pass",
            "calls",
            "ms",
            "share",
            "GFLOP/s",
            "GB/s",
            "of limit",
        ]
        .map(String::from)
        .to_vec(),
    ];
    let numbers = |flops: f64, bytes: f64, seconds: f64| {
        let rate = |amount: f64| match amount / seconds / 1e9 {
            rate if rate == 0.0 || !rate.is_finite() => String::new(),
            rate => format!("{rate:.1}"),
        };
        let share_of_limit = match limits.least_s(flops, bytes) / seconds {
            share if share.is_finite() => percent(share),
            _ => String::new(),
        };
        [
            percent(seconds / all_s),
            rate(flops),
            rate(bytes),
            share_of_limit,
        ]
    };
    let amounts = |row: &Row| {
        let calls = row.calls as f64;
        (calls * row.flops as f64, calls * row.bytes as f64)
    };
    let (mut all_flops, mut all_bytes, mut least_s) = (0.0, 0.0, 0.0);
    for row in profile.rows() {
        let (flops, bytes) = amounts(row);
        (all_flops, all_bytes) = (all_flops + flops, all_bytes + bytes);
        least_s += limits.least_s(flops, bytes);
        let mut cells = vec![
            row.name.clone(),
            row.shape.map(|n| n.to_string()).join(" "),
            row.pass.name().to_owned(),
            row.calls.to_string(),
            format!("{:.2}", 1e3 * row.seconds / row.calls as f64),
        ];
        cells.extend(numbers(flops, bytes, row.seconds));
        rows.push(cells);
    }
    let mut cells = vec![String::from("all"), String::new(), String::new()];
    cells.extend([String::new(), format!("{:.2}", 1e3 * all_s)]);
    cells.extend(numbers(all_flops, all_bytes, all_s));
    if let Some(cell) = cells.last_mut() {
        *cell = percent(least_s / all_s); // each row by its own limit
    }
    rows.push(cells);
    format!(
        "{}\n\n\
         ms: of one call; in the last row, of all. GFLOP/s: arithmetic of the direct algorithm over the\n\
         time, so Winograd can pass the machine's limit. GB/s: each operand once. Of limit: the least\n\
         time by this machine's {:.0} GFLOP/s and {:.1} GB/s (both measured just now) over the time taken.",
        table(&rows, "<<<>>>>>>"),
        limits.flops_per_s / 1e9,
        limits.bytes_per_s / 1e9,
    )
}
