//! What a reservation costs against counting alone, in the same run, on a Redis 7 of its own:
//! `cargo run --release -p sidecar --example reservations [TASKS] [SECONDS]`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../tests/support/redis.rs"]
mod server;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sidecar::store::{
    Clock, Counter, Memory, Redis, Reserve, Reserved, Settlement, Store, Take, Times, Used,
};

const LIMITS: [&str; 4] = ["user", "team", "model", "all"];

#[tokio::main]
async fn main() {
    let mut args = std::env::args().skip(1).map(|arg| arg.parse::<u64>().unwrap());
    let (tasks, seconds) = (args.next().unwrap_or(64), args.next().unwrap_or(3));
    let server = server::start_with("7", &[]).expect("tests/setup redis");
    let client = redis::Client::open(server.url()).unwrap();
    let link = client.get_multiplexed_async_connection().await.unwrap();
    let incr = measure(&server, tasks, seconds, "INCRBY and EXPIRE, 4 keys", move |_, _| {
        let mut link = link.clone();
        async move {
            let mut pipe = redis::pipe();
            for limit in LIMITS {
                pipe.cmd("INCRBY").arg(limit).arg(1).cmd("EXPIRE").arg(limit).arg(3600);
            }
            pipe.query_async::<()>(&mut link).await.unwrap();
        }
    })
    .await;
    let store = || Arc::new(Store::Redis(Box::new(Redis::new(server.url().parse().unwrap(), "bench"))));
    for (what, window, settle) in [
        ("reserve, 4 limits of a minute", 60, false),
        ("reserve and settle, 4 limits of a minute", 60, true),
        ("reserve and settle with leases, 4 limits of a day", 86_400, true),
    ] {
        server.ask("FLUSHALL");
        let store = store();
        let rate = measure(&server, tasks, seconds, what, move |task, at| {
            one(store.clone(), task, at, window, settle)
        })
        .await;
        println!("{:>60}", format!("{:.2} times INCRBY's rate", rate / incr));
    }
    let now: Clock = Arc::new(|| {
        u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
    });
    let memory = Arc::new(Store::Memory(Memory::new(now, usize::MAX)));
    measure(&server, tasks, seconds, "in memory: reserve and settle, 4 limits", move |task, at| {
        one(memory.clone(), task, at, 60, true)
    })
    .await;
}

async fn one(store: Arc<Store>, task: u64, at: u64, window: u64, settle: bool) {
    let takes: Vec<Take> = LIMITS
        .iter()
        .map(|name| Take {
            counter: Counter {
                id: (*name).into(),
                window: window * 1000,
                sliding: false,
                leased: window > 600,
            },
            max: 1 << 50,
            amount: 100,
            enforce: true,
        })
        .collect();
    let (request, digest) = (format!("{task}-{at}"), "d".repeat(22));
    let reserve =
        Reserve { request: request.clone(), digest: digest.clone(), takes, times: Times::of_lease(600) };
    let Reserved::Held(indexes, _) = store.reserve(&reserve).await.unwrap() else { panic!("denied") };
    if settle {
        let uses = reserve.takes.iter().zip(indexes).map(|(take, index)| Used {
            id: take.counter.id.clone(),
            leased: take.counter.leased,
            index,
            reserved: 100,
            used: 40,
        });
        store.settle(&Settlement { request, digest, uses: uses.collect() }).await.unwrap();
    }
}

async fn measure<F: Future<Output = ()> + Send>(
    server: &server::Server,
    tasks: u64,
    seconds: u64,
    what: &str,
    work: impl Fn(u64, u64) -> F + Clone + Send + 'static,
) -> f64 {
    let (before, begun) = (cpu(server), Instant::now());
    let done = Arc::new(AtomicU64::new(0));
    let running = (0..tasks).map(|task| {
        let (work, done) = (work.clone(), done.clone());
        tokio::spawn(async move {
            let mut at = 0;
            while begun.elapsed() < Duration::from_secs(seconds) {
                work(task, at).await;
                done.fetch_add(1, Ordering::Relaxed);
                at += 1;
            }
        })
    });
    for task in running.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    #[expect(clippy::cast_precision_loss)]
    let done = done.load(Ordering::Relaxed) as f64;
    let rate = done / begun.elapsed().as_secs_f64();
    println!("{what:<52}{rate:>8.0}/s {:>6.1} us of Redis each", (cpu(server) - before) * 1e6 / done);
    rate
}

/// Seconds of the server's processor time.
fn cpu(server: &server::Server) -> f64 {
    let info = server.ask("INFO cpu");
    let value = |name: &str| -> f64 {
        info.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .unwrap()
            .trim()
            .parse()
            .unwrap()
    };
    value("used_cpu_user") + value("used_cpu_sys")
}
