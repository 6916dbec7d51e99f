//! What models cost, and that it comes back.

/// Memory of this process that is in RAM, in bytes; 0 where the system does not tell.
pub fn resident_bytes() -> u64 {
    const PAGE: u64 = 4096;
    let pages = || -> Option<u64> {
        let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
        statm.split_ascii_whitespace().nth(1)?.parse().ok()
    };
    pages().unwrap_or(0) * PAGE
}

/// Gives memory that unloaded models have left back to the system. Takes milliseconds, so not on a
/// serving thread.
pub fn give_back() {
    crate::onnxruntime::trim();
}
