//! The functions of a proxy-wasm host (ABI 0.2.1), each with a result. The SDK's own wrappers panic on statuses that
//! hosts do return: a header set after the headers have gone, a property in an odd state (H2).
#![cfg(target_arch = "wasm32")]

use std::ptr;
use std::time::Duration;

/// A host call that did not work: which one, and the host's status (proxy-wasm ABI 0.2.1, `proxy_status_t`).
#[derive(Debug)]
pub struct HostError {
    /// The name of the function.
    pub call: &'static str,
    /// What it returned.
    pub status: u32,
}

/// The result of a host call.
pub type Result<T> = std::result::Result<T, HostError>;

/// A message's headers in the host (`proxy_header_map_type_t`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Map {
    /// Of the request.
    Request = 0,
    /// Of the answer.
    Response = 2,
    /// Of the answer to a call of our own.
    Call = 6,
}

/// A message that can be held (`proxy_stream_type_t`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message {
    /// The request.
    Request = 0,
    /// The answer.
    Response = 1,
}

/// How loud a log line is (`proxy_log_level_t`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// A decision, a start, a stop.
    Info = 2,
    /// Unusual, and still working.
    Warn = 3,
    /// Somebody has to act.
    Error = 4,
}

/// Bytes in the host (`proxy_buffer_type_t`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Buffer {
    /// The request body, as far as it is held.
    RequestBody = 0,
    /// The answer's body: what is held, or the piece that is passing.
    ResponseBody = 1,
    /// Of the answer to a call of our own.
    CallBody = 4,
    /// The configuration of this plugin.
    PluginConfiguration = 7,
}

const OK: u32 = 0;

/// The status of a thing that is not there.
pub const NOT_FOUND: u32 = 1;

/// The status of a write that somebody else's came before.
const CAS_MISMATCH: u32 = 8;

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_log(level: u32, text: *const u8, len: usize) -> u32;
    fn proxy_get_header_map_pairs(map: u32, data: *mut *mut u8, len: *mut usize) -> u32;
    fn proxy_get_header_map_value(map: u32, n: *const u8, nl: usize, v: *mut *mut u8, vl: *mut usize) -> u32;
    fn proxy_replace_header_map_value(map: u32, n: *const u8, nl: usize, v: *const u8, vl: usize) -> u32;
    fn proxy_remove_header_map_value(map: u32, n: *const u8, nl: usize) -> u32;
    fn proxy_get_buffer_bytes(
        buffer: u32,
        start: usize,
        max: usize,
        data: *mut *mut u8,
        len: *mut usize,
    ) -> u32;
    fn proxy_set_buffer_bytes(buffer: u32, start: usize, size: usize, data: *const u8, len: usize) -> u32;
    fn proxy_get_property(path: *const u8, pl: usize, data: *mut *mut u8, len: *mut usize) -> u32;
    fn proxy_set_property(path: *const u8, pl: usize, value: *const u8, vl: usize) -> u32;
    fn proxy_send_local_response(
        status: u32,
        details: *const u8,
        dl: usize,
        body: *const u8,
        bl: usize,
        headers: *const u8,
        hl: usize,
        grpc: i32,
    ) -> u32;
    fn proxy_continue_stream(message: u32) -> u32;
    fn proxy_set_effective_context(context: u32) -> u32;
    fn proxy_get_current_time_nanoseconds(time: *mut u64) -> u32;
    fn proxy_set_tick_period_milliseconds(period: u32) -> u32;
    fn proxy_define_metric(kind: u32, name: *const u8, nl: usize, id: *mut u32) -> u32;
    fn proxy_increment_metric(id: u32, by: i64) -> u32;
    fn proxy_record_metric(id: u32, value: u64) -> u32;
    fn proxy_get_shared_data(k: *const u8, kl: usize, v: *mut *mut u8, vl: *mut usize, cas: *mut u32) -> u32;
    fn proxy_set_shared_data(k: *const u8, kl: usize, v: *const u8, vl: usize, cas: u32) -> u32;
}

/// Writes a line to the host's log. Never a prompt, an answer, a token or a key.
pub fn log(level: Level, line: &str) {
    // SAFETY: pointer and length are of one live string. A log line that is lost is nobody's error.
    let _ = unsafe { proxy_log(level as u32, line.as_ptr(), line.len()) };
}

/// All headers of a message in the host's own encoding; see [`parse_pairs`].
pub fn header_pairs(map: Map) -> Result<Vec<u8>> {
    returned("proxy_get_header_map_pairs", |data, len| {
        // SAFETY: the host writes an address and a length to two live places.
        unsafe { proxy_get_header_map_pairs(map as u32, data, len) }
    })
}

