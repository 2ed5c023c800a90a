//! Host functions that act on a stream or make a call. They take effect when the callback has returned.

use std::time::Duration;

use wasmtime::{Caller, Linker};

use super::name;

use crate::abi::{Status, decode_pairs};
use crate::traffic::{LocalReply, Order, Way};
use crate::vm::guest::{Called, Guest, returned};
use crate::vm::host::{Call, Host, Request};

/// Links them.
///
/// # Errors
/// None but a name that is linked twice.
pub fn link_all(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    host_function!(linker, "proxy_continue_stream", |guest, kind: u32| {
        let way = stream_kind(kind)?;
        let view = guest.host().view()?;
        view.inbox.leave(Order::Resume(view.filter, way));
        Ok(())
    });
    host_function!(linker, "proxy_close_stream", |guest, kind: u32| {
        stream_kind(kind)?;
        guest.host().view()?.inbox.leave(Order::Reset);
        Ok(())
    });
    linker.func_wrap(
        "env",
        "proxy_send_local_response",
        |caller: Caller<'_, Host>,
         status: u32,
         d: u32,
         dl: u32,
         b: u32,
         bl: u32,
         h: u32,
         hl: u32,
         _grpc: i32| {
            returned(Guest::new(caller).and_then(|mut guest| {
                let status = u16::try_from(status).map_err(|_| Status::BadArgument)?;
                let headers = decode_pairs(&guest.bytes(h, hl)?)?;
                let reply =
                    LocalReply { status, headers, body: guest.bytes(b, bl)?, details: guest.text(d, dl)? };
                guest.host().view()?.inbox.leave(Order::Reply(reply));
                Ok(())
            }))
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_http_call",
        |caller: Caller<'_, Host>,
         c: u32,
         cl: u32,
         h: u32,
         hl: u32,
         b: u32,
         bl: u32,
         t: u32,
         tl: u32,
         timeout: u32,
         token: u32| {
            returned(Guest::new(caller).and_then(|mut guest| {
                let cluster = name(&guest, c, cl)?;
                let headers = decode_pairs(&guest.bytes(h, hl)?)?;
                let (body, trailers) = (guest.bytes(b, bl)?, decode_pairs(&guest.bytes(t, tl)?)?);
                let complete =
                    [":method", ":path", ":authority"].iter().all(|name| headers.get(name).is_some());
                let host = guest.host();
                match host.services.clusters.get(&cluster) {
                    Some(true) if complete => {}
                    // No servers: there is nothing to wait for (H16).
                    Some(false) if complete => return Err(Status::InternalFailure.into()),
                    Some(_) | None => return Err(Status::BadArgument.into()),
                }
                host.last_token += 1;
                let (token_given, context) = (host.last_token, host.effective);
                let timeout = Duration::from_millis(u64::from(timeout));
                let call = Call { context, token: token_given, cluster, headers, body, trailers, timeout };
                host.requests.push(Request::Call(call));
                Ok(guest.write_u32(token, token_given)?)
            }))
        },
    )?;
    Ok(())
}

fn stream_kind(number: u32) -> Called<Way> {
    match number {
        0 => Ok(Way::Request),
        1 => Ok(Way::Response),
        _ => Err(Status::BadArgument.into()),
    }
}
