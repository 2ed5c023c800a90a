//! The way back: what the host shows of an answer.

use gateway::{Answer, Appetite, Clock, End, Event, Headers};
use host_calls::{self as host, Buffer, Map};
use proxy_wasm::types::Action;

use super::{Machine, State, attempts, fail, now};

impl State {
    pub(super) fn response_headers(&mut self, end: bool) -> Action {
        self.answering = true;
        let pairs = match &self.machine {
            Machine::Unconfigured => return Action::Continue,
            Machine::Upstream(attempt, _) if !attempt.reads_answers() => return self.status_only(end),
            Machine::Downstream(..) | Machine::Upstream(..) => host::header_pairs(Map::Response),
        };
        let pairs = match pairs {
            Ok(pairs) => pairs,
            Err(error) => return fail(&error),
        };
        let headers = Headers::new(host::parse_pairs(&pairs));
        self.answer_sized = headers.has("content-length");
        let downstream = matches!(self.machine, Machine::Downstream(..));
        // The host's own answers are errors: only for these is it worth asking who speaks (H9).
        let failed = headers.get(":status").is_none_or(|status| status >= "400");
        let details = if failed && downstream { details() } else { None };
        let local = details.as_deref().filter(|details| *details != "via_upstream");
        let cluster = if downstream { host::property(&["xds", "cluster_name"]) } else { None };
        let attempts = if downstream { attempts() } else { 1 };
        let cluster = cluster.as_deref();
        let answer = Answer { headers: &headers, local, end, now: now(), attempts, cluster };
        self.give(Event::Response(answer), 0)
    }

    /// An answer of which nothing but the status matters.
    fn status_only(&mut self, end: bool) -> Action {
        let status = host::header(Map::Response, ":status").unwrap_or_default();
        let headers = Headers::new(vec![(":status", status.as_bytes())]);
        let answer = Answer { headers: &headers, local: None, end, now: now(), attempts: 1, cluster: None };
        self.give(Event::Response(answer), 0)
    }

    pub(super) fn response_body(&mut self, bytes: usize, end: bool) -> Action {
        self.answer_bytes = bytes;
        match self.appetite() {
            Appetite::Chunks => match host::buffer(Buffer::ResponseBody, bytes) {
                Ok(chunk) => self.give(Event::Chunk { bytes: &chunk, end, now: Clock(&now) }, bytes),
                Err(error) => fail(&error),
            },
            Appetite::ResponseBody if end => self.response_complete(),
            Appetite::ResponseBody => self.give(Event::ResponseGrew(bytes as u64), 0),
            Appetite::Beginning => self.beginning(end),
            Appetite::Nothing | Appetite::Keys { .. } | Appetite::RequestBody => self.standing(),
        }
    }

    fn beginning(&mut self, end: bool) -> Action {
        match host::buffer(Buffer::ResponseBody, self.answer_bytes) {
            Ok(bytes) => self.give(Event::Beginning { bytes: &bytes, end, now: now() }, 0),
            Err(error) => fail(&error),
        }
    }

    pub(super) fn over(&mut self) -> Action {
        let client_left = details().is_some_and(|it| it.starts_with("downstream"));
        self.give(Event::Over(End { now: now(), client_left }), 0)
    }

    pub(super) fn response_complete(&mut self) -> Action {
        match self.appetite() {
            Appetite::ResponseBody => match host::buffer(Buffer::ResponseBody, self.answer_bytes) {
                Ok(body) => self.give(Event::ResponseBody(body), 0),
                Err(error) => fail(&error),
            },
            Appetite::Beginning => self.beginning(true),
            Appetite::Chunks => self.give(Event::Chunk { bytes: &[], end: true, now: Clock(&now) }, 0),
            Appetite::Nothing | Appetite::Keys { .. } | Appetite::RequestBody => self.standing(),
        }
    }
}

/// Why the answer is what it is (H9).
fn details() -> Option<String> {
    host::property(&["response", "code_details"])
}
