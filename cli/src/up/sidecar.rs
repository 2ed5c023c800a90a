//! The sidecar of a gateway that needs one: one that runs already, or one in this process. That has threads of its own, so
//! that neither it nor the host waits for the other.

use std::time::Duration;

use resources::{Address, Plan};
use sidecar::store::Place;
use sidecar::{Secret, Service, Settings};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::Failure;
use crate::args::{LogLevel, Up};

/// What is counted takes microseconds, and what is waited for keeps no thread.
const THREADS: usize = 2;

/// How long what it has begun may take when it is stopped.
const STOP: Duration = Duration::from_secs(1);

/// A sidecar that can be asked. Dropping it ends it, if it is ours; not among the tasks of another runtime.
pub struct Sidecar {
    /// Where the host finds it.
    pub address: Address,
    /// Where its counters are, as the end of a sentence.
    pub counters: String,
    own: Option<Own>,
}

struct Own {
    runtime: Runtime,
    served: JoinHandle<Result<(), String>>,
    stop: Option<oneshot::Sender<()>>,
}

/// The sidecar, if the plan needs one.
///
/// # Errors
/// A sentence about the place of the counters, or about what the operating system refuses.
pub fn start(args: &Up, plan: &Plan) -> Result<Option<Sidecar>, Failure> {
    match &args.sidecar {
        _ if !plan.needs_sidecar() => Ok(None),
        Some(address) => elsewhere(address).map(Some),
        None => {
            // An empty variable is how some say that there is none. One beside `--sidecar` is that sidecar's business.
            let variable = std::env::var("REDIS_URL").ok().filter(|url| !url.is_empty());
            let redis = args.redis.clone().or(variable);
            own(redis.as_deref(), args.log_level).map(Some)
        }
    }
}

/// One that runs already. A host may have another folder to begin a path in.
fn elsewhere(address: &Address) -> Result<Sidecar, Failure> {
    let address = match address {
        Address::Host(..) => address.clone(),
        Address::Unix(path) => {
            let path = std::path::absolute(path).map_err(|error| format!("{address}: {error}"))?;
            format!("unix:{}", path.display()).parse()?
        }
    };
    Ok(Sidecar { counters: format!("with the sidecar at {address}"), address, own: None })
}

/// One in this process, on a free port of this machine.
fn own(redis: Option<&str>, level: LogLevel) -> Result<Sidecar, Failure> {
    sidecar::log::lines(level == LogLevel::Error);
    // Not said with the URL: it may hold a password.
    let redis: Option<Place> =
        redis.map(|url| url.parse().map_err(|why| format!("--redis or REDIS_URL: {why}"))).transpose()?;
    // Only this gateway asks. A connection that waits for another to end would be a request that is not answered.
    let settings =
        Settings { redis, secret: Secret::read(None)?, connections: usize::MAX, ..Settings::default() };
    let service = Service::new(settings)?;
    let counters = service.counters();
    let runtime =
        Builder::new_multi_thread().worker_threads(THREADS).thread_name("sidecar").enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot start the sidecar: {error}"))?;
    // It logs a Redis that is away, and that is all: it may come later.
    let _ = runtime.block_on(service.ready());
    let (stop, stopped) = oneshot::channel::<()>();
    let (told, heard) = oneshot::channel();
    let served = runtime.spawn(async move {
        let listen = sidecar::Address::Tcp(([127, 0, 0, 1], 0).into());
        let ready = |address: &sidecar::Address| drop(told.send(address.clone()));
        sidecar::serve(&listen, service, ready, async move { drop(stopped.await) }).await
    });
    let mut own = Own { runtime, served, stop: Some(stop) };
    let address = match own.runtime.block_on(heard) {
        Ok(sidecar::Address::Tcp(socket)) => Address::Host(socket.ip().to_string(), socket.port()),
        Ok(sidecar::Address::Unix(path)) => Address::Unix(path),
        Err(_) => return Err(own.runtime.block_on(ended(&mut own.served))),
    };
    Ok(Sidecar { address, counters, own: Some(own) })
}

impl Sidecar {
    /// Waits until it stops by itself, which it should not, and says why it did. Of one elsewhere it hears nothing.
    pub async fn died(&mut self) -> Failure {
        match &mut self.own {
            Some(own) => ended(&mut own.served).await,
            None => std::future::pending().await,
        }
    }
}

async fn ended(served: &mut JoinHandle<Result<(), String>>) -> Failure {
    match served.await {
        Ok(Ok(())) => "the sidecar has stopped by itself".into(),
        Ok(Err(why)) => format!("the sidecar has stopped by itself: {why}"),
        Err(_) => "the sidecar has stopped by itself, which is a bug of it".into(),
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take().filter(|_| !self.served.is_finished()) {
            let _ = stop.send(());
            // What the host has told it last still counts. The runtime's own end stops what takes longer.
            let served = &mut self.served;
            let _ = self.runtime.block_on(async { tokio::time::timeout(STOP, served).await });
        }
    }
}

#[cfg(test)]
#[path = "sidecar_tests.rs"]
mod tests;
