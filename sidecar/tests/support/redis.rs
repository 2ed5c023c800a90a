//! Real servers of Redis for tests: on a port of their own, with a folder of their own, stopped by their own number.
#![allow(dead_code, reason = "each test file uses what it needs")]

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// What is tried.
pub const VERSIONS: [&str; 2] = ["7", "8"];

/// A server, and what it has written down.
pub struct Server {
    child: Child,
    program: PathBuf,
    args: Vec<String>,
    folder: TempDir,
    /// Where it listens, on this machine.
    pub port: u16,
}

/// None where `tests/setup redis` has not been run, which is a failure in CI.
pub fn start(version: &str) -> Option<Server> {
    start_with(version, &["--appendonly", "yes", "--appendfsync", "always"])
}

/// As [`start`], with other arguments.
pub fn start_with(version: &str, args: &[&str]) -> Option<Server> {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../.cache/redis-{version}/run"));
    if !program.is_file() {
        assert!(std::env::var_os("CI").is_none(), "there is no Redis {version}, and this is CI");
        // Not by `eprintln!`, which the test runner keeps to itself.
        let name = std::thread::current().name().unwrap_or_default().to_owned();
        let hint = format!("SKIPPED without Redis {version} (`tests/setup redis` fetches it): {name}");
        let _ = writeln!(std::io::stderr(), "{hint}");
        return None;
    }
    let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
    // Another process may have taken the port meanwhile: then this one ends, and there are more.
    for _ in 0..5 {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let child = spawn(&program, &args, folder.path(), port);
        let mut server = Server { child, program: program.clone(), args: args.clone(), folder, port };
        if server.answers() {
            return Some(server);
        }
    }
    panic!("Redis {version} does not start")
}

/// A port that nobody listens on, most probably.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn spawn(program: &Path, args: &[String], folder: &Path, port: u16) -> Child {
    let log = File::options().create(true).append(true).open(folder.join("log")).unwrap();
    let mut command = Command::new(program);
    if let Some(config) = args.iter().position(|arg| arg == "--sentinel") {
        command.arg(&args[config + 1]).arg("--sentinel");
    } else {
        command.args(args).args(["--save", ""]);
    }
    if args.iter().any(|arg| arg == "--cluster-enabled") {
        // By itself it takes the port above by 10000, which there may not be.
        command.args(["--cluster-port", &free_port().to_string()]);
    }
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--dir"]).arg(folder);
    command.stdout(log.try_clone().unwrap()).stderr(log).stdin(Stdio::null()).spawn().unwrap()
}

impl Server {
    /// As `--redis` takes it.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// What a command answers, as it comes: a line, or the lines of an array, joined by spaces.
    pub fn ask(&self, command: &str) -> String {
        ask(self.port, command).unwrap()
    }

    /// Sends it a signal: STOP and CONT make it silent for a while.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.child.id().cast_signed()).unwrap(), signal).unwrap();
    }

    /// At once, as a power cut would.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again, with what it has written down.
    pub fn again(&mut self) {
        self.child = spawn(&self.program, &self.args, self.folder.path(), self.port);
        assert!(self.answers(), "it does not start again");
    }

    /// Every key with its time to live in milliseconds.
    pub fn keys(&self) -> Vec<(String, i64)> {
        let keys = self.ask("KEYS *");
        let keys = keys.split(' ').filter(|key| !key.is_empty());
        keys.map(|key| (key.to_owned(), self.ask(&format!("PTTL {key}")).parse().unwrap())).collect()
    }

    /// Waits for its first answer, or for its end.
    fn answers(&mut self) -> bool {
        let begun = Instant::now();
        // One with a password answers that it wants it.
        while ask(self.port, "PING").is_none_or(|answer| answer.starts_with("LOADING")) {
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            let log = || std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            assert!(begun.elapsed() < Duration::from_secs(20), "Redis does not start: {}", log());
            std::thread::sleep(Duration::from_millis(10));
        }
        // What answered may be another's.
        std::thread::sleep(Duration::from_millis(10));
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ask(port: u16, command: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    stream.write_all(format!("{command}\r\n").as_bytes()).ok()?;
    read(&mut BufReader::new(stream))
}

fn read(from: &mut BufReader<TcpStream>) -> Option<String> {
    let mut line = String::new();
    from.read_line(&mut line).ok()?;
    let line = line.trim_end();
    let (kind, rest) = line.split_at_checked(1)?;
    match kind {
        "$" if rest == "-1" => Some(String::new()),
        "$" => {
            let mut bytes = vec![0; rest.parse::<usize>().ok()? + 2];
            from.read_exact(&mut bytes).ok()?;
            bytes.truncate(bytes.len() - 2);
            String::from_utf8(bytes).ok()
        }
        "*" => {
            let parts: Option<Vec<String>> = (0..rest.parse::<usize>().ok()?).map(|_| read(from)).collect();
            Some(parts?.join(" "))
        }
        _ => Some(rest.to_owned()),
    }
}
