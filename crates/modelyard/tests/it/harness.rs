//! Starts the real binary and speaks to it.
//!
//! ```ignore
//! let folder = Folder::new().model("digits.onnx", &testkit::models::mlp());
//! let server = Server::start(&["digits.onnx"], &folder);
//! assert_eq!(server.get("/v2/health/ready").status, 200);
//! assert_eq!(server.terminate().code(), Some(0));
//! ```

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use modelyard_graph::Model;

/// Longer than anything here may take on a busy machine: only a hang waits so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// A folder that is removed in the end, and the working directory of what is started in it.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Folder {
        Folder(tempfile::tempdir().unwrap())
    }

    /// With a model in it.
    pub(crate) fn model(self, path: &str, model: &Model) -> Folder {
        self.file(path, model.encode())
    }

    /// With a file in it.
    pub(crate) fn file(self, path: &str, content: impl AsRef<[u8]>) -> Folder {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
        self
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }
}

/// The binary, in `folder`, unaware of the environment of whoever runs the tests: of their
/// variables, and of SIGHUP being ignored where they run under nohup.
pub(crate) fn modelyard(arguments: &[&str], folder: &Folder) -> Command {
    let mut command = Command::new("env");
    command.arg("--default-signal=HUP").arg(env!("CARGO_BIN_EXE_modelyard"));
    for (name, _) in std::env::vars_os() {
        let ours = name.to_str().is_some_and(|name| name.starts_with("MODELYARD_"));
        if ours || name == "ORT_DYLIB_PATH" {
            command.env_remove(name);
        }
    }
    command
        .args(arguments)
        .current_dir(folder.0.path())
        .env("MODELYARD_DATA_DIR", folder.path("data"))
        .stdin(Stdio::null());
    command
}

/// Waits for the end of a process, but not for ever.
pub(crate) fn end(child: &mut Child) -> Option<ExitStatus> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let status = child.try_wait().unwrap();
        if status.is_some() || Instant::now() > deadline {
            return status;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Runs a command to its end: exit code, stdout, stderr.
pub(crate) fn run(arguments: &[&str], folder: &Folder) -> (i32, String, String) {
    let Output { status, stdout, stderr } = modelyard(arguments, folder).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap_or(-1), text(stdout), text(stderr))
}

/// A server under test; killed when it goes out of scope.
pub(crate) struct Server {
    child: Child,
    log: PathBuf,
    http: SocketAddr,
    grpc: SocketAddr,
    metrics: SocketAddr,
}

impl Server {
    /// `modelyard serve` with these arguments on free ports; waits until it listens.
    pub(crate) fn listening(arguments: &[&str], folder: &Folder) -> Server {
        Server::spawn(modelyard(&serve_arguments(arguments), folder), folder)
    }

    /// The same; waits until it is ready.
    pub(crate) fn start(arguments: &[&str], folder: &Folder) -> Server {
        let mut server = Server::listening(arguments, folder);
        server.wait_until("ready", |server| server.get("/v2/health/ready").status == 200);
        server
    }

    /// A prepared command that ends up as `modelyard serve` with [`serve_arguments`].
    pub(crate) fn spawn(mut command: Command, folder: &Folder) -> Server {
        let log = folder.path("server.log");
        command.stderr(std::fs::File::create(&log).unwrap()).stdout(Stdio::null());
        let mut child = command.spawn().unwrap();
        let addresses = folder.path("addresses.json");
        let deadline = Instant::now() + PATIENCE;
        while !addresses.exists() {
            let ended = child.try_wait().unwrap();
            let said = std::fs::read_to_string(&log).unwrap();
            assert!(ended.is_none(), "the server ended before it listened: {ended:?}\n{said}");
            assert!(Instant::now() < deadline, "the server does not listen\n{said}");
            std::thread::sleep(Duration::from_millis(5));
        }
        let text = std::fs::read_to_string(addresses).unwrap();
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        let address = |name: &str| json[name].as_str().unwrap().parse().unwrap();
        Server {
            child,
            log,
            http: address("http"),
            grpc: address("grpc"),
            metrics: address("metrics"),
        }
    }

    pub(crate) fn http(&self) -> SocketAddr {
        self.http
    }

    pub(crate) fn grpc(&self) -> SocketAddr {
        self.grpc
    }

    pub(crate) fn metrics(&self) -> SocketAddr {
        self.metrics
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        request(self.http, "GET", path, &[], b"").unwrap()
    }

    pub(crate) fn post(&self, path: &str, body: &str) -> Answer {
        let json = [("Content-Type", "application/json")];
        request(self.http, "POST", path, &json, body.as_bytes()).unwrap()
    }

    /// Waits until something holds.
    pub(crate) fn wait_until(&mut self, what: &str, holds: impl Fn(&Server) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds(self) {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "ended while waiting for '{what}': {}", self.log());
            assert!(Instant::now() < deadline, "never '{what}': {}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Memory that the process holds, in megabytes.
    pub(crate) fn resident_mb(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
        kilobytes / 1024
    }

    /// Sends a signal, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").arg(format!("-{name}")).arg(pid).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for the end.
    pub(crate) fn end(&mut self) -> ExitStatus {
        end(&mut self.child).unwrap_or_else(|| panic!("the server does not end: {}", self.log()))
    }

    /// SIGTERM, and the exit status.
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.end()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `serve` on free ports, with its addresses in `addresses.json`.
pub(crate) fn serve_arguments<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    let free = "127.0.0.1:0";
    let mut all = vec!["serve", "--http-address", free, "--grpc-address", free];
    all.extend(["--metrics-address", free, "--address-file", "addresses.json"]);
    all.extend(arguments);
    all
}

/// An HTTP answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

/// One request on a connection of its own.
pub(crate) fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    stream.write_all(&[head.as_bytes(), body].concat())?;
    read_answer(&mut BufReader::new(stream))
}

/// Reads one answer; its body has a length or goes on to the end.
fn read_answer(reader: &mut impl BufRead) -> io::Result<Answer> {
    let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| wrong(&format!("no status line: {line:?}")))?;
    let (mut length, mut chunked) = (None, false);
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().ok(),
            "transfer-encoding" => chunked = value.trim() == "chunked",
            _ => {}
        }
    }
    let mut body = Vec::new();
    match length {
        Some(length) => {
            reader.take(length).read_to_end(&mut body)?;
            if body.len() as u64 != length {
                return Err(wrong("the body ends early"));
            }
        }
        None if chunked => read_chunks(reader, &mut body)?,
        None => drop(reader.read_to_end(&mut body)?),
    }
    let body = String::from_utf8(body).map_err(|_| wrong("the body is not text"))?;
    Ok(Answer { status, body })
}

fn read_chunks(reader: &mut impl BufRead, body: &mut Vec<u8>) -> io::Result<()> {
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let size = u64::from_str_radix(line.trim(), 16)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "no chunk size"))?;
        reader.take(size).read_to_end(body)?;
        reader.read_line(&mut line)?;
        if size == 0 {
            return Ok(());
        }
    }
}
