//! What every store promises, tried on all of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::StreamExt;

use super::*;

/// A Monday, ten in the morning, ten seconds into the minute.
pub(super) const BEGUN: u64 = 1_767_607_210_000;

/// A store with a clock that stands still.
pub(super) struct Bench {
    pub store: Store,
    clock: Arc<AtomicU64>,
    server: Option<server::Server>,
}

impl Bench {
    pub fn new(kind: &str) -> Option<Bench> {
        let clock = Arc::new(AtomicU64::new(BEGUN));
        let read = clock.clone();
        let now: Clock = Arc::new(move || read.load(Ordering::Relaxed));
        let (store, server) = match kind {
            "memory" => (Store::Memory(Memory::new(now, 10_000)), None),
            version => {
                let server = server::start(version)?;
                let redis = Redis::new(server.url().parse().unwrap(), "turnpike").with_clock(now);
                (Store::Redis(Box::new(redis)), Some(server))
            }
        };
        Some(Bench { store, clock, server })
    }

    pub fn now(&self) -> u64 {
        self.clock.load(Ordering::Relaxed)
    }

    pub fn pass(&self, seconds: u64) {
        self.clock.fetch_add(seconds * 1000, Ordering::Relaxed);
    }

    async fn reserve(&self, request: &str, takes: &[Take]) -> Reserved {
        self.store.reserve(&reserve(request, takes)).await.unwrap()
    }

    async fn held(&self, request: &str, takes: &[Take]) -> Vec<u64> {
        match self.reserve(request, takes).await {
            Reserved::Held(indexes, _) => indexes,
            other => panic!("{other:?}"),
        }
    }

    async fn is_denied(&self, request: &str, takes: &[Take]) -> bool {
        matches!(self.reserve(request, takes).await, Reserved::Denied(_))
    }

    async fn settle(&self, request: &str, takes: &[Take], indexes: &[u64], used: &[u64]) -> Outcome {
        self.store.settle(&settlement(request, takes, indexes, used)).await.unwrap()
    }

