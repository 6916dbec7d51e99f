//! CPU time of processes, from `/proc`.

use std::collections::HashMap;
use std::time::Duration;

/// User and system time that a process and all its living descendants have taken, ended threads
/// included. `None` when there is no such process (or no `/proc`).
pub(crate) fn time_of_tree(pid: u32) -> Option<Duration> {
    let root = read(pid)?;
    let mut children: HashMap<u32, Vec<(u32, u64)>> = HashMap::new();
    for entry in std::fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        if let Some(stat) = read(pid) {
            children.entry(stat.parent).or_default().push((pid, stat.ticks));
        }
    }
    let mut ticks = root.ticks;
    let mut unvisited = vec![pid];
    while let Some(pid) = unvisited.pop() {
        for (child, more) in children.remove(&pid).unwrap_or_default() {
            ticks += more;
            unvisited.push(child);
        }
    }
    Some(Duration::from_secs_f64(ticks as f64 / ticks_per_second()))
}

struct Stat {
    parent: u32,
    ticks: u64,
}

fn read(pid: u32) -> Option<Stat> {
    parse(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Fields 4 (parent), 14 (user) and 15 (system) of proc(5). The command, field 2, may hold
/// spaces and parentheses.
fn parse(stat: &str) -> Option<Stat> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let parent = fields.nth(1)?.parse().ok()?;
    let user: u64 = fields.nth(9)?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Stat { parent, ticks: user + system })
}

#[cfg(target_os = "linux")]
fn ticks_per_second() -> f64 {
    rustix::param::clock_ticks_per_second() as f64
}

#[cfg(not(target_os = "linux"))]
fn ticks_per_second() -> f64 {
    100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_behind_a_hostile_command_name() {
        let stat = parse("7 (a) b (c) S 3 7 7 0 -1 4 1 0 0 0 120 30 9 9 20 0 1 0 5").unwrap();
        assert_eq!((stat.parent, stat.ticks), (3, 150));
        assert!(parse("7 (x").is_none());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_taken_time() {
        assert!(time_of_tree(std::process::id()).is_some());
        assert!(time_of_tree(u32::MAX).is_none());
    }
}
