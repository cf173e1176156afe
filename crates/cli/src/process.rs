//! What the operating system says of this process: memory and page faults.
//! Linux alone tells; elsewhere there is no answer.

use std::fs;

/// The largest resident memory so far, or since [`reset_peak`], in bytes.
pub(crate) fn peak_resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(1024 * kibibytes)
}

/// Lets the peak start again at what is resident now; where that is refused, it
/// stays what it was.
pub(crate) fn reset_peak() {
    // 5 is "reset the peak", says proc(5).
    let _ = fs::write("/proc/self/clear_refs", "5");
}

/// Page faults so far that were answered without reading a disk: memory that
/// was touched for the first time.
pub(crate) fn minor_faults() -> Option<u64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is the name in brackets, which may hold anything; the
    // faults are the tenth field.
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(7)?.parse().ok()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn linux_tells() {
        let (before, faults) = (peak_resident_bytes(), minor_faults());
        let touched = vec![1u8; 64 << 20];
        assert!(peak_resident_bytes() >= before.map(|b| b + (32 << 20)));
        assert!(minor_faults() > faults, "{}", touched[5]);
    }
}
