//! A server as a child process.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

/// How long a server may take to start.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// A server has come to rest when it does nothing for so long.
const REST: Duration = Duration::from_millis(500);

/// A running server. Killed, with the processes it started, when dropped.
pub(crate) struct Server {
    child: Child,
    /// Where it speaks HTTP.
    pub(crate) http: String,
    /// Where it speaks gRPC.
    pub(crate) grpc: String,
}

impl Server {
    /// Starts the command, in our process group: what stops us on a terminal stops it too.
    pub(crate) fn start(mut command: Command, http: String, grpc: String) -> anyhow::Result<Self> {
        command.stdin(Stdio::null());
        let child = command.spawn().with_context(|| format!("failed to start {command:?}"))?;
        Ok(Server { child, http, grpc })
    }

    /// Waits until `ready` gives something.
    pub(crate) fn wait_for<T>(&mut self, ready: impl Fn() -> Option<T>) -> anyhow::Result<T> {
        let begin = Instant::now();
        loop {
            if let Some(found) = ready() {
                return Ok(found);
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("the server ended while starting: {status}");
            }
            if begin.elapsed() > START_TIMEOUT {
                bail!("the server was not ready after {START_TIMEOUT:?}");
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits until it and all it started do nothing any more: where several workers listen on one
    /// port, some may still load the model when the first one answers.
    pub(crate) fn come_to_rest(&mut self) -> anyhow::Result<()> {
        let begin = Instant::now();
        let mut before = self.ticks();
        loop {
            std::thread::sleep(REST);
            let now = self.ticks();
            if now <= before + 1 {
                return Ok(());
            }
            if begin.elapsed() > START_TIMEOUT {
                bail!("the server had not come to rest after {START_TIMEOUT:?}");
            }
            before = now;
        }
    }

    /// CPU time of the server and all it started, in clock ticks.
    fn ticks(&self) -> u64 {
        tree(self.pid()).into_iter().filter_map(cpu_ticks).sum()
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Resident memory of the server and all it started, in megabytes.
    pub(crate) fn resident_mb(&self) -> f64 {
        tree(self.pid()).into_iter().filter_map(|pid| status_kb(pid, "VmRSS:")).sum::<f64>() / 1e3
    }

    /// The most resident memory there ever was, in megabytes.
    pub(crate) fn peak_mb(&self) -> f64 {
        tree(self.pid()).into_iter().filter_map(|pid| status_kb(pid, "VmHWM:")).sum::<f64>() / 1e3
    }

    /// Asks it to stop.
    pub(crate) fn terminate(&self) {
        signal(self.pid(), rustix::process::Signal::TERM);
    }

    /// Waits for its end and says how it ended.
    pub(crate) fn wait(&mut self) -> anyhow::Result<std::process::ExitStatus> {
        Ok(self.child.wait()?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        let children: Vec<u32> = tree(self.pid()).into_iter().skip(1).collect();
        signal(self.pid(), rustix::process::Signal::TERM);
        let deadline = Instant::now() + Duration::from_secs(2);
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        for pid in children {
            signal(pid, rustix::process::Signal::KILL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn signal(pid: u32, signal: rustix::process::Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) {
        // A process that is gone already needs no signal.
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// The process and all that descend from it.
fn tree(pid: u32) -> Vec<u32> {
    let mut found = vec![pid];
    let mut next = 0;
    while let Some(pid) = found.get(next) {
        let path = format!("/proc/{pid}/task/{pid}/children");
        let children = std::fs::read_to_string(path).unwrap_or_default();
        found.extend(children.split_ascii_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
        next += 1;
    }
    found
}

/// User and system time of a process.
fn cpu_ticks(pid: u32) -> Option<u64> {
    stat(&pid.to_string(), 14)
}

/// The sum of this field of proc(5) and the next.
fn stat(pid: &str, field: usize) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Field 2, the command, may hold spaces.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(field - 3);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

/// CPU time, in microseconds, of all child processes that have ended.
pub(crate) fn children_cpu_us() -> f64 {
    let ticks = stat("self", 16).unwrap_or(0) as f64;
    ticks / rustix::param::clock_ticks_per_second() as f64 * 1e6
}

fn status_kb(pid: u32, key: &str) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with(key))?;
    line.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// A port that is free now.
pub(crate) fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Whether somebody listens there.
pub(crate) fn listens(address: &str) -> bool {
    let address: Option<SocketAddr> = address.parse().ok();
    address.is_some_and(|address| TcpStream::connect(address).is_ok())
}

/// A command, on these cores only.
pub(crate) fn command(program: impl Into<PathBuf>, cores: Option<&str>) -> Command {
    let program = program.into();
    match cores {
        None => Command::new(program),
        Some(cores) => {
            let mut command = Command::new("taskset");
            command.args(["-c", cores]).arg(program);
            command
        }
    }
}

/// CPU time of this process so far.
pub(crate) fn own_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}
