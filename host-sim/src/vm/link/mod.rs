//! The host functions of the ABI: `env.proxy_*`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use wasmtime::{Caller, Linker};

use super::guest::{Called, Guest, returned};
use super::host::{Host, Request};
use crate::abi::{LogLevel, Status};

/// Longest name that a host function takes for a header, a property or a metric, in bytes.
const MAX_NAME: u32 = 64 * 1024;

/// Links a host function: its arguments, then what it does with the guest.
macro_rules! host_function {
    ($linker:ident, $name:literal, |$guest:ident $(, $arg:ident: $ty:ty)*| $body:block) => {
        $linker.func_wrap("env", $name, |caller: Caller<'_, Host> $(, $arg: $ty)*| {
            returned(Guest::new(caller).and_then(|mut $guest: Guest<'_>| -> Called { $body }))
        })?;
    };
}

mod data;
mod stream;

/// Links all of them.
///
/// # Errors
/// None but a name that is linked twice.
pub fn link(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    link_root(linker)?;
    data::link_all(linker)?;
    stream::link_all(linker)?;
    link_absent(linker)
}

fn link_root(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    host_function!(linker, "proxy_log", |guest, level: u32, text: u32, len: u32| {
        let level = LogLevel::of(level);
        if guest.host().logs(level) {
            let line = guest.text(text, len)?;
            guest.host().log(level, &line);
        }
        Ok(())
    });
    host_function!(linker, "proxy_get_log_level", |guest, level: u32| {
        let quietest = guest.host().services.log_level as u32;
        Ok(guest.write_u32(level, quietest)?)
    });
    host_function!(linker, "proxy_get_current_time_nanoseconds", |guest, to: u32| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
        Ok(guest.write(to, &now.to_le_bytes())?)
    });
    host_function!(linker, "proxy_set_tick_period_milliseconds", |guest, period: u32| {
        let host = guest.host();
        host.requests.push(Request::Tick(host.effective, Duration::from_millis(u64::from(period))));
        Ok(())
    });
    host_function!(linker, "proxy_set_effective_context", |guest, context: u32| {
        let host = guest.host();
        if !host.contexts.contains_key(&context) {
            return Err(Status::BadArgument.into());
        }
        host.effective = context;
        Ok(())
    });
    host_function!(linker, "proxy_done", |_guest| { Ok(()) });
    Ok(())
}

/// Functions that a module may import and this host does not have.
fn link_absent(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    host_function!(
        linker,
        "proxy_call_foreign_function",
        |guest, n: u32, nl: u32, _a: u32, _al: u32, to: u32, size: u32| {
            // Nothing is cached about a route, so there is nothing to clear.
            if name(&guest, n, nl)? == "clear_route_cache" {
                return guest.give(&[], to, size);
            }
            Err(Status::NotFound.into())
        }
    );
    host_function!(linker, "proxy_get_status", |_guest, _code: u32, _to: u32, _size: u32| {
        Err(Status::Unimplemented.into())
    });
    host_function!(linker, "proxy_grpc_call", |_guest,
                                               _a: u32,
                                               _b: u32,
                                               _c: u32,
                                               _d: u32,
                                               _e: u32,
                                               _f: u32,
                                               _g: u32,
                                               _h: u32,
                                               _i: u32,
                                               _j: u32,
                                               _k: u32,
                                               _l: u32| {
        Err(Status::Unimplemented.into())
    });
    host_function!(linker, "proxy_grpc_stream", |_guest,
                                                 _a: u32,
                                                 _b: u32,
                                                 _c: u32,
                                                 _d: u32,
                                                 _e: u32,
                                                 _f: u32,
                                                 _g: u32,
                                                 _h: u32,
                                                 _i: u32| {
        Err(Status::Unimplemented.into())
    });
    host_function!(linker, "proxy_grpc_send", |_guest, _a: u32, _b: u32, _c: u32, _d: u32| {
        Err(Status::Unimplemented.into())
    });
    host_function!(linker, "proxy_grpc_cancel", |_guest, _a: u32| { Err(Status::Unimplemented.into()) });
    host_function!(linker, "proxy_grpc_close", |_guest, _a: u32| { Err(Status::Unimplemented.into()) });
    Ok(())
}

fn name(guest: &Guest<'_>, at: u32, len: u32) -> Called<String> {
    if len > MAX_NAME {
        return Err(Status::BadArgument.into());
    }
    Ok(guest.text(at, len)?)
}
