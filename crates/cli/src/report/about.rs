//! By whom, when, where and with which command a report was made.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::command_line::CommandLine;
use crate::console::counted;

/// The command that is running, so that it can be pasted.
pub(super) fn command() -> String {
    let mut words = std::env::args_os().skip(1);
    let name = words.next().unwrap_or_default();
    CommandLine::new(&name.to_string_lossy())
        .words(words)
        .to_string()
}

/// The folder from which relative paths of the command count.
pub(super) fn folder() -> String {
    let folder = std::env::current_dir();
    folder.map_or_else(|_| "not known".into(), |f| f.display().to_string())
}

/// The version of the program.
pub(super) fn version() -> String {
    format!("unet3d {}", env!("CARGO_PKG_VERSION"))
}

/// The date and the time now, as UTC.
pub(super) fn now() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    date(since.map_or(0, |d| d.as_secs()))
}

/// Operating system and kind of processor.
pub(super) fn system() -> String {
    let cores = std::thread::available_parallelism();
    let cores = cores.map_or_else(
        |_| String::new(),
        |n| format!(", {}", counted(n.get(), "core")),
    );
    format!(
        "{} on {}{cores}",
        std::env::consts::OS,
        std::env::consts::ARCH
    )
}

/// `2016-10-17 09:30 UTC` of the seconds since 1970.
fn date(since_1970_s: u64) -> String {
    let (days, of_day_s) = (since_1970_s / 86_400, since_1970_s % 86_400);
    // Gregorian years of 365.2425 days, in eras of 400 years that begin in March, so
    // that the leap day is the last of a year (H. Hinnant, "chrono-compatible low-level
    // date algorithms").
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = 400 * era + year_of_era + u64::from(month <= 2);
    let (hour, minute) = (of_day_s / 3_600, of_day_s / 60 % 60);
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00 UTC"),
            (951_782_399, "2000-02-28 23:59 UTC"),
            (951_782_400, "2000-02-29 00:00 UTC"),
            (951_868_800, "2000-03-01 00:00 UTC"),
            (1_476_696_600, "2016-10-17 09:30 UTC"),
            (1_735_689_599, "2024-12-31 23:59 UTC"),
            (4_107_542_400, "2100-03-01 00:00 UTC"),
        ] {
            assert_eq!(date(seconds), text);
        }
    }
}