/// Reads the ABI's encoding of a header map: a count, the sizes of each name and value, then the texts, each with a
/// NUL after it. What does not fit, or has a name that is no text, is left out.
pub fn parse_pairs(bytes: &[u8]) -> Vec<(&str, &[u8])> {
    let number = |at: usize| {
        let bytes = bytes.get(at..at.checked_add(4)?)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?) as usize)
    };
    let count = number(0).unwrap_or(0);
    let mut pairs = Vec::with_capacity(count.min(bytes.len() / 8));
    let mut at = count.saturating_mul(8).saturating_add(4);
    for i in 0..count {
        let (Some(name), Some(value)) = (number(4 + i * 8), number(8 + i * 8)) else { break };
        let Some(text) = bytes.get(at..at.saturating_add(name)) else { break };
        at = at.saturating_add(name).saturating_add(1);
        let Some(content) = bytes.get(at..at.saturating_add(value)) else { break };
        at = at.saturating_add(value).saturating_add(1);
        if let Ok(text) = std::str::from_utf8(text) {
            pairs.push((text, content));
        }
    }
    pairs
}

/// The first value of a header, if it is text.
///
/// # Errors
/// Also [`NOT_FOUND`].
pub fn header(map: Map, name: &str) -> Result<String> {
    let bytes = returned("proxy_get_header_map_value", |data, len| {
        // SAFETY: pointer and length are of one live string; the host writes to two live places.
        unsafe { proxy_get_header_map_value(map as u32, name.as_ptr(), name.len(), data, len) }
    })?;
    Ok(String::from_utf8(bytes).unwrap_or_default())
}

/// Sets a header, whatever it was before.
pub fn set_header(map: Map, name: &str, value: &str) -> Result<()> {
    // SAFETY: pointers and lengths are of two live strings.
    let status = unsafe {
        proxy_replace_header_map_value(map as u32, name.as_ptr(), name.len(), value.as_ptr(), value.len())
    };
    checked("proxy_replace_header_map_value", status)
}

/// Removes a header; it need not be there.
pub fn remove_header(map: Map, name: &str) -> Result<()> {
    // SAFETY: pointer and length are of one live string.
    let status = unsafe { proxy_remove_header_map_value(map as u32, name.as_ptr(), name.len()) };
    checked("proxy_remove_header_map_value", status)
}

/// So many bytes of a buffer, from its beginning; fewer if it is shorter.
pub fn buffer(buffer: Buffer, bytes: usize) -> Result<Vec<u8>> {
    if bytes == 0 {
        return Ok(Vec::new());
    }
    returned("proxy_get_buffer_bytes", |data, len| {
        // SAFETY: the host writes an address and a length to two live places.
        unsafe { proxy_get_buffer_bytes(buffer as u32, 0, bytes, data, len) }
    })
}

/// Replaces the first bytes of a buffer. With 0 the new ones go before the others (H10).
pub fn replace_head(buffer: Buffer, bytes: usize, with: &[u8]) -> Result<()> {
    splice(buffer, 0, bytes, with)
}

/// Replaces bytes of a buffer. Hosts take only a beginning of it, or add to its end (H10).
pub fn splice(buffer: Buffer, start: usize, bytes: usize, with: &[u8]) -> Result<()> {
    // SAFETY: pointer and length are of one live slice.
    let status = unsafe { proxy_set_buffer_bytes(buffer as u32, start, bytes, with.as_ptr(), with.len()) };
    checked("proxy_set_buffer_bytes", status)
}

/// A property of the stream as text; `None` where the host has none, or not as text.
pub fn property(path: &[&str]) -> Option<String> {
    let path = path.join("\0");
    let bytes = returned("proxy_get_property", |data, len| {
        // SAFETY: pointer and length are of one live string; the host writes to two live places.
        unsafe { proxy_get_property(path.as_ptr(), path.len(), data, len) }
    });
    String::from_utf8(bytes.ok()?).ok().filter(|text| !text.is_empty())
}

/// A property of the stream that is a number (eight bytes, little-endian).
pub fn number_property(path: &[&str]) -> Option<u64> {
    let path = path.join("\0");
    let bytes = returned("proxy_get_property", |data, len| {
        // SAFETY: pointer and length are of one live string; the host writes to two live places.
        unsafe { proxy_get_property(path.as_ptr(), path.len(), data, len) }
    });
    Some(u64::from_le_bytes(bytes.ok()?.try_into().ok()?))
}

/// Leaves a property with the stream, for filters that come after.
pub fn set_property(name: &str, value: &str) -> Result<()> {
    // SAFETY: pointers and lengths are of two live strings.
    let status = unsafe { proxy_set_property(name.as_ptr(), name.len(), value.as_ptr(), value.len()) };
    checked("proxy_set_property", status)
}