    /// What a counter says, to who asks for nothing of it.
    async fn count(&self, take: &Take) -> (u64, u64) {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let nothing = Take { amount: 0, enforce: false, counter: take.counter.clone(), max: take.max };
        let request = format!("look-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let takes = [nothing];
        let Reserved::Held(indexes, counts) = self.reserve(&request, &takes).await else { panic!() };
        self.settle(&request, &takes, &indexes, &[0]).await;
        // Its own reservation is open.
        (counts[0].used, counts[0].open - 1)
    }
}

pub(super) fn reserve(request: &str, takes: &[Take]) -> Reserve {
    let amounts: Vec<String> =
        takes.iter().map(|take| format!("{}={}", take.counter.id, take.amount)).collect();
    let digest = crate::ticket::digest(&[amounts.join(",").as_bytes()]);
    Reserve { request: request.into(), digest, takes: takes.to_vec(), times: Times::of_lease(100) }
}

pub(super) fn settlement(request: &str, takes: &[Take], indexes: &[u64], used: &[u64]) -> Settlement {
    let uses = takes.iter().zip(indexes).zip(used).map(|((take, index), used)| Used {
        id: take.counter.id.clone(),
        leased: take.counter.leased,
        index: *index,
        reserved: take.amount,
        used: *used,
    });
    let digest = reserve(request, takes).digest;
    Settlement { request: request.into(), digest, uses: uses.collect() }
}

/// A fixed window of so many seconds, leased if it is longer than the lease of these tests.
pub(super) fn fixed(id: &str, seconds: u64, max: u64, amount: u64) -> Take {
    let counter = Counter { id: id.into(), window: seconds * 1000, sliding: false, leased: seconds > 100 };
    Take { counter, max, amount, enforce: true }
}

pub(super) fn sliding(id: &str, seconds: u64, max: u64, amount: u64) -> Take {
    let take = fixed(id, seconds, max, amount);
    Take { counter: Counter { sliding: true, ..take.counter }, ..take }
}

/// One test for each store.
macro_rules! stores {
    ($name:ident, |$bench:ident| $body:block) => {
        mod $name {
            use super::*;
            async fn with(kind: &str) {
                let Some($bench) = Bench::new(kind) else { return };
                $body
            }
            #[tokio::test]
            async fn in_memory() {
                with("memory").await;
            }
            #[tokio::test]
            async fn in_redis_7() {
                with("7").await;
            }
            #[tokio::test]
            async fn in_redis_8() {
                with("8").await;
            }
        }
    };
}
pub(super) use stores;

stores!(a_hundred_at_once_do_not_overspend, |bench| {
    let takes = [fixed("a", 3600, 1000, 50), fixed("b", 60, 5000, 1)];
    let requests: Vec<Reserve> = (0..100).map(|at| reserve(&format!("r{at}"), &takes)).collect();
    let answers =
        futures_util::future::join_all(requests.iter().map(|request| bench.store.reserve(request))).await;
    let held = answers.iter().filter(|answer| matches!(answer, Ok(Reserved::Held(..)))).count();
    assert_eq!(held, 20);
    assert_eq!((bench.count(&takes[0]).await, bench.count(&takes[1]).await), ((1000, 20), (20, 20)));
});

stores!(a_thousand_endings_of_every_kind_add_up_to_what_was_used, |bench| {
    let takes = [fixed("a", 3600, 100_000, 10), sliding("b", 900, 100_000, 5)];
    let endings = (0..1000_u64).map(|at| {
        let (bench, takes) = (&bench, &takes);
        async move {
            let request = format!("r{at}");
            let indexes = bench.held(&request, takes).await;
            // Some never, some with nothing, some with more than was reserved, all of them twice at once.
            let used = [at % 13, at % 7];
            let settle = || bench.settle(&request, takes, &indexes, &used);
            if at % 5 == 0 {
                return [0, 0];
            }
            let (one, two) = futures_util::future::join(settle(), settle()).await;
            assert!(one != two, "once");
            used
        }
    });
    let settled: Vec<[u64; 2]> = futures_util::stream::iter(endings).buffer_unordered(50).collect().await;
    let used = |at: usize| settled.iter().map(|used| used[at]).sum::<u64>();
    assert_eq!(bench.count(&takes[0]).await, (used(0) + 200 * 10, 200));
    assert_eq!(bench.count(&takes[1]).await, (used(1) + 200 * 5, 200));
    bench.pass(100);
    // Some at a time.
    for _ in 0..4 {
        bench.count(&takes[0]).await;
        bench.count(&takes[1]).await;
    }
    assert_eq!(bench.count(&takes[0]).await, (used(0), 0));
    assert_eq!(bench.count(&takes[1]).await, (used(1), 0));
});

stores!(all_limits_give_or_none_does, |bench| {
    let (wide, narrow) = (fixed("wide", 3600, 100, 5), fixed("narrow", 60, 3, 4));
    assert!(bench.is_denied("r", &[wide.clone(), narrow.clone()]).await);
    assert_eq!((bench.count(&wide).await, bench.count(&narrow).await), ((0, 0), (0, 0)));
    let Reserved::Denied(counts) = bench.reserve("s", &[wide, narrow]).await else { panic!() };
    assert_eq!(counts.iter().map(|count| count.exceeded).collect::<Vec<_>>(), [false, true]);
    assert_eq!((counts[1].reset, counts[0].used), (50_000, 0));
});

stores!(a_monitored_limit_counts_and_never_denies, |bench| {
    let take = Take { enforce: false, ..fixed("a", 60, 3, 4) };
    let Reserved::Held(_, counts) = bench.reserve("r", std::slice::from_ref(&take)).await else { panic!() };
    assert!(counts[0].exceeded);
    assert_eq!(bench.count(&take).await, (4, 1));
});

stores!(a_request_that_comes_again_takes_once, |bench| {
    let takes = [fixed("a", 3600, 10, 6)];
    let first = bench.held("r", &takes).await;
    assert_eq!(bench.held("r", &takes).await, first);
    assert_eq!(bench.count(&takes[0]).await, (6, 1));
    assert_eq!(bench.reserve("r", &[fixed("a", 3600, 10, 1)]).await, Reserved::Conflict);
    assert_eq!(bench.reserve("r", &[fixed("b", 3600, 10, 6)]).await, Reserved::Conflict);
});

stores!(what_was_used_takes_the_place_of_what_was_reserved_once, |bench| {
    let takes = [fixed("a", 3600, 100, 60), fixed("b", 60, 100, 10)];
    let indexes = bench.held("r", &takes).await;
    assert_eq!(bench.settle("r", &takes, &indexes, &[20, 15]).await, Outcome::Settled);
    assert_eq!(bench.settle("r", &takes, &indexes, &[20, 15]).await, Outcome::Known);
    assert_eq!((bench.count(&takes[0]).await, bench.count(&takes[1]).await), ((20, 0), (15, 0)));
    assert_eq!(bench.settle("never-asked", &takes, &indexes, &[1, 1]).await, Outcome::Known);
});

stores!(a_fixed_window_ends_at_its_edge_and_a_late_settlement_does_not_reach_the_next, |bench| {
    let takes = [fixed("a", 60, 10, 10)];
    let indexes = bench.held("r", &takes).await;
    bench.pass(49);
    assert!(bench.is_denied("s", &takes).await);
    bench.pass(1);
    let next = bench.held("t", &takes).await;
    assert_eq!(next, [indexes[0] + 1]);
    bench.settle("r", &takes, &indexes, &[1]).await;
    assert_eq!(bench.count(&takes[0]).await, (10, 1));
});

stores!(a_sliding_window_forgets_in_proportion, |bench| {
    let takes = [sliding("a", 60, 100, 60)];
    let indexes = bench.held("r", &takes).await;
    bench.pass(50);
    assert_eq!(bench.count(&takes[0]).await, (60, 0));
    bench.pass(30);
    assert_eq!(bench.count(&takes[0]).await, (30, 0));
    // It goes to the bucket that it was taken from.
    bench.settle("r", &takes, &indexes, &[20]).await;
    assert_eq!(bench.count(&takes[0]).await, (10, 0));
    bench.pass(29);
    assert_eq!(bench.count(&takes[0]).await, (1, 0));
    bench.pass(1);
    assert_eq!(bench.count(&takes[0]).await, (0, 0));
});

stores!(what_nobody_settles_is_given_back_after_its_lease, |bench| {
    let takes = [fixed("day", 86_400, 10, 10), fixed("minute", 60, 100, 10)];
    let indexes = bench.held("r", &takes).await;
    bench.pass(99);
    assert!(bench.is_denied("s", &takes).await);
    bench.pass(1);
    let others = bench.held("t", &takes).await;
    assert_eq!(bench.count(&takes[0]).await, (10, 1));
    // Who comes after all has used what it has used.
    assert_eq!(bench.settle("r", &takes, &indexes, &[3, 3]).await, Outcome::Settled);
    assert_eq!(bench.count(&takes[0]).await, (13, 1));
    bench.settle("t", &takes, &others, &[4, 4]).await;
    assert_eq!(bench.count(&takes[0]).await, (7, 0));
});

stores!(a_clock_that_goes_back_opens_no_window_again, |bench| {
    let takes = [fixed("a", 60, 10, 10)];
    bench.pass(50);
    let indexes = bench.held("r", &takes).await;
    bench.clock.fetch_sub(20_000, Ordering::Relaxed);
    assert!(bench.is_denied("s", &takes).await);
    bench.settle("r", &takes, &indexes, &[0]).await;
    assert_eq!(bench.held("t", &takes).await, indexes);
});

stores!(the_greatest_numbers_are_exact, |bench| {
    let takes = [fixed("a", 3600, MOST, MOST - 1)];
    let indexes = bench.held("r", &takes).await;
    assert!(bench.is_denied("s", &[fixed("a", 3600, MOST, 2)]).await);
    bench.held("t", &[fixed("a", 3600, MOST, 1)]).await;
    assert_eq!(bench.count(&takes[0]).await.0, MOST);
    let beyond = Take { enforce: false, ..fixed("a", 3600, MOST, MOST) };
    bench.held("u", &[beyond]).await;
    assert_eq!(bench.count(&takes[0]).await.0, MOST);
    bench.settle("r", &takes, &indexes, &[0]).await;
    assert_eq!(bench.count(&takes[0]).await.0, 1);
    assert!(!bench.is_denied("v", &[fixed("b", 3600, 0, 0)]).await);
});

stores!(a_spent_budget_is_denied_until_its_window_ends, |bench| {
    let takes = [fixed("a", 60, 10, 10), fixed("other", 60, 10, 0)];
    let indexes = bench.held("r", &takes).await;
    assert!(bench.is_denied("s", &takes).await, "but not for good: it is only reserved");
    bench.settle("r", &takes, &indexes, &[10, 0]).await;
    for request in ["t", "u"] {
        let Reserved::Denied(counts) = bench.reserve(request, &takes).await else { panic!() };
        let denied = Count { of: 0, used: 10, open: 0, reset: 50_000, exceeded: true };
        assert_eq!(counts[0], denied);
    }
    assert!(!bench.is_denied("v", &[fixed("a", 60, 20, 5)]).await, "another maximum is another question");
    bench.pass(50);
    assert!(!bench.is_denied("w", &takes).await);
});

stores!(every_key_ends, |bench| {
    let takes = [fixed("a", 86_400, 100, 1), sliding("b", 60, 100, 1), fixed("c", 1, 100, 1)];
    for at in 0..5 {
        let indexes = bench.held(&format!("r{at}"), &takes).await;
        if at % 2 == 0 {
            bench.settle(&format!("r{at}"), &takes, &indexes, &[2, 2, 2]).await;
        }
        bench.pass(70);
    }
    match &bench.server {
        Some(server) => {
            let keys = server.keys();
            assert!(keys.len() > 5 && keys.iter().all(|(_, ttl)| *ttl != -1), "{keys:?}");
        }
        None => {
            bench.pass(2 * 86_400);
            bench.count(&fixed("d", 1, 1, 1)).await;
            bench.pass(2);
            bench.store.reserve(&reserve("last", &[fixed("e", 1, 0, 1)])).await.unwrap();
            let Store::Memory(memory) = &bench.store else { panic!() };
            assert_eq!(memory.keys(), 0);
        }
    }
});

stores!(a_window_that_is_gone_stays_gone, |bench| {
    let Some(server) = &bench.server else { return };
    let takes = [fixed("a", 3600, 100, 10)];
    let indexes = bench.held("r", &takes).await;
    server.ask("DEL {turnpike}:c:a");
    assert_eq!(bench.settle("r", &takes, &indexes, &[50]).await, Outcome::Settled);
    assert_eq!(server.ask("EXISTS {turnpike}:c:a"), "0");
});

#[tokio::test]
async fn memory_has_a_bound_and_says_so() {
    let store = Store::Memory(Memory::new(Arc::new(|| BEGUN), 5));
    let mut answers = Vec::new();
    for id in ["a", "b", "c"] {
        answers.push(store.reserve(&reserve(id, &[fixed(id, 60, 1, 1)])).await);
    }
    assert!(answers[0].is_ok() && answers[1].is_ok());
    assert_eq!(answers[2], Err(Failed::Full(5)));
}
