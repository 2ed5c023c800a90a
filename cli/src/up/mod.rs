//! `turnpike up`: the gateway, in the foreground, until it is told to stop. What it started is gone when it is.

mod access_log;
mod banner;
mod envoy;
mod running;
mod sidecar;
mod sim;

use std::net::SocketAddr;
use std::path::Path;

use self::access_log::Destination;
use self::sidecar::Sidecar;
use mock_provider::{Mock, Script};
use policy::Secret;
use resources::{Address, Key, Plan, Severity};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::args::{Host, Up};
use crate::{Failure, inputs, terminal};

/// What a host is started with.
pub struct Gateway<'a> {
    plan: &'a Plan,
    module: &'a Path,
    /// Where the sidecar is, if the plan needs one.
    sidecar: Option<&'a Address>,
    /// Where the access log goes.
    log: &'a Destination,
}

/// What runs beside the host, and longer.
pub struct Beside {
    mock: Option<Mock>,
    sidecar: Option<Sidecar>,
}

impl Beside {
    /// Waits until something of it stops by itself, which it should not, and says what did.
    async fn died(&mut self) -> Failure {
        match &mut self.sidecar {
            Some(sidecar) => sidecar.died().await,
            None => std::future::pending().await,
        }
    }
}

/// A host that is serving. Dropping it stops it.
pub enum Serving {
    /// In this process.
    Sim(sim::Sim),
    /// A process of its own.
    Envoy(envoy::Envoy),
}

impl Serving {
    /// Where clients come in.
    fn address(&self) -> SocketAddr {
        match self {
            Serving::Sim(sim) => sim.address(),
            Serving::Envoy(envoy) => envoy.address,
        }
    }

    /// Where it tells about itself.
    fn admin(&self) -> SocketAddr {
        match self {
            Serving::Sim(sim) => sim.admin,
            Serving::Envoy(envoy) => envoy.admin,
        }
    }

    /// Its name.
    fn name(&self) -> &'static str {
        match self {
            Serving::Sim(_) => "host-sim",
            Serving::Envoy(_) => "Envoy",
        }
    }

    /// Waits until it stops by itself, which it should not, and says why it did.
    async fn died(&mut self) -> Failure {
        match self {
            Serving::Sim(_) => std::future::pending().await,
            Serving::Envoy(envoy) => envoy.died().await,
        }
    }
}

/// Runs the gateway.
///
/// # Errors
/// It cannot be started, or its host has died.
pub fn up(args: &Up) -> Result<(), Failure> {
    let mut plan = inputs::plan(&args.policies)?;
    let log = Destination::of(args, &plan)?;
    let mock = stand_in(&mut plan, args.mock)?;
    let module = inputs::module(args.module.as_deref())?;
    running::refuse_second(args.listen)?;
    let mut beside = Beside { mock, sidecar: sidecar::start(args, &plan)? };
    block_on(async {
        // From here on, a signal is a request to stop and clean up, also while the host is still starting.
        let mut stop = Stop::listen()?;
        let sidecar = beside.sidecar.as_ref().map(|it| &it.address);
        let what = Gateway { plan: &plan, module: &module, sidecar, log: &log };
        let started = async {
            match args.host {
                Host::Sim => sim::start(args, &what).map(Serving::Sim),
                Host::Envoy => {
                    let envoy = inputs::envoy(args.envoy.as_deref())?;
                    envoy::start(args, &what, &envoy).await.map(Serving::Envoy)
                }
            }
        };
        let mut host = tokio::select! {
            host = started => host?,
            () = stop.asked() => return Ok(()),
        };
        let _record = running::record(host.address(), args.host);
        terminal::tell(&banner::banner(&plan, &host, &beside));
        tokio::select! {
            () = stop.asked() => Ok(()),
            why = host.died() => Err(why),
            why = beside.died() => Err(why),
        }
    })?
}

/// Points targets whose key is missing at a mock provider, if that is wanted. Whoever listens on this machine is somebody's
/// own stand-in, and stays: it gets a key that is none.
fn stand_in(plan: &mut Plan, wanted: bool) -> Result<Option<Mock>, Failure> {
    if plan.missing_keys().next().is_none() {
        return Ok(None);
    }
    if !wanted {
        terminal::report(plan.missing_keys(), Severity::Warning);
        let what = "nothing is started: set the keys named above, or let --mock stand in for these providers";
        return Err(what.to_owned());
    }
    let mock = Mock::start_told(SocketAddr::from(([127, 0, 0, 1], 0)), Script::default(), |_| {})?;
    for target in plan.targets.iter_mut().filter(|target| matches!(target.key, Key::Missing(_))) {
        if !is_here(&target.host) {
            target.host = mock.address().ip().to_string();
            target.port = mock.address().port();
            target.tls = None;
        }
        target.key = Key::Known(Secret::new("no-key-for-the-mock".into()));
    }
    Ok(Some(mock))
}

/// Whether a host is this machine.
fn is_here(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|it| it.is_loopback())
}

/// Ctrl-C, or a polite request to stop.
pub struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    /// Listens from now on.
    ///
    /// # Errors
    /// The operating system has no signals to give.
    pub fn listen() -> Result<Stop, Failure> {
        let listen = |kind| signal(kind).map_err(|error| format!("cannot wait for signals: {error}"));
        Ok(Stop { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    /// Waits until somebody asks.
    pub async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Runs a future to its end.
///
/// # Errors
/// The operating system refuses.
pub fn block_on<T>(future: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    Ok(runtime.map_err(|error| error.to_string())?.block_on(future))
}
