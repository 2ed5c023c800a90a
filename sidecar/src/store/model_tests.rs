//! Reserving, settling, forgetting and waiting in any order, against a model that only adds up what it has seen.

use super::suite::{Bench, fixed, reserve, settlement, sliding, stores};
use super::*;

/// What the model remembers of one reservation.
#[derive(Debug)]
struct Seen {
    request: String,
    takes: Vec<Take>,
    indexes: Vec<u64>,
    at: u64,
    used: Option<Vec<u64>>,
}

const LEASE: u64 = 100_000;
const TERM: u64 = 600_000;

/// What a window's reservations add up to: what was used where that is known, nothing where a lease has ended.
fn sum(seen: &[Seen], counter: &Counter, index: u64, now: u64) -> (u64, u64) {
    let (mut used, mut open) = (0, 0);
    for seen in seen {
        for (at, take) in seen.takes.iter().enumerate() {
            if take.counter.id == counter.id && seen.indexes[at] == index {
                let forgotten = counter.leased && now >= seen.at + LEASE;
                match &seen.used {
                    Some(uses) => used += uses[at],
                    None if forgotten => {}
                    None => (used, open) = (used + take.amount, open + 1),
                }
            }
        }
    }
    (used, open)
}

fn count(seen: &[Seen], counter: &Counter, now: u64) -> (u64, u64) {
    let index = now / counter.window;
    let (used, open) = sum(seen, counter, index, now);
    let left = (index + 1) * counter.window - now;
    let last = if counter.sliding { sum(seen, counter, index - 1, now).0 } else { 0 };
    (used + (last * left).div_ceil(counter.window), open)
}

/// Xorshift: the same numbers for the same seed.
struct Lots(u64);

impl Lots {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

fn takes(lots: &mut Lots) -> Vec<Take> {
    let mut amount = || lots.below(12);
    let all = [
        fixed("minute", 60, 40, amount()),
        sliding("minutes", 60, 50, amount()),
        fixed("hour", 3600, 300, amount()),
        sliding("quarter", 900, 200, amount()),
        Take { enforce: false, ..fixed("watched", 3600, 50, amount()) },
    ];
    let mask = 1 + lots.below(31);
    all.into_iter().enumerate().filter(|(at, _)| mask >> at & 1 == 1).map(|(_, take)| take).collect()
}

async fn step(bench: &Bench, lots: &mut Lots, seen: &mut Vec<Seen>, at: u64) {
    let now = bench.now();
    match lots.below(10) {
        0 | 1 => bench.pass(lots.below(40)),
        2..5 => {
            // Any that can still be settled, again and again some of them.
            let able: Vec<usize> = (0..seen.len()).filter(|at| now < seen[*at].at + TERM).collect();
            if !able.is_empty() {
                let chosen = &mut seen[able[usize::try_from(lots.below(able.len() as u64)).unwrap()]];
                let used: Vec<u64> = chosen.takes.iter().map(|take| lots.below(take.amount + 1)).collect();
                let asked = settlement(&chosen.request, &chosen.takes, &chosen.indexes, &used);
                bench.store.settle(&asked).await.unwrap();
                chosen.used.get_or_insert(used);
            }
        }
        _ => admit(bench, takes(lots), seen, format!("r{at}")).await,
    }
}

async fn admit(bench: &Bench, takes: Vec<Take>, seen: &mut Vec<Seen>, request: String) {
    let now = bench.now();
    let before: Vec<u64> = takes.iter().map(|take| count(seen, &take.counter, now).0).collect();
    let denied = takes.iter().zip(&before).any(|(take, used)| take.enforce && used + take.amount > take.max);
    let indexes: Vec<u64> = takes.iter().map(|take| now / take.counter.window).collect();
    let counts = match bench.store.reserve(&reserve(&request, &takes)).await.unwrap() {
        Reserved::Held(held, counts) => {
            assert!(!denied, "{request} was let in");
            assert_eq!(held, indexes);
            seen.push(Seen { request, takes: takes.clone(), indexes, at: now, used: None });
            counts
        }
        Reserved::Denied(counts) => {
            assert!(denied, "{request} was kept out");
            counts
        }
        Reserved::Conflict => panic!("{request}"),
    };
    for told in &counts {
        let take = &takes[told.of];
        let (used, open) = count(seen, &take.counter, now);
        assert_eq!(told.exceeded, before[told.of] + take.amount > take.max);
        assert!(denied || !take.enforce || used <= take.max);
        if denied && counts.len() == 1 {
            // Known to be spent, and how far was known some seconds ago.
            assert!(told.used <= used);
        } else {
            assert_eq!((told.used, told.open), (used, open), "{}", take.counter.id);
        }
    }
}

async fn run(bench: &Bench, seed: u64, steps: u64) {
    let mut lots = Lots(seed);
    let mut seen = Vec::new();
    for at in 0..steps {
        step(bench, &mut lots, &mut seen, at).await;
    }
    // In the end everything that can be is settled: nothing is open, and what is counted is what was used.
    let now = bench.now();
    for seen in seen.iter_mut().filter(|seen| seen.used.is_none() && now < seen.at + TERM) {
        let used: Vec<u64> = seen.takes.iter().map(|take| take.amount / 2).collect();
        let asked = settlement(&seen.request, &seen.takes, &seen.indexes, &used);
        bench.store.settle(&asked).await.unwrap();
        seen.used = Some(used);
    }
    let hour = Take { enforce: false, ..fixed("hour", 3600, 300, 0) };
    admit(bench, vec![hour.clone()], &mut seen, "the-last".into()).await;
    assert_eq!(count(&seen, &hour.counter, now).1, 1);
}

stores!(any_order_of_events_counts_as_the_model_does, |bench| {
    run(&bench, 0x9e37_79b9_7f4a_7c15, 4000).await;
});

#[tokio::test]
async fn a_hundred_other_orders_count_as_the_model_does() {
    for seed in 1..=100 {
        let bench = Bench::new("memory").unwrap();
        run(&bench, 0x2545_f491_4f6c_dd1d_u64.wrapping_mul(seed), 1000).await;
    }
}