/// Answers the client in the provider's place.
pub fn reply(status: u16, details: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<()> {
    let headers = encode_pairs(headers);
    // SAFETY: pointers and lengths are of live slices.
    let status = unsafe {
        proxy_send_local_response(
            u32::from(status),
            details.as_ptr(),
            details.len(),
            body.as_ptr(),
            body.len(),
            headers.as_ptr(),
            headers.len(),
            -1,
        )
    };
    checked("proxy_send_local_response", status)
}

/// Goes on with a message that was held.
pub fn resume(message: Message) -> Result<()> {
    // SAFETY: no pointers.
    checked("proxy_continue_stream", unsafe { proxy_continue_stream(message as u32) })
}

/// Makes the following calls about another context of this VM, until the callback returns. A stream that is over has none.
pub fn speak_for(context: u32) -> Result<()> {
    // SAFETY: no pointers.
    checked("proxy_set_effective_context", unsafe { proxy_set_effective_context(context) })
}

/// The host's clock, since the Unix epoch.
pub fn now() -> Result<Duration> {
    let mut nanoseconds = 0;
    // SAFETY: the host writes to one live place.
    let status = unsafe { proxy_get_current_time_nanoseconds(&raw mut nanoseconds) };
    checked("proxy_get_current_time_nanoseconds", status).map(|()| Duration::from_nanos(nanoseconds))
}

/// Asks for a tick of this root context as often as this.
pub fn tick_every(period: Duration) -> Result<()> {
    let milliseconds = u32::try_from(period.as_millis()).unwrap_or(u32::MAX);
    // SAFETY: no pointers.
    checked("proxy_set_tick_period_milliseconds", unsafe { proxy_set_tick_period_milliseconds(milliseconds) })
}

/// The id of a counter. The same name gives the same counter.
pub fn counter(name: &str) -> Result<u32> {
    let mut id = 0;
    // SAFETY: pointer and length are of one live string; the host writes to one live place.
    let status = unsafe { proxy_define_metric(0, name.as_ptr(), name.len(), &raw mut id) };
    checked("proxy_define_metric", status).map(|()| id)
}

/// The id of a histogram. The same name gives the same histogram.
pub fn histogram(name: &str) -> Result<u32> {
    let mut id = 0;
    // SAFETY: pointer and length are of one live string; the host writes to one live place.
    let status = unsafe { proxy_define_metric(2, name.as_ptr(), name.len(), &raw mut id) };
    checked("proxy_define_metric", status).map(|()| id)
}

/// Notes a value in a histogram.
pub fn record(histogram: u32, value: u64) -> Result<()> {
    // SAFETY: no pointers.
    checked("proxy_record_metric", unsafe { proxy_record_metric(histogram, value) })
}

/// What all VMs of one `vm_id` share under a key, in all workers, and the number by which a write can tell whether it is
/// still that. Nothing, and 0, where nobody has written anything.
pub fn shared(key: &str) -> Result<(Vec<u8>, u32)> {
    let mut cas = 0;
    let bytes = returned("proxy_get_shared_data", |data, len| {
        // SAFETY: pointer and length are of one live string; the host writes to three live places.
        unsafe { proxy_get_shared_data(key.as_ptr(), key.len(), data, len, &raw mut cas) }
    });
    match bytes {
        Ok(bytes) => Ok((bytes, cas)),
        Err(error) if error.status == NOT_FOUND => Ok((Vec::new(), 0)),
        Err(error) => Err(error),
    }
}

/// Shares a value under a key, if what is there is still of this number; 0 takes whatever is there. Says whether it has.
pub fn share(key: &str, value: &[u8], cas: u32) -> Result<bool> {
    // SAFETY: pointers and lengths are of a live string and a live slice.
    let status = unsafe { proxy_set_shared_data(key.as_ptr(), key.len(), value.as_ptr(), value.len(), cas) };
    if status == CAS_MISMATCH {
        return Ok(false);
    }
    checked("proxy_set_shared_data", status).map(|()| true)
}

/// Counts so many.
pub fn add(counter: u32, by: u64) -> Result<()> {
    let by = i64::try_from(by).unwrap_or(i64::MAX);
    // SAFETY: no pointers.
    checked("proxy_increment_metric", unsafe { proxy_increment_metric(counter, by) })
}

fn encode_pairs(pairs: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend_from_slice(&(pairs.len() as u32).to_le_bytes());
    for (name, value) in pairs {
        out.extend_from_slice(&(name.len() as u32).to_le_bytes());
        out.extend_from_slice(&(value.len() as u32).to_le_bytes());
    }
    for (name, value) in pairs {
        for text in [name, value] {
            out.extend_from_slice(text.as_bytes());
            out.push(0);
        }
    }
    out
}

/// Takes what a host function returns through an address and a length. No address is an empty answer.
fn returned(call: &'static str, give: impl FnOnce(*mut *mut u8, *mut usize) -> u32) -> Result<Vec<u8>> {
    let mut data: *mut u8 = ptr::null_mut();
    let mut len = 0;
    match give(&raw mut data, &raw mut len) {
        OK if data.is_null() => Ok(Vec::new()),
        // SAFETY: the host has allocated `len` bytes with the SDK's `proxy_on_memory_allocate`, which is a boxed
        // slice of exactly that length, and has given up on it.
        OK => Ok(unsafe { Vec::from_raw_parts(data, len, len) }),
        status => Err(HostError { call, status }),
    }
}

fn checked(call: &'static str, status: u32) -> Result<()> {
    if status == OK { Ok(()) } else { Err(HostError { call, status }) }
}
