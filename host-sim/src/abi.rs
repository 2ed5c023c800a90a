//! The numbers and encodings of the proxy-wasm ABI, version 0.2.1.

use crate::headers::HeaderMap;

/// What a host function returns (`proxy_status_t`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum Status {
    /// It worked.
    Ok = 0,
    /// There is no such thing.
    NotFound = 1,
    /// It cannot be asked like that, or not now.
    BadArgument = 2,
    /// An encoding of the guest's cannot be read.
    ParseFailure = 4,
    /// An address of the guest's is outside of its memory.
    InvalidMemoryAccess = 6,
    /// The queue is empty.
    Empty = 7,
    /// Somebody else was faster.
    CasMismatch = 8,
    /// The host failed.
    InternalFailure = 10,
    /// This host does not do that.
    Unimplemented = 12,
}

/// The result of a host function; `Err` is any status but `Ok`.
pub type Answer<T = ()> = Result<T, Status>;

/// The number that the guest gets for an answer.
pub fn code(answer: Answer) -> i32 {
    match answer {
        Ok(()) => Status::Ok as i32,
        Err(status) => status as i32,
    }
}

/// Which bytes a guest means (`proxy_buffer_type_t`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BufferKind {
    /// The request body.
    RequestBody,
    /// The response body.
    ResponseBody,
    /// The body of the answer to a call of the guest's own.
    CallResponseBody,
    /// The configuration of the VM.
    VmConfiguration,
    /// The configuration of the plugin.
    PluginConfiguration,
}

impl BufferKind {
    /// The kind of a number; those that belong to TCP or gRPC are bad arguments here.
    pub fn of(number: u32) -> Answer<BufferKind> {
        match number {
            0 => Ok(BufferKind::RequestBody),
            1 => Ok(BufferKind::ResponseBody),
            4 => Ok(BufferKind::CallResponseBody),
            6 => Ok(BufferKind::VmConfiguration),
            7 => Ok(BufferKind::PluginConfiguration),
            _ => Err(Status::BadArgument),
        }
    }
}

/// Which headers a guest means (`proxy_header_map_type_t`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MapKind {
    /// The request's headers.
    RequestHeaders,
    /// The request's trailers.
    RequestTrailers,
    /// The response's headers.
    ResponseHeaders,
    /// The response's trailers.
    ResponseTrailers,
    /// The headers of the answer to a call of the guest's own.
    CallResponseHeaders,
    /// The trailers of the answer to a call of the guest's own.
    CallResponseTrailers,
}

impl MapKind {
    /// The kind of a number; those that belong to gRPC are bad arguments here.
    pub fn of(number: u32) -> Answer<MapKind> {
        match number {
            0 => Ok(MapKind::RequestHeaders),
            1 => Ok(MapKind::RequestTrailers),
            2 => Ok(MapKind::ResponseHeaders),
            3 => Ok(MapKind::ResponseTrailers),
            6 => Ok(MapKind::CallResponseHeaders),
            7 => Ok(MapKind::CallResponseTrailers),
            _ => Err(Status::BadArgument),
        }
    }
}

/// How loud a guest's log line is (`proxy_log_level_t`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Every event.
    Trace,
    /// Every decision.
    Debug,
    /// Start, stop, configuration.
    Info,
    /// Unusual, and still working.
    Warn,
    /// Somebody must act.
    Error,
    /// Nothing works.
    Critical,
}

impl LogLevel {
    /// The level of a number; what is unknown is loud.
    pub fn of(number: u32) -> LogLevel {
        match number {
            0 => LogLevel::Trace,
            1 => LogLevel::Debug,
            2 => LogLevel::Info,
            3 => LogLevel::Warn,
            4 => LogLevel::Error,
            _ => LogLevel::Critical,
        }
    }

    /// The name in log lines, as Envoy writes it.
    pub fn name(self) -> &'static str {
        match self {
            LogLevel::Trace => "trace",
            LogLevel::Debug => "debug",
            LogLevel::Info => "info",
            LogLevel::Warn => "warning",
            LogLevel::Error => "error",
            LogLevel::Critical => "critical",
        }
    }
}

/// Encodes headers as the ABI does: a count, the sizes of each name and value, then the texts, each with a NUL.
pub fn encode_pairs(headers: &HeaderMap) -> Vec<u8> {
    let mut out = (headers.len() as u32).to_le_bytes().to_vec();
    for (name, value) in headers.iter() {
        out.extend_from_slice(&(name.len() as u32).to_le_bytes());
        out.extend_from_slice(&(value.len() as u32).to_le_bytes());
    }
    for (name, value) in headers.iter() {
        out.extend_from_slice(name.as_bytes());
        out.push(0);
        out.extend_from_slice(value);
        out.push(0);
    }
    out
}

/// Reads headers that a guest has encoded. An empty text is no headers.
///
/// # Errors
/// [`Status::ParseFailure`] where sizes and texts do not fit together or a name is no text.
pub fn decode_pairs(bytes: &[u8]) -> Answer<HeaderMap> {
    let mut map = HeaderMap::default();
    if bytes.is_empty() {
        return Ok(map);
    }
    let number = |at: usize| -> Answer<usize> {
        let slice = bytes.get(at..at + 4).and_then(|slice| slice.try_into().ok());
        slice.map(|it| u32::from_le_bytes(it) as usize).ok_or(Status::ParseFailure)
    };
    let count = number(0)?;
    // Each pair takes ten bytes at least, so a count that cannot be true ends here.
    if count > bytes.len() / 10 {
        return Err(Status::ParseFailure);
    }
    let mut at = 4 + count * 8;
    let mut text = |length: usize| -> Answer<&[u8]> {
        let text = bytes.get(at..at + length).ok_or(Status::ParseFailure)?;
        at += length + 1;
        Ok(text)
    };
    for i in 0..count {
        let name = text(number(4 + i * 8)?)?;
        let value = text(number(8 + i * 8)?)?;
        let name = std::str::from_utf8(name).map_err(|_| Status::ParseFailure)?;
        map.add(name, value);
    }
    Ok(map)
}

#[cfg(test)]
mod tests {
    use super::{decode_pairs, encode_pairs};
    use crate::headers::HeaderMap;

    #[test]
    fn pairs_survive_their_encoding() {
        let mut map = HeaderMap::default();
        for (name, value) in [(":path", "/"), ("a", ""), ("a", "b")] {
            map.add(name, value.as_bytes());
        }
        assert_eq!(decode_pairs(&encode_pairs(&map)).unwrap(), map);
        assert_eq!(decode_pairs(&[]).unwrap(), HeaderMap::default());
    }

    #[test]
    fn pairs_that_claim_more_than_there_is_are_refused() {
        let encoded = encode_pairs(&[("name", "value")].into_iter().collect());
        for cut in 1..encoded.len() - 1 {
            assert!(decode_pairs(&encoded[..cut]).is_err(), "{cut}");
        }
        assert!(decode_pairs(&u32::MAX.to_le_bytes()).is_err());
    }
}
