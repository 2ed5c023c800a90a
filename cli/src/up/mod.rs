//! `turnpike up`: the gateway, in the foreground, until it is told to stop. What it started is gone when it is.

mod banner;
mod envoy;
mod running;
mod sim;

use std::net::{SocketAddr, TcpListener};

use mock_provider::{Mock, Script};
use policy::Secret;
use resources::{Key, Plan, Severity};
use tokio::signal::unix::{SignalKind, signal};

use crate::args::{Host, Up};
use crate::{Failure, inputs, terminal};

/// A host that is serving. Dropping it stops it.
pub trait Serving {
    /// Where clients come in.
    fn address(&self) -> SocketAddr;
    /// Where it tells about itself.
    fn admin(&self) -> SocketAddr;
    /// Waits until it stops by itself, which it should not, and says why it did.
    async fn died(&mut self) -> Failure;
}

/// Runs the gateway.
///
/// # Errors
/// It cannot be started, or its host has died.
pub fn up(args: &Up) -> Result<(), Failure> {
    let mut plan = inputs::plan(&args.policies)?;
    let mock = stand_in(&mut plan, args.mock)?;
    let module = inputs::module(args.module.as_deref())?;
    running::refuse_second(args.listen)?;
    // The providers' keys are about to be in this process and its files: nobody else reads either.
    match args.host {
        Host::Sim => serve(sim::start(args, &plan, &module)?, args, &plan, mock.as_ref()),
        Host::Envoy => {
            let envoy = inputs::envoy(args.envoy.as_deref())?;
            serve(envoy::start(args, &plan, &module, &envoy)?, args, &plan, mock.as_ref())
        }
    }
}

fn serve(mut host: impl Serving, args: &Up, plan: &Plan, mock: Option<&Mock>) -> Result<(), Failure> {
    let _record = running::record(host.address(), args.host);
    terminal::tell(&banner::banner(plan, &host, args.host, mock.map(Mock::address)));
    block_on(async {
        tokio::select! {
            stopped = stop_asked() => stopped,
            why = host.died() => Err(why),
        }
    })?
}

/// Points targets whose key is missing at a mock provider, if that is wanted.
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
        target.host = mock.address().ip().to_string();
        target.port = mock.address().port();
        target.tls = None;
        target.key = Key::Known(Secret::new("no-key-for-the-mock".into()));
    }
    Ok(Some(mock))
}

/// An address with a port: a free one in the place of 0.
///
/// # Errors
/// There is none.
fn with_port(address: SocketAddr) -> Result<SocketAddr, Failure> {
    if address.port() != 0 {
        return Ok(address);
    }
    let free = TcpListener::bind(address).and_then(|listener| listener.local_addr());
    free.map_err(|error| format!("cannot listen on {address}: {error}"))
}

/// Waits for Ctrl-C or a polite request to stop.
///
/// # Errors
/// The operating system has no signals to give.
pub async fn stop_asked() -> Result<(), Failure> {
    let asked = |kind| signal(kind).map_err(|error| format!("cannot wait for signals: {error}"));
    let (mut interrupt, mut terminate) = (asked(SignalKind::interrupt())?, asked(SignalKind::terminate())?);
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

/// Runs a future to its end.
///
/// # Errors
/// The operating system refuses.
pub fn block_on<T>(future: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    Ok(runtime.map_err(|error| error.to_string())?.block_on(future))
}
