//! The gateway in a real Envoy: its configuration in a folder of its own, its process under supervision.

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use envoy_config::{BOOTSTRAP, MODULE, Settings, render, render_keys};
use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};
use tempfile::TempDir;

use super::Gateway;
use super::access_log::Destination;
use crate::args::{LogLevel, Up};
use crate::{Failure, inputs, render as files};

/// Where Envoy writes the address of its admin interface.
const ADMIN: &str = "admin-address";

/// How long Envoy may take to be ready: it compiles the module first, which is about two seconds a megabyte.
const START: Duration = Duration::from_secs(60);

/// How long it may take to stop before it is made to.
const STOP: Duration = Duration::from_secs(5);

/// A gateway in Envoy.
pub struct Envoy {
    process: Child,
    /// Where clients come in.
    pub address: SocketAddr,
    /// Where it tells about itself.
    pub admin: SocketAddr,
    /// Holds keys. Removed after the process has ended.
    folder: TempDir,
}

/// Starts it, and waits until requests pass.
///
/// # Errors
/// A sentence about what is in the way; Envoy's own words are on stderr.
pub async fn start(args: &Up, what: &Gateway<'_>, envoy: &Path) -> Result<Envoy, Failure> {
    let Gateway { plan, module, sidecar, log } = what;
    super::running::refuse_second(args.admin).map_err(|error| format!("admin interface: {error}"))?;
    let only_mine = Permissions::from_mode(0o700);
    let folder = tempfile::Builder::new().prefix("turnpike-envoy-").permissions(only_mine).tempdir();
    let folder = folder.map_err(|error| format!("cannot make a folder for the configuration: {error}"))?;
    let settings = Settings {
        listen: args.listen,
        admin: args.admin,
        max_request_bytes: policy::DEFAULT_MAX_REQUEST_BYTES,
        ca_file: inputs::ca_file(),
        access_log: log.name(),
        sidecar: sidecar.cloned(),
    };
    files::write(folder.path(), &render(plan, &settings))?;
    files::write_keys(folder.path(), &render_keys(plan))?;
    fs::copy(module, folder.path().join(MODULE)).map_err(|error| format!("{}: {error}", module.display()))?;
    let process = spawn(envoy, folder.path(), args, log)?;
    let mut running = Envoy { process, address: args.listen, admin: args.admin, folder };
    running.wait_until_ready().await?;
    Ok(running)
}

fn spawn(envoy: &Path, folder: &Path, args: &Up, log: &Destination) -> Result<Child, Failure> {
    let mut command = Command::new(envoy);
    command
        .current_dir(folder)
        .args(["-c", BOOTSTRAP, "--disable-hot-restart", "--admin-address-path", ADMIN])
        .args(levels(args.log_level));
    if let Some(workers) = args.workers {
        command.args(["--concurrency", &workers.to_string()]);
    }
    command.args(["--log-format", "[%l] %v"]);
    // Whoever watches a log wants to see it now, not in ten seconds.
    command.args(["--file-flush-interval-msec", "500"]);
    let logs_here = matches!(log, Destination::StandardOutput);
    command.stdin(Stdio::null()).stdout(if logs_here { Stdio::inherit() } else { Stdio::null() });
    // Ctrl-C reaches every process of the terminal: Envoy hears of it from us.
    command.process_group(0);
    // SAFETY: between fork and exec only this one system call is made. It ends Envoy should this process be killed.
    unsafe {
        command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::TERM))?));
    }
    command.spawn().map_err(|error| format!("{}: {error}", envoy.display()))
}

/// At `info` it is the module that is to be heard: Envoy would list its every extension. Below, `config` is kept quiet:
/// it would print each file that it reads, and some hold keys.
fn levels(level: LogLevel) -> &'static [&'static str] {
    match level {
        LogLevel::Trace => &["--log-level", "trace", "--component-log-level", "config:info"],
        LogLevel::Debug => &["--log-level", "debug", "--component-log-level", "config:info"],
        LogLevel::Info => &["--log-level", "warning", "--component-log-level", "wasm:info"],
        LogLevel::Warning => &["--log-level", "warning"],
        LogLevel::Error => &["--log-level", "error"],
    }
}

impl Envoy {
    async fn wait_until_ready(&mut self) -> Result<(), Failure> {
        let begun = Instant::now();
        while begun.elapsed() < START {
            if let Ok(Some(status)) = self.process.try_wait() {
                return Err(format!("Envoy did not start ({status}); its own words are above"));
            }
            if self.is_live() {
                return self.refuse_half_a_configuration();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Err(format!("Envoy was not ready after {} s; its own words are above", START.as_secs()))
    }

    /// Whether requests pass. Envoy tells its addresses: where a port was 0, it has taken a free one.
    fn is_live(&mut self) -> bool {
        let admin =
            fs::read_to_string(self.folder.path().join(ADMIN)).ok().and_then(|text| text.trim().parse().ok());
        let Some(admin) = admin else { return false };
        self.admin = admin;
        if !get(admin, "/ready").is_some_and(|answer| answer.contains("LIVE")) {
            return false;
        }
        let listeners = get(admin, "/listeners").unwrap_or_default();
        let address = listeners.lines().find_map(|line| line.strip_prefix("turnpike::")?.trim().parse().ok());
        // Without one it is live all the same, and has refused its listener.
        self.address = address.unwrap_or(self.address);
        address.is_none_or(|address| TcpStream::connect::<SocketAddr>(address).is_ok())
    }

    /// Waits until it stops by itself, and says why it did.
    pub async fn died(&mut self) -> Failure {
        loop {
            tokio::time::sleep(Duration::from_millis(200)).await;
            if let Ok(Some(status)) = self.process.try_wait() {
                return format!("Envoy has stopped by itself ({status}); its own words are above");
            }
        }
    }

    /// Envoy is live also when it has refused one of its files and goes on without.
    fn refuse_half_a_configuration(&self) -> Result<(), Failure> {
        let stats = get(self.admin, "/stats?filter=(update_rejected|config_fail)$").unwrap_or_default();
        let refused = |line: &&str| {
            line.rsplit_once(": ").is_some_and(|(_, count)| count.parse::<u64>().unwrap_or(0) > 0)
        };
        match stats.lines().find(refused) {
            None => Ok(()),
            Some(counter) => {
                Err(format!("Envoy refuses the configuration ({counter}); its own words are above"))
            }
        }
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        let asked = Pid::from_raw(self.process.id().cast_signed()).map(|pid| kill_process(pid, Signal::TERM));
        let begun = Instant::now();
        while asked == Some(Ok(())) && begun.elapsed() < STOP {
            if !matches!(self.process.try_wait(), Ok(None)) {
                return;
            }
            sleep(Duration::from_millis(10));
        }
        // It did not want to. There is nothing to do if even this fails.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The answer of an admin interface, headers and all.
fn get(admin: SocketAddr, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&admin, Duration::from_millis(200)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}
