//! This process's peak memory and what it wrote, by the kernel's account. Source: proc(5), `VmHWM`, `clear_refs` and `io`.

/// Forgets the peak so far, so that the next is that of what follows. Where the kernel does not let us, the peak stays
/// that of the whole run.
pub(crate) fn forget_peak() {
    // Best effort; a figure that is too high is no lie.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// The peak in megabytes.
pub(crate) fn peak_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes =
        line.and_then(|line| line.split_whitespace().next()).and_then(|number| number.parse::<f64>().ok());
    kilobytes.map_or(f64::NAN, |kilobytes| kilobytes * 1024.0 / 1e6)
}

/// Bytes that this process has handed over to be written to disks so far.
pub(crate) fn written_bytes() -> f64 {
    let account = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    let line = account.lines().find_map(|line| line.strip_prefix("write_bytes: "));
    line.and_then(|line| line.parse::<f64>().ok()).unwrap_or(f64::NAN)
}
