//! Tries a request again: between the listener's chain, which sees one answer, and the clusters', each of which sees
//! one attempt. The rules are those of Envoy's router. Once headers of an answer have gone on, it is the answer.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::chain::{Frame, is_last};
use crate::config::{NoAnswer, Retry};
use crate::headers::HeaderMap;
use crate::stage::{Event, Left, Right, alarm, writable};
use crate::traffic::{Failure, LocalReply};

/// The attempts that a request may make.
#[derive(Debug)]
pub struct Tries {
    retry: Retry,
    clusters: Vec<String>,
    most: usize,
}

/// An attempt that has begun.
pub struct Attempt {
    /// The cluster's side.
    pub right: Right,
    /// Its end, with the request's headers as its filters have left them.
    pub end: JoinHandle<Option<HeaderMap>>,
}

/// The request, for those attempts that may still come.
struct Kept {
    headers: HeaderMap,
    body: Vec<u8>,
    trailers: Option<HeaderMap>,
    /// Whether all of it has come.
    ended: bool,
    /// No attempt may follow any more: nothing is kept.
    last: bool,
    limit: usize,
}

/// How an attempt has ended.
enum Ended {
    /// Another follows.
    Failed,
    /// It took too long, and none follows.
    Late,
    /// The stream is over.
    Over,
}

impl Tries {
    /// One attempt at each of the clusters that a header names; `None` if it names none.
    pub fn named(retry: &Retry, names: &str) -> Option<Tries> {
        let names = names.split(',').map(str::trim).filter(|name| !name.is_empty());
        let clusters: Vec<String> = names.map(str::to_owned).collect();
        let most = clusters.len().min(retry.attempts.max(1) as usize);
        (most > 0).then(|| Tries { retry: retry.clone(), clusters, most })
    }

    /// All attempts at one cluster.
    pub fn same(retry: &Retry, cluster: &str) -> Tries {
        Tries { retry: retry.clone(), clusters: vec![cluster.into()], most: retry.attempts.max(1) as usize }
    }

    /// The cluster of an attempt, counted from 0; none if there is no such attempt.
    fn cluster(&self, attempt: usize) -> Option<&str> {
        let cluster = self.clusters.get(attempt).or(self.clusters.last());
        cluster.filter(|_| attempt < self.most).map(String::as_str)
    }

    /// Whether what an attempt has come to is to be tried again.
    fn takes(&self, event: &Event) -> bool {
        match event {
            Event::Frame(Frame::Headers(headers, _)) => {
                let status = headers.text(":status").and_then(|status| status.parse().ok());
                status.is_some_and(|status| {
                    self.retry.statuses.contains(&status) || (self.retry.server_errors && status >= 500)
                })
            }
            Event::Failed(failure) => match self.retry.no_answer {
                NoAnswer::Never => false,
                NoAnswer::Connect => *failure == Failure::Connect,
                NoAnswer::Any => true,
            },
            Event::Frame(Frame::Data(..) | Frame::Trailers(_)) | Event::Reply(_) => false,
        }
    }

    /// How long to wait before the n-th retry, `chance` being of all that is possible.
    fn wait(&self, retry: usize, chance: u32) -> Duration {
        let (base, max) = self.retry.back_off;
        let doubled = 1_u32.checked_shl(u32::try_from(retry).unwrap_or(u32::MAX)).unwrap_or(u32::MAX);
        let longest = base.saturating_mul(doubled.saturating_sub(1)).min(max);
        let nanoseconds = (longest.as_nanos() * u128::from(chance)) >> u32::BITS;
        Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
    }
}

