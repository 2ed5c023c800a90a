//! The part of WASI (`wasi_snapshot_preview1`) that modules built by Rust, C++ and TinyGo import. As in Envoy there
//! are no files; the environment, the clock, randomness and the two output streams are there.

use std::hash::{BuildHasher, RandomState};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use wasmtime::{Caller, Linker};

use super::guest::{Called, Fault, Guest};
use super::host::Host;
use crate::abi::{LogLevel, Status};

/// `errno` of WASI preview 1.
const OK: i32 = 0;
const BADF: i32 = 8;
const FAULT: i32 = 21;
const INVAL: i32 = 28;
const NOENT: i32 = 44;
const NOSYS: i32 = 52;

/// Longest text that one write to an output stream may have, in bytes.
const MAX_WRITE: u32 = 64 * 1024;

/// Links a function that fails with one number, whatever it is asked.
macro_rules! absent {
    ($linker:ident, $errno:ident: $($name:literal($($arg:ident: $ty:ty),*)),* $(,)?) => {
        $($linker.func_wrap("wasi_snapshot_preview1", $name, |$($arg: $ty),*| -> i32 { $(let _ = $arg;)* $errno })?;)*
    };
}

/// Links all of them.
///
/// # Errors
/// None but a name that is linked twice.
pub fn link(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    let module = "wasi_snapshot_preview1";
    linker.func_wrap(module, "environ_sizes_get", |caller: Caller<'_, Host>, count: u32, size: u32| {
        errno(caller, |guest| {
            let texts = environment(guest);
            guest.write_u32(count, texts.len() as u32)?;
            Ok(guest.write_u32(size, texts.iter().map(Vec::len).sum::<usize>() as u32)?)
        })
    })?;
    linker.func_wrap(module, "environ_get", |caller: Caller<'_, Host>, list: u32, texts: u32| {
        errno(caller, |guest| {
            let mut at = texts;
            for (i, text) in environment(guest).iter().enumerate() {
                guest.write_u32(list.saturating_add(4 * i as u32), at)?;
                guest.write(at, text)?;
                at = at.saturating_add(text.len() as u32);
            }
            Ok(())
        })
    })?;
    linker.func_wrap(module, "args_sizes_get", |caller: Caller<'_, Host>, count: u32, size: u32| {
        errno(caller, |guest| {
            guest.write_u32(count, 0)?;
            Ok(guest.write_u32(size, 0)?)
        })
    })?;
    linker.func_wrap(
        module,
        "clock_time_get",
        |caller: Caller<'_, Host>, id: u32, _precision: i64, to: u32| {
            errno(caller, |guest| Ok(guest.write(to, &nanoseconds(id)?.to_le_bytes())?))
        },
    )?;
    linker.func_wrap(module, "random_get", |caller: Caller<'_, Host>, to: u32, len: u32| {
        errno(caller, |guest| random(guest, to, len))
    })?;
    linker.func_wrap(
        module,
        "fd_write",
        |caller: Caller<'_, Host>, fd: u32, list: u32, count: u32, written: u32| {
            errno(caller, |guest| write(guest, fd, list, count, written))
        },
    )?;
    linker.func_wrap(module, "proc_exit", |code: i32| -> wasmtime::Result<()> {
        Err(wasmtime::Error::msg(format!("the guest has exited with code {code}")))
    })?;
    absent!(linker, OK: "args_get"(a: u32, b: u32), "sched_yield"());
    absent!(linker, BADF:
        "fd_close"(a: u32), "fd_fdstat_get"(a: u32, b: u32), "fd_fdstat_set_flags"(a: u32, b: u32),
        "fd_filestat_get"(a: u32, b: u32), "fd_prestat_get"(a: u32, b: u32),
        "fd_prestat_dir_name"(a: u32, b: u32, c: u32), "fd_read"(a: u32, b: u32, c: u32, d: u32),
        "fd_seek"(a: u32, b: i64, c: u32, d: u32), "fd_sync"(a: u32), "fd_tell"(a: u32, b: u32),
        "fd_readdir"(a: u32, b: u32, c: u32, d: i64, e: u32),
    );
    absent!(linker, NOENT:
        "path_open"(a: u32, b: u32, c: u32, d: u32, e: u32, f: i64, g: i64, h: u32, i: u32),
        "path_filestat_get"(a: u32, b: u32, c: u32, d: u32, e: u32),
        "path_create_directory"(a: u32, b: u32, c: u32), "path_remove_directory"(a: u32, b: u32, c: u32),
        "path_unlink_file"(a: u32, b: u32, c: u32), "path_rename"(a: u32, b: u32, c: u32, d: u32, e: u32, f: u32),
    );
    absent!(linker, NOSYS: "poll_oneoff"(a: u32, b: u32, c: u32, d: u32), "clock_res_get"(a: u32, b: u32));
    Ok(())
}

/// Runs a function and says by number how it went. No function here asks the guest for memory, so none traps.
fn errno(caller: Caller<'_, Host>, run: impl FnOnce(&mut Guest<'_>) -> Called) -> i32 {
    match Guest::new(caller).and_then(|mut guest| run(&mut guest)) {
        Ok(()) => OK,
        Err(Fault::Status(Status::InvalidMemoryAccess)) => FAULT,
        Err(Fault::Status(Status::NotFound)) => BADF,
        Err(Fault::Status(_) | Fault::Trap(_)) => INVAL,
    }
}

fn environment(guest: &mut Guest<'_>) -> Vec<Vec<u8>> {
    guest.host().env.iter().map(|(name, value)| format!("{name}={value}\0").into_bytes()).collect()
}

fn nanoseconds(clock: u32) -> Called<u64> {
    thread_local!(static START: Instant = Instant::now());
    match clock {
        0 => Ok(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)),
        1..=3 => Ok(START.with(Instant::elapsed).as_nanos() as u64),
        _ => Err(Status::BadArgument.into()),
    }
}

/// Bytes for hash seeds and the like. Guests of a test host make no keys.
fn random(guest: &mut Guest<'_>, to: u32, len: u32) -> Called {
    let state = RandomState::new();
    let mut at = to;
    let end = to.checked_add(len).ok_or(Status::InvalidMemoryAccess)?;
    while at < end {
        let word = state.hash_one(at).to_le_bytes();
        let piece = word.get(..word.len().min((end - at) as usize)).unwrap_or_default();
        guest.write(at, piece)?;
        at += piece.len() as u32;
    }
    Ok(())
}

fn write(guest: &mut Guest<'_>, fd: u32, list: u32, count: u32, written: u32) -> Called {
    let level = match fd {
        1 => LogLevel::Info,
        2 => LogLevel::Error,
        _ => return Err(Status::NotFound.into()),
    };
    let mut text = Vec::new();
    for i in 0..count.min(1024) {
        let entry = guest.bytes(list.saturating_add(8 * i), 8)?;
        let (at, len) = entry.split_at_checked(4).ok_or(Status::InvalidMemoryAccess)?;
        let number = |bytes: &[u8]| bytes.try_into().map(u32::from_le_bytes).unwrap_or(0);
        text.extend(guest.bytes(number(at), number(len).min(MAX_WRITE))?);
    }
    let line = String::from_utf8_lossy(&text);
    guest.host().log(level, line.trim_end());
    Ok(guest.write_u32(written, text.len() as u32)?)
}
