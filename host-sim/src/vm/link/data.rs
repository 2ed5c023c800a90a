//! Host functions about data: bodies, headers, properties, what VMs share, metrics.

use std::sync::Arc;

use wasmtime::{Caller, Linker};

use super::name;

use crate::abi::{BufferKind, MapKind, Status, decode_pairs, encode_pairs};
use crate::metrics::Kind;
use crate::property;
use crate::vm::guest::{Called, Guest, returned};
use crate::vm::host::{Host, Wake};

/// Links them.
///
/// # Errors
/// None but a name that is linked twice.
pub fn link_all(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    link_buffers(linker)?;
    link_maps(linker)?;
    link_properties(linker)?;
    link_shared(linker)?;
    link_metrics(linker)
}

fn link_buffers(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    host_function!(
        linker,
        "proxy_get_buffer_bytes",
        |guest, kind: u32, start: u32, max: u32, to: u32, size: u32| {
            let kind = BufferKind::of(kind)?;
            let range = start as usize..start.checked_add(max).ok_or(Status::BadArgument)? as usize;
            let piece = |bytes: &[u8]| {
                let range = range.start.min(bytes.len())..range.end.min(bytes.len());
                bytes.get(range).unwrap_or_default().to_vec()
            };
            let bytes = guest.host().look_at(kind, piece)?;
            guest.give(&bytes, to, size)
        }
    );
    host_function!(linker, "proxy_get_buffer_status", |guest, kind: u32, length: u32, flags: u32| {
        let kind = BufferKind::of(kind)?;
        let bytes = guest.host().look_at(kind, <[u8]>::len)?;
        guest.write_u32(length, bytes as u32)?;
        Ok(guest.write_u32(flags, 0)?)
    });
    host_function!(
        linker,
        "proxy_set_buffer_bytes",
        |guest, kind: u32, start: u32, size: u32, from: u32, len: u32| {
            let kind = BufferKind::of(kind)?;
            let with = guest.bytes(from, len)?;
            let view = guest.host().view()?;
            Ok(view.splice(kind, start as usize, size as usize, &with)?)
        }
    );
    Ok(())
}

fn link_maps(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    host_function!(linker, "proxy_get_header_map_pairs", |guest, kind: u32, to: u32, size: u32| {
        let kind = MapKind::of(kind)?;
        let pairs = guest.host().map(kind, encode_pairs)?;
        guest.give(&pairs, to, size)
    });
    host_function!(linker, "proxy_get_header_map_size", |guest, kind: u32, to: u32| {
        let kind = MapKind::of(kind)?;
        let bytes = guest.host().map(kind, |map| map.bytes() as u32)?;
        Ok(guest.write_u32(to, bytes)?)
    });
    host_function!(
        linker,
        "proxy_get_header_map_value",
        |guest, kind: u32, n: u32, nl: u32, to: u32, size: u32| {
            let kind = MapKind::of(kind)?;
            let name = name(&guest, n, nl)?;
            let value = guest.host().map(kind, |map| map.get(&name).map(<[u8]>::to_vec))?;
            guest.give(&value.ok_or(Status::NotFound)?, to, size)
        }
    );
    host_function!(linker, "proxy_set_header_map_pairs", |guest, kind: u32, from: u32, len: u32| {
        let kind = MapKind::of(kind)?;
        let pairs = decode_pairs(&guest.bytes(from, len)?)?;
        Ok(guest.host().view()?.change_map(kind, |map| *map = pairs)?)
    });
    host_function!(
        linker,
        "proxy_add_header_map_value",
        |guest, kind: u32, n: u32, nl: u32, v: u32, vl: u32| {
            let kind = MapKind::of(kind)?;
            let (name, value) = (name(&guest, n, nl)?, guest.bytes(v, vl)?);
            Ok(guest.host().view()?.change_map(kind, |map| map.add(&name, &value))?)
        }
    );
    host_function!(
        linker,
        "proxy_replace_header_map_value",
        |guest, kind: u32, n: u32, nl: u32, v: u32, vl: u32| {
            let kind = MapKind::of(kind)?;
            let (name, value) = (name(&guest, n, nl)?, guest.bytes(v, vl)?);
            Ok(guest.host().view()?.change_map(kind, |map| map.set(&name, &value))?)
        }
    );
    host_function!(linker, "proxy_remove_header_map_value", |guest, kind: u32, n: u32, nl: u32| {
        let kind = MapKind::of(kind)?;
        let name = name(&guest, n, nl)?;
        Ok(guest.host().view()?.change_map(kind, |map| map.remove(&name))?)
    });
    Ok(())
}

