//! The figures of the process, under the names that Prometheus's client libraries agreed on.
//!
//! Read from `/proc`; where there is none, the lines are left out.

use std::time::{SystemTime, UNIX_EPOCH};

use super::text::{Kind, Labels, Text};

/// Clock ticks a second in `/proc`: Linux's user-visible unit on every architecture we build for.
const TICKS_PER_SECOND: f64 = 100.0;

/// Appends the process's families.
pub(super) fn render(text: &mut Text) {
    let gauge = |text: &mut Text, name: &str, help: &str, value: Option<f64>| {
        if let Some(value) = value {
            text.family(name, Kind::Gauge, help);
            text.sample(name, &Labels::default(), value);
        }
    };
    let stat = Stat::read();
    if let Some(stat) = &stat {
        let name = "process_cpu_seconds_total";
        text.family(name, Kind::Counter, "User and system CPU time");
        text.sample(name, &Labels::default(), stat.cpu_seconds);
    }
    let of = |value: fn(&Stat) -> f64| stat.as_ref().map(value);
    gauge(text, "process_threads", "Threads", of(|stat| stat.threads));
    gauge(text, "process_virtual_memory_bytes", "Virtual memory", of(|stat| stat.virtual_bytes));
    gauge(text, "process_resident_memory_bytes", "Resident memory", status_bytes("VmRSS:"));
    let peak = status_bytes("VmHWM:");
    gauge(text, "process_resident_memory_max_bytes", "Most resident memory so far", peak);
    let descriptors = std::fs::read_dir("/proc/self/fd").ok().map(|files| files.count() as f64);
    gauge(text, "process_open_fds", "Open file descriptors", descriptors);
    let start = stat.as_ref().and_then(|stat| start_time(stat.started_seconds_after_boot));
    gauge(text, "process_start_time_seconds", "Start time since the Unix epoch", start);
}

/// What `/proc/self/stat` says.
struct Stat {
    cpu_seconds: f64,
    threads: f64,
    virtual_bytes: f64,
    started_seconds_after_boot: f64,
}

impl Stat {
    fn read() -> Option<Self> {
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        // The name may hold spaces and parentheses: the fields begin after the last one, with
        // the third of proc(5).
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
        Some(Stat {
            cpu_seconds: (field(14)? + field(15)?) / TICKS_PER_SECOND,
            threads: field(20)?,
            virtual_bytes: field(23)?,
            started_seconds_after_boot: field(22)? / TICKS_PER_SECOND,
        })
    }
}

fn status_bytes(key: &str) -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<f64>().ok()? * 1024.0)
}

fn start_time(after_boot: f64) -> Option<f64> {
    let uptime = std::fs::read_to_string("/proc/uptime").ok()?;
    let uptime: f64 = uptime.split_whitespace().next()?.parse().ok()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs_f64();
    Some(now - uptime + after_boot)
}
