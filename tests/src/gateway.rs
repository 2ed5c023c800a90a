//! A gateway as a user starts it: the real program, in a folder of its own, on free ports.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::client::{Ask, Reply};
use crate::project;
use crate::sidecar::{Sidecar, redis};

/// What the module runs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Host {
    /// host-sim.
    Sim,
    /// The real Envoy.
    Envoy,
}

/// A running gateway. Dropping it stops it.
pub struct Gateway {
    process: Child,
    /// Where clients come in.
    pub address: SocketAddr,
    /// Where it tells about itself.
    pub admin: SocketAddr,
    /// What it has printed when it was up.
    pub banner: String,
    folder: TempDir,
}

/// How a gateway is started.
pub struct Start {
    host: Host,
    policies: String,
    env: Vec<(String, String)>,
    args: Vec<String>,
}

/// How long a gateway may take to be up. A busy machine compiles the module slowly.
const PATIENCE: Duration = Duration::from_secs(60);

/// Whether the real Envoy is here. In CI it has to be; elsewhere its absence is said aloud.
pub fn envoy_is_here(lab: &str) -> bool {
    let here = envoy().is_file();
    assert!(here || std::env::var_os("CI").is_none(), "there is no Envoy, and this is CI");
    if !here {
        // Not by `eprintln!`, which the test runner keeps to itself.
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED on Envoy, which is not here (`make envoy` fetches it): {lab}"
        );
    }
    here
}

/// The project's own Envoy.
pub fn envoy() -> PathBuf {
    project::cache().join("envoy/envoy")
}

/// Starts it by itself with a configuration, in one worker.
pub fn start_envoy(config: &Path) -> Child {
    Command::new(envoy())
        .arg("-c")
        .arg(config)
        .current_dir(config.parent().unwrap())
        .args(["--disable-hot-restart", "--concurrency", "1", "--log-level", "error"])
        .args(["--file-flush-interval-msec", "100"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

impl Host {
    /// As the command line calls it.
    pub fn name(self) -> &'static str {
        match self {
            Host::Sim => "sim",
            Host::Envoy => "envoy",
        }
    }
}

impl Start {
    /// A gateway with these policies.
    pub fn new(host: Host, policies: &str) -> Start {
        Start { host, policies: policies.into(), env: Vec::new(), args: Vec::new() }
    }

    /// With an environment variable.
    pub fn env(mut self, name: &str, value: &str) -> Start {
        self.env.push((name.into(), value.into()));
        self
    }

    /// With an argument more.
    pub fn arg(mut self, arg: &str) -> Start {
        self.args.push(arg.into());
        self
    }

    /// With the counters of its own sidecar in this Redis. Without it they are in memory.
    pub fn redis(self, server: &redis::Server) -> Start {
        self.arg("--redis").arg(&server.url())
    }

    /// With a sidecar that runs already.
    pub fn sidecar(self, sidecar: &Sidecar) -> Start {
        self.arg("--sidecar").arg(&sidecar.address)
    }

    /// The command, without the ports, and the folder that it works in.
    pub fn command(&self) -> (Command, TempDir) {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("policies.yaml"), &self.policies).unwrap();
        let mut command = Command::new(project::turnpike());
        command.current_dir(folder.path()).env_remove("OPENAI_API_KEY").env_remove("MISTRAL_API_KEY");
        command.env_remove("REDIS_URL").env_remove("TURNPIKE_SECRET");
        command.args(["up", "-f", "policies.yaml", "--host", self.host.name()]);
        if !self.args.iter().any(|arg| arg == "--workers") {
            command.args(["--workers", "2"]);
        }
        if self.host == Host::Envoy {
            command.arg("--envoy").arg(envoy());
        }
        command.args(&self.args).envs(self.env.iter().cloned());
        (command, folder)
    }

    /// Starts it, and waits until it says that it listens.
    pub fn up(self) -> Gateway {
        let (mut command, folder) = self.command();
        let log = File::create(folder.path().join("stderr")).unwrap();
        command.args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
        if !self.args.iter().any(|arg| arg == "--log-level") {
            command.args(["--log-level", "info"]);
        }
        let mut process = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let begun = Instant::now();
        let mut banner = String::new();
        while !banner.contains("stop: ") && begun.elapsed() < PATIENCE {
            match lines.next() {
                Some(line) => banner.push_str(&(line.unwrap() + "\n")),
                None => break,
            }
        }
        let address = |before: &str| {
            let (_, after) = banner.split_once(before)?;
            after.split([' ', '/', '\n']).next()?.parse().ok()
        };
        let (listen, admin) = (address("listening on http://"), address("metrics: http://"));
        let (Some(listen), Some(admin)) = (listen, admin) else {
            panic!("the gateway did not come up\n{banner}\n{}", tail(&folder));
        };
        Gateway { process, address: listen, admin, banner, folder }
    }
}

impl Gateway {
    /// A gateway with these policies, up.
    pub fn up(host: Host, policies: &str) -> Gateway {
        Start::new(host, policies).up()
    }

    /// Sends a request and waits for all of the answer.
    pub fn send(&self, ask: &Ask) -> Reply {
        ask.send(self.address)
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("stderr")).unwrap_or_default()
    }

    /// Waits until so many lines are in the file `access.log` of its folder.
    pub fn access_log(&self, lines: usize) -> Vec<Value> {
        let begun = Instant::now();
        loop {
            let text = fs::read_to_string(self.folder.path().join("access.log")).unwrap_or_default();
            if text.lines().count() >= lines || begun.elapsed() > Duration::from_secs(10) {
                return text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// What its admin interface says.
    pub fn admin(&self, path: &str) -> String {
        Ask::get(path).send(self.admin).text()
    }

    /// Waits until a text is in the metrics.
    pub fn await_metric(&self, line: &str) {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(10) {
            if self.admin("/stats/prometheus").lines().any(|it| it == line) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let metrics = self.admin("/stats/prometheus");
        let ours: Vec<&str> = metrics.lines().filter(|line| line.starts_with("turnpike")).collect();
        panic!("no `{line}` among {ours:#?}");
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// The process that carries the traffic: itself, or its Envoy.
    pub fn worker_pid(&self) -> u32 {
        children(self.pid()).first().copied().unwrap_or(self.pid())
    }

    /// Waits for its end. The exit code, if it was an exit.
    pub fn wait(&mut self) -> Option<i32> {
        self.process.wait().unwrap().code()
    }

    /// Sends a signal and waits for the end. The exit code, if it was an exit.
    pub fn stop(&mut self, signal: Signal) -> Option<i32> {
        send_signal(self.pid(), signal);
        self.wait()
    }
}

/// Sends a signal to a process.
pub fn send_signal(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), signal).unwrap();
}

/// The last lines that a gateway has logged.
fn tail(folder: &TempDir) -> String {
    let log = fs::read_to_string(folder.path().join("stderr")).unwrap_or_default();
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

/// The processes that a process has started.
pub fn children(pid: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().filter_map(|it| it.parse().ok()).collect::<Vec<u32>>())
        .collect()
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- what the gateway logged last\n{}\n---", tail(&self.folder));
        }
        if matches!(self.process.try_wait(), Ok(None)) {
            self.stop(Signal::TERM);
        }
    }
}