fn link_properties(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    host_function!(linker, "proxy_get_property", |guest, path: u32, len: u32, to: u32, size: u32| {
        let path = name(&guest, path, len)?;
        let parts: Vec<&str> = path.split('\0').filter(|part| !part.is_empty()).collect();
        let host = guest.host();
        let names = &host.plugin().ok_or(Status::InternalFailure)?.names;
        let found = match host.view() {
            Ok(view) => property::get(&parts, names, Some(&view.traffic.borrow())),
            Err(_) => property::get(&parts, names, None),
        };
        guest.give(&found.ok_or(Status::NotFound)?, to, size)
    });
    host_function!(linker, "proxy_set_property", |guest, path: u32, len: u32, from: u32, size: u32| {
        let (path, value) = (name(&guest, path, len)?, guest.bytes(from, size)?);
        let traffic = guest.host().view()?.traffic.borrow();
        let name = path.trim_end_matches('\0').replace('\0', ".");
        traffic.common.filter_state.borrow_mut().insert(name, value);
        Ok(())
    });
    Ok(())
}

fn link_shared(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    host_function!(
        linker,
        "proxy_get_shared_data",
        |guest, key: u32, len: u32, to: u32, size: u32, cas: u32| {
            let key = name(&guest, key, len)?;
            let vm = vm_id(&mut guest)?;
            let (value, number) = guest.host().services.shared.get(&vm, &key)?;
            guest.give(&value, to, size)?;
            Ok(guest.write_u32(cas, number)?)
        }
    );
    host_function!(
        linker,
        "proxy_set_shared_data",
        |guest, key: u32, len: u32, from: u32, size: u32, cas: u32| {
            let (key, value) = (name(&guest, key, len)?, guest.bytes(from, size)?);
            let vm = vm_id(&mut guest)?;
            Ok(guest.host().services.shared.set(&vm, &key, &value, cas)?)
        }
    );
    host_function!(linker, "proxy_register_shared_queue", |guest, queue: u32, len: u32, to: u32| {
        let queue = name(&guest, queue, len)?;
        let vm_id = vm_id(&mut guest)?;
        let host = guest.host();
        let (vm, root, wake) = (host.serial, host.effective, host.wake.clone());
        let services = Arc::clone(&host.services);
        // A worker that is gone needs no waking.
        let waker = move |queue| drop(wake.send(Wake { vm, root, queue }));
        let id = services.shared.register(&vm_id, &queue, Box::new(waker));
        Ok(guest.write_u32(to, id)?)
    });
    host_function!(
        linker,
        "proxy_resolve_shared_queue",
        |guest, vm: u32, vl: u32, queue: u32, ql: u32, to: u32| {
            let (vm, queue) = (name(&guest, vm, vl)?, name(&guest, queue, ql)?);
            let id = guest.host().services.shared.resolve(&vm, &queue)?;
            Ok(guest.write_u32(to, id)?)
        }
    );
    host_function!(linker, "proxy_enqueue_shared_queue", |guest, queue: u32, from: u32, len: u32| {
        let item = guest.bytes(from, len)?;
        Ok(guest.host().services.shared.enqueue(queue, &item)?)
    });
    host_function!(linker, "proxy_dequeue_shared_queue", |guest, queue: u32, to: u32, size: u32| {
        let item = guest.host().services.shared.dequeue(queue)?;
        guest.give(&item, to, size)
    });
    Ok(())
}

fn link_metrics(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    host_function!(linker, "proxy_define_metric", |guest, kind: u32, n: u32, nl: u32, to: u32| {
        let (kind, name) = (Kind::of(kind)?, name(&guest, n, nl)?);
        let id = guest.host().services.metrics.define(kind, &name);
        Ok(guest.write_u32(to, id)?)
    });
    host_function!(linker, "proxy_increment_metric", |guest, id: u32, by: i64| {
        Ok(guest.host().services.metrics.increment(id, by)?)
    });
    host_function!(linker, "proxy_record_metric", |guest, id: u32, value: u64| {
        Ok(guest.host().services.metrics.record(id, value)?)
    });
    host_function!(linker, "proxy_get_metric", |guest, id: u32, to: u32| {
        let value = guest.host().services.metrics.get(id)?;
        Ok(guest.write(to, &value.to_le_bytes())?)
    });
    Ok(())
}

fn vm_id(guest: &mut Guest<'_>) -> Called<String> {
    let plugin = guest.host().plugin().ok_or(Status::InternalFailure)?;
    Ok(plugin.names.vm_id.clone())
}