/// Carries a request to one cluster after the other until an answer is to go on, and that answer back. `open` begins an
/// attempt at a cluster; what it refuses is not tried again.
pub async fn run(
    mut left: Left,
    tries: Tries,
    limit: usize,
    open: impl Fn(&str) -> Result<Attempt, LocalReply>,
) {
    let Some(Frame::Headers(headers, ended)) = left.requests.recv().await else { return };
    let mut kept = Kept { headers, body: Vec::new(), trailers: None, ended, last: false, limit };
    let mut made = 0;
    while let Some(cluster) = tries.cluster(made) {
        made += 1;
        let Attempt { right, end } = match open(cluster) {
            Ok(attempt) => attempt,
            Err(reply) => return drop(left.responses.send(Event::Reply(reply)).await),
        };
        let pending = kept.frames();
        kept.last |= made == tries.most;
        let ended = attempt(&mut left, right, pending, &mut kept, &tries).await;
        if let Ended::Over = ended {
            return;
        }
        // What its filters have done to the headers stays done, as in Envoy (H20); the body is as it came.
        if let Ok(Some(headers)) = end.await {
            kept.headers = headers;
        }
        if let Ended::Late = ended {
            return drop(left.responses.send(Event::Failed(Failure::Late)).await);
        }
        tokio::select! {
            () = left.responses.closed() => return,
            () = tokio::time::sleep(tries.wait(made, chance())) => {}
        }
    }
}

/// One of the things that an attempt waits for.
enum Happened {
    ClientLeft,
    Expired,
    Heard(Event),
    Writable(bool),
    Asked(Frame),
}

/// One attempt, and if its answer goes on all of that.
async fn attempt(
    left: &mut Left,
    mut right: Right,
    mut pending: VecDeque<Frame>,
    kept: &mut Kept,
    tries: &Tries,
) -> Ended {
    let late = || tries.retry.per_try_timeout.map(|time| Instant::now() + time);
    let mut answered = false;
    let mut until = if kept.ended { late() } else { None };
    loop {
        let happened = tokio::select! {
            biased;
            () = left.responses.closed() => Happened::ClientLeft,
            event = right.responses.recv() => {
                Happened::Heard(event.unwrap_or(Event::Failed(Failure::Reset)))
            }
            open = writable(Some(&right.requests)), if !pending.is_empty() => Happened::Writable(open),
            frame = left.requests.recv(), if pending.is_empty() && !kept.ended => {
                frame.map_or(Happened::ClientLeft, Happened::Asked)
            }
            () = alarm(until) => Happened::Expired,
        };
        match happened {
            Happened::ClientLeft => return Ended::Over,
            Happened::Expired if !kept.last && tries.takes(&Event::Failed(Failure::Late)) => {
                return Ended::Failed;
            }
            Happened::Expired => return Ended::Late,
            Happened::Writable(open) => {
                let sent = pending.pop_front().filter(|_| open).map(|frame| right.requests.try_send(frame));
                if !matches!(sent, Some(Ok(()))) {
                    // The upstream takes no more; it may have answered already.
                    pending.clear();
                }
            }
            Happened::Asked(frame) => {
                kept.keep(&frame);
                pending.push_back(frame);
                until = if kept.ended && !answered { late() } else { None };
            }
            Happened::Heard(event) => {
                if !answered && !kept.last && tries.takes(&event) {
                    return Ended::Failed;
                }
                (answered, kept.last, until) = (true, true, None);
                let last = match &event {
                    Event::Frame(frame) => is_last(frame),
                    Event::Reply(_) | Event::Failed(_) => true,
                };
                if left.responses.send(event).await.is_err() || last {
                    return Ended::Over;
                }
            }
        }
    }
}

impl Kept {
    /// The request as far as it has come. The body is in one piece, however it came.
    fn frames(&self) -> VecDeque<Frame> {
        let no_trailers = self.trailers.is_none();
        let alone = self.ended && self.body.is_empty() && no_trailers;
        let mut frames = VecDeque::from([Frame::Headers(self.headers.clone(), alone)]);
        if !self.body.is_empty() {
            frames.push_back(Frame::Data(self.body.clone(), self.ended && no_trailers));
        }
        frames.extend(self.trailers.clone().map(Frame::Trailers));
        frames
    }

    /// Keeps a frame, unless that is too much: then the attempt that is being made is the last, as in Envoy.
    fn keep(&mut self, frame: &Frame) {
        self.ended = is_last(frame);
        match frame {
            Frame::Data(bytes, _) if !self.last => self.body.extend(bytes),
            Frame::Trailers(map) => self.trailers = Some(map.clone()),
            Frame::Data(..) | Frame::Headers(..) => {}
        }
        self.last |= self.body.len() > self.limit;
        if self.last {
            self.body = Vec::new();
        }
    }
}

/// A number by chance.
fn chance() -> u32 {
    RandomState::new().hash_one(0) as u32
}

#[cfg(test)]
#[path = "retry_tests.rs"]
mod tests;
