//! Server-sent events on their way to the client (WHATWG HTML, section 9.2): bytes pass as they are, but only whole
//! events, so that a stream which breaks off can still be ended with an event of our own.

use crate::path::Operation;
use crate::reply::error_object;

/// The longest event that is held for its end, in bytes. A longer one passes in pieces.
const MAX_HELD: usize = 1024 * 1024;

/// What the client is told when the provider's stream breaks off.
const CUT: &str = "the provider ended the stream before its end";

/// A stream of events that is passing through.
#[derive(Debug)]
pub struct Stream {
    ending: Ending,
    held: Vec<u8>,
    complete: bool,
    torn: bool,
}

/// How a stream of some operation says that it is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// `data: [DONE]`.
    Done,
    /// An event of a type that ends a response of the Responses API.
    ResponseEvent,
    /// Nobody knows.
    Unknown,
}

/// What becomes of a piece of the stream.
#[derive(Debug, PartialEq, Eq)]
pub enum Passage {
    /// It goes on as it is.
    AsItIs,
    /// These bytes go on in its place.
    Instead(Vec<u8>),
}

impl Ending {
    /// How streams of an operation end.
    pub fn of(operation: Operation) -> Ending {
        match operation {
            Operation::ChatCompletions | Operation::Completions => Ending::Done,
            Operation::Responses => Ending::ResponseEvent,
            Operation::Embeddings | Operation::Other => Ending::Unknown,
        }
    }

    fn is_in(self, events: &[u8]) -> bool {
        match self {
            Ending::Done => lines(events).any(|line| field(line, b"data") == Some(b"[DONE]")),
            Ending::ResponseEvent => lines(events).any(|line| {
                matches!(
                    field(line, b"event"),
                    Some(b"response.completed" | b"response.failed" | b"response.incomplete" | b"error")
                )
            }),
            Ending::Unknown => true,
        }
    }
}

impl Stream {
    /// The stream of an answer to an operation.
    pub fn new(ending: Ending) -> Stream {
        Stream { ending, held: Vec::new(), complete: ending == Ending::Unknown, torn: false }
    }

    /// Takes the next bytes, cut anywhere, and says what goes to the client now.
    pub fn push(&mut self, bytes: &[u8]) -> Passage {
        // What is held has been looked at, but for a blank line that these bytes may finish.
        let looked_at = self.held.len().saturating_sub(3);
        self.held.extend_from_slice(bytes);
        let end = match end_of_last_event(&self.held, looked_at) {
            0 if self.held.len() > MAX_HELD => {
                self.torn = true;
                self.held.len()
            }
            end => end,
        };
        let rest = self.held.split_off(end);
        let events = std::mem::replace(&mut self.held, rest);
        self.complete = self.complete || self.ending.is_in(&events);
        if events == bytes { Passage::AsItIs } else { Passage::Instead(events) }
    }

    /// Whether an event was too long to be held, and has been let go in pieces.
    pub fn is_torn(&self) -> bool {
        self.torn
    }

    /// The provider has ended the stream: what still goes to the client, and whether the stream was cut short.
    /// A half event is of no use to anybody; a last one without its blank line is taken as whole.
    pub fn finish(&mut self) -> (Vec<u8>, bool) {
        let mut rest = std::mem::take(&mut self.held);
        self.complete = self.complete || self.ending.is_in(&rest);
        if !self.complete {
            rest = self.refusal(CUT, "stream_cut");
        }
        (rest, !self.complete)
    }

    /// An event that ends the stream with an error.
    pub fn refusal(&self, message: &str, code: &str) -> Vec<u8> {
        match self.ending {
            // The Responses API has no `{"error": …}`: its error is an event of that type.
            Ending::ResponseEvent => {
                let message = serde_json::Value::from(message);
                let data = format!(r#"{{"type":"error","code":"{code}","message":{message},"param":null}}"#);
                [b"event: error\ndata: ", data.as_bytes(), b"\n\n"].concat()
            }
            Ending::Done | Ending::Unknown => {
                [b"data: ", error_object(message, "server_error", code).as_slice(), b"\n\n"].concat()
            }
        }
    }
}

/// The events of some whole ones, each with its blank line. A last one without is an event as well.
pub fn split(events: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = events;
    std::iter::from_fn(move || {
        let (event, after) = rest.split_at_checked(end_of_first_event(rest))?;
        rest = after;
        (!event.is_empty()).then_some(event)
    })
}

/// The events that are whole; at the end of a stream, all.
pub fn whole(bytes: &[u8], end: bool) -> impl Iterator<Item = &[u8]> {
    let until = if end { bytes.len() } else { end_of_last_event(bytes, 0) };
    split(bytes.get(..until).unwrap_or_default())
}

/// The type of an event, if it names one.
pub fn kind(event: &[u8]) -> Option<&[u8]> {
    lines(event).find_map(|line| field(line, b"event"))
}

/// The data of an event: its `data` fields, separated by line ends. `None` where it has none.
pub fn data(event: &[u8]) -> Option<Vec<u8>> {
    let mut data: Option<Vec<u8>> = None;
    for value in lines(event).filter_map(|line| field(line, b"data")) {
        match &mut data {
            Some(data) => {
                data.push(b'\n');
                data.extend_from_slice(value);
            }
            None => data = Some(value.to_vec()),
        }
    }
    data
}

/// Writes an event with other data, and all its other lines.
pub fn with_data(event: &[u8], data: &[u8], out: &mut Vec<u8>) {
    let mut written = false;
    for line in lines(event).filter(|line| !line.is_empty()) {
        if field(line, b"data").is_none() {
            out.extend_from_slice(line);
            out.push(b'\n');
        } else if !std::mem::replace(&mut written, true) {
            for line in data.split(|byte| *byte == b'\n') {
                out.extend_from_slice(b"data: ");
                out.extend_from_slice(line);
                out.push(b'\n');
            }
        }
    }
    out.push(b'\n');
}

/// Where the first event ends, with the blank line that ends it; all there is if none does.
fn end_of_first_event(bytes: &[u8]) -> usize {
    let mut blank = true;
    let mut at = 0;
    let mut content = false;
    while let Some(byte) = bytes.get(at) {
        at += 1;
        if !is_line_end(*byte) {
            blank = false;
            content = true;
            continue;
        }
        if *byte == b'\r' && bytes.get(at) == Some(&b'\n') {
            at += 1;
        }
        if blank && content {
            return at;
        }
        blank = true;
    }
    at
}

/// Where the last whole event ends: after the last blank line that is not before `from`. 0 if there is none.
fn end_of_last_event(bytes: &[u8], from: usize) -> usize {
    let mut end = bytes.len();
    while end > from {
        let Some((last, head)) = bytes.get(..end).and_then(<[u8]>::split_last) else { return 0 };
        if is_line_end(*last) {
            // The line that ends here is blank if another line end precedes it, `\r\n` being one.
            let before = if *last == b'\n' { head.strip_suffix(b"\r").unwrap_or(head) } else { head };
            if before.last().is_none_or(|b| is_line_end(*b)) {
                return end;
            }
            end = before.len();
        } else {
            end = head.iter().rposition(|b| is_line_end(*b)).map_or(0, |at| at + 1);
        }
    }
    0
}

fn is_line_end(byte: u8) -> bool {
    byte == b'\n' || byte == b'\r'
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|b| is_line_end(*b))
}

/// The value of a field line of that name.
fn field<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let value = line.strip_prefix(name)?.strip_prefix(b":")?;
    Some(value.strip_prefix(b" ").unwrap_or(value))
}

#[cfg(test)]
#[path = "sse_tests.rs"]
mod tests;
