//! Counters in Redis, 6 or later, or Valkey. Each question is one script, and the clock is the server's: processes agree.
//!
//! All keys have one hash tag, so that the limits of a request live in one slot of a cluster and are taken in one step.
//! No key is without an end.

use redis::Value;

use super::connection::{Connection, Script};
use super::spent::Spent;
use super::{Clock, Count, Failed, Outcome, Place, Reserve, Reserved, Settlement};

const RESERVE: &str = include_str!("reserve.lua");
const SETTLE: &str = include_str!("settle.lua");

/// Counters in Redis.
#[derive(Debug)]
pub struct Redis {
    connection: Connection,
    prefix: String,
    reserve: Script,
    settle: Script,
    spent: Spent,
    /// Another clock than the server's: for tests.
    clock: Option<ClockOf>,
}

struct ClockOf(Clock);

impl Redis {
    /// Does not connect yet. Every key begins with the prefix in braces.
    pub fn new(place: Place, prefix: &str) -> Redis {
        Redis {
            connection: Connection::new(place),
            prefix: format!("{{{prefix}}}"),
            reserve: Script::new(RESERVE.into()),
            settle: Script::new(SETTLE.into()),
            spent: Spent::default(),
            clock: None,
        }
    }

    /// Goes by another clock than the server's, for tests. Keys still end by the server's.
    #[must_use]
    pub fn with_clock(mut self, clock: Clock) -> Redis {
        let time = "{ ARGV[#ARGV - 1], ARGV[#ARGV] }";
        self.reserve = Script::new(RESERVE.replace("redis.call('TIME')", time));
        self.spent = Spent::new(clock.clone());
        self.clock = Some(ClockOf(clock));
        self
    }

    pub(super) fn is_open(&self) -> bool {
        self.connection.is_open()
    }

    pub(super) async fn ready(&self) -> Result<(), Failed> {
        self.connection.ping().await
    }

    pub(super) async fn reserve(&self, reserve: &Reserve) -> Result<Reserved, Failed> {
        if let Some(denied) = self.spent.denies(&reserve.takes) {
            return Ok(denied);
        }
        let keys = self.keys(&reserve.request, reserve.takes.iter().map(|take| &take.counter.id));
        let mut args = vec![reserve.request.clone(), reserve.digest.clone()];
        args.extend([reserve.times.lease.to_string(), reserve.times.term.to_string()]);
        for take in &reserve.takes {
            args.extend([take.counter.window.to_string(), flag(take.counter.sliding), take.max.to_string()]);
            args.extend([take.amount.to_string(), flag(take.enforce), flag(take.counter.leased)]);
        }
        if let Some(ClockOf(clock)) = &self.clock {
            let now = clock();
            args.extend([(now / 1000).to_string(), (now % 1000 * 1000).to_string()]);
        }
        let answer = self.connection.eval(&self.reserve, &keys, &args).await?;
        let reserved = read(answer).ok_or_else(strange)?;
        if let Reserved::Denied(counts) = &reserved {
            self.spent.remember(&reserve.takes, counts);
        }
        Ok(reserved)
    }

    pub(super) async fn settle(&self, settlement: &Settlement) -> Result<Outcome, Failed> {
        let keys = self.keys(&settlement.request, settlement.uses.iter().map(|used| &used.id));
        let mut args = vec![settlement.request.clone(), settlement.digest.clone()];
        for used in &settlement.uses {
            args.extend([used.index.to_string(), used.reserved.to_string()]);
            args.extend([used.used.to_string(), flag(used.leased)]);
        }
        match self.connection.eval(&self.settle, &keys, &args).await? {
            Value::Int(1) => Ok(Outcome::Settled),
            Value::Int(0) => Ok(Outcome::Known),
            _ => Err(strange()),
        }
    }

    fn keys<'a>(&self, request: &str, counters: impl Iterator<Item = &'a String> + Clone) -> Vec<String> {
        let prefix = &self.prefix;
        let mut keys = vec![format!("{prefix}:r:{request}")];
        keys.extend(counters.clone().map(|id| format!("{prefix}:c:{id}")));
        keys.extend(counters.map(|id| format!("{prefix}:h:{id}")));
        keys
    }
}

fn flag(on: bool) -> String {
    u8::from(on).to_string()
}

fn strange() -> Failed {
    Failed::Away("it gave an answer that is none of ours".into())
}

/// What the script returns, as it says in its head.
fn read(answer: Value) -> Option<Reserved> {
    let (status, indexes, numbers): (i64, String, Vec<u64>) = match answer {
        Value::Array(mut values) if values.len() >= 2 => {
            let numbers =
                values.split_off(2).into_iter().map(redis::from_redis_value).collect::<Result<_, _>>();
            let indexes = redis::from_redis_value(values.pop()?).ok()?;
            (redis::from_redis_value(values.pop()?).ok()?, indexes, numbers.ok()?)
        }
        _ => return None,
    };
    let counts = numbers.as_chunks().0.iter().enumerate().map(|(of, &[used, open, reset, exceeded])| Count {
        of,
        used,
        open,
        reset,
        exceeded: exceeded == 1,
    });
    match status {
        1 => {
            let indexes = indexes.split(',').map(str::parse).collect::<Result<_, _>>().ok()?;
            Some(Reserved::Held(indexes, counts.collect()))
        }
        0 => Some(Reserved::Denied(counts.collect())),
        -1 => Some(Reserved::Conflict),
        _ => None,
    }
}

impl std::fmt::Debug for ClockOf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a clock")
    }
}
