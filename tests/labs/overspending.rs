//! However many ask at once, and however requests end: no budget is overspent, and none is forgotten.

use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use labs::gateway::Start;
use labs::policies::{budgets, options, patient, route, upstream};
use labs::sidecar::Sidecar;
use labs::sidecar::redis::{self, Server};
use labs::{Ask, Gateway, Host, lab};
use mock_provider::{Mock, Script};
use rustix::process::Signal;
use serde_json::json;

/// A window that ends in July 2027.
const LONG: u64 = 300 * 86_400;

fn mock(script: Script) -> Mock {
    Mock::start("127.0.0.1:0".parse().unwrap(), script).unwrap()
}

fn three_words() -> Mock {
    mock(Script { text: Some("Hello my friend".into()), ..Script::default() })
}

/// How many of so many requests at once are let pass, each by the next of these gateways.
fn passed(gateways: &[&Gateway], requests: usize) -> usize {
    let good = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for at in 0..requests {
            let (gateway, good) = (gateways[at % gateways.len()], &good);
            scope.spawn(move || {
                let status = gateway.send(&Ask::chat("/openai")).status;
                assert!(status == 200 || status == 429, "{status}");
                good.fetch_add(usize::from(status == 200), Ordering::Relaxed);
            });
        }
    });
    good.load(Ordering::Relaxed)
}

/// How often it has been asked what is left.
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// How much is left of the budget `b`, without a key, as its sidecar says.
fn left(sidecar: &str, max: u64) -> u64 {
    let limit = json!({
        "name": "b", "key": "", "max": max, "windowSeconds": LONG, "window": "fixed", "mode": "monitor",
        "amount": {"constant": 0, "perInput": 0, "estimate": 0},
    });
    let id = format!("left-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let ask = Ask::post("/v1/admit", json!({"request": id, "limits": [limit]}).to_string());
    let said = ask.send(sidecar.parse().unwrap()).json();
    let item = json!({"items": [{"reservation": said["reservation"], "used": [0]}]});
    Ask::post("/v1/settle", item.to_string()).send(sidecar.parse().unwrap());
    said["limits"][0]["remaining"].as_u64().unwrap_or_else(|| panic!("{said}"))
}

/// Waits until so much is left and nothing is reserved.
fn await_settled(sidecar: &str, max: u64, expected: u64) {
    let begun = Instant::now();
    loop {
        let now = left(sidecar, max);
        if now == expected {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(15), "{now} of {max} are left, and not {expected}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A gateway that asks this sidecar.
fn beside(host: Host, sidecar: &Sidecar, policies: &str) -> Gateway {
    Start::new(host, policies).arg("--sidecar").arg(&sidecar.address).up()
}

fn every_redis(test: impl Fn(Server)) {
    redis::VERSIONS.into_iter().filter_map(redis::start).for_each(test);
}

lab!(of_a_hundred_at_once_twenty_pass_with_one_worker_and_with_several, |host| {
    let provider = three_words();
    for (workers, list) in [
        ("1", format!("{{name: b, counts: requests, max: 20, per: {LONG}}}")),
        // "Say hello." has 12 tokens by Gloo's formula.
        ("3", format!("{{name: b, counts: prompt, max: {}, per: {LONG}}}", 12 * 20)),
    ] {
        let policies = patient(&budgets(provider.address(), &list));
        let gateway = Start::new(host, &policies).arg("--workers").arg(workers).up();
        assert_eq!(passed(&[&gateway], 100), 20, "{workers} workers");
    }
});

lab!(two_gateways_and_two_sidecars_share_one_budget_in_redis, |host| {
    let provider = three_words();
    let list = format!("{{name: b, counts: requests, max: 20, per: {LONG}}}");
    let policies = patient(&budgets(provider.address(), &list));
    every_redis(|server| {
        let up = || Start::new(host, &policies).arg("--redis").arg(&server.url()).up();
        let (one, other) = (up(), up());
        assert!(one.banner.contains("Redis at 127.0.0.1"), "{}", one.banner);
        assert_eq!(passed(&[&one, &other], 100), 20);
    });
});

lab!(what_models_write_is_not_overspent_where_requests_bound_it, |host| {
    let provider = three_words();
    let sidecar = Sidecar::start("127.0.0.1:0", &[]);
    let list = format!("{{name: b, counts: output, max: 40, per: {LONG}}}");
    let gateway = beside(host, &sidecar, &patient(&budgets(provider.address(), &list)));
    let body = r#"{"model":"m","max_tokens":10,"messages":[{"role":"user","content":"Say hello."}]}"#;
    let each =
        Ask::post("/v1/chat/completions", body).send(provider.address()).json()["usage"]["completion_tokens"]
            .as_u64()
            .unwrap();
    let good = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..50 {
            scope.spawn(|| {
                let status = gateway.send(&Ask::post("/openai", body)).status;
                good.fetch_add(usize::from(status == 200), Ordering::Relaxed);
            });
        }
    });
    let good = good.load(Ordering::Relaxed) as u64;
    assert!(good >= 4 && good * each <= 40, "{good} of {each} tokens");
    await_settled(&sidecar.address, 40, 40 - good * each);
});

/// Doors to providers that do well, fail, think for long, and are guarded; one budget for all of them.
fn doors(good: &Mock, bad: &Mock, slow: &Mock, max: u64) -> String {
    let key = "authToken: {inline: sk}";
    let mut text = upstream("good", good.address(), key)
        + &upstream("bad", bad.address(), key)
        + &upstream("slow", slow.address(), key);
    let budget = format!("budgets: [{{name: b, counts: total, max: {max}, per: {LONG}, estimate: 50}}]");
    let guard = "ai: {promptGuard: {request: {regex: {matches: [{pattern: hello}], action: REJECT}}}}";
    let chain = "ai: {failover: {backups: [{upstreamRef: {name: good}}]}}";
    for (door, to, more) in [
        ("good", "good", ""),
        ("bad", "bad", ""),
        ("slow", "slow", ""),
        ("guarded", "good", guard),
        ("chain", "bad", chain),
    ] {
        let all = if more.is_empty() { budget.clone() } else { format!("{budget}, {more}") };
        let option = options("RouteOption", "HTTPRoute", door, &all);
        text += &option.replace("name: access", &format!("name: {door}"));
        text += &route(&format!("/{door}"), to, "");
    }
    text
}

/// Sends a request and leaves before it is answered.
fn leave(gateway: &Gateway) {
    let body = r#"{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Say hello."}]}"#;
    let mut stream = TcpStream::connect(gateway.address).unwrap();
    let head = format!(
        "POST /slow HTTP/1.1\r\nhost: h\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
    std::thread::sleep(Duration::from_millis(150));
}

lab!(a_thousand_requests_with_mixed_endings_leave_the_counter_at_what_was_used, |host| {
    let (good, bad) = (three_words(), mock(Script { status: 500, ..Script::default() }));
    let slow = mock(Script { delay: Duration::from_secs(5), ..Script::default() });
    let Some(server) = redis::start("7") else { return };
    let sidecar = Sidecar::start("127.0.0.1:0", &["--redis", &server.url()]);
    let max = 1_000_000;
    let gateway = beside(host, &sidecar, &patient(&doors(&good, &bad, &slow, max)));
    let each = Ask::chat("/v1/chat/completions").send(good.address()).json()["usage"]["total_tokens"]
        .as_u64()
        .unwrap();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..32 {
            scope.spawn(|| {
                while let Ok(at) = next
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |at| (at < 1000).then_some(at + 1))
                {
                    let (ask, status) = match at % 10 {
                        0 => {
                            leave(&gateway);
                            continue;
                        }
                        1 | 2 => (Ask::chat_stream("/good"), 200),
                        3 => (Ask::chat("/bad"), 500),
                        4 => (Ask::chat("/guarded"), 403),
                        5 => (Ask::chat("/chain"), 200),
                        _ => (Ask::chat("/good"), 200),
                    };
                    assert_eq!(gateway.send(&ask).status, status, "{at}");
                }
            });
        }
    });
    // 700 were answered; 100 were left alone when a provider had read their prompt of 12 tokens.
    await_settled(&sidecar.address, max, max - 700 * each - 100 * 12);
    let open: Vec<String> = server
        .keys()
        .into_iter()
        .map(|(key, _)| server.ask(&format!("GET {key}")))
        .filter(|counter| counter.split(':').count() == 4 && !counter.ends_with(":0"))
        .collect();
    assert!(open.is_empty(), "still reserved: {open:?}");
    assert!(server.keys().iter().all(|(_, ttl)| *ttl > 0), "a key without an end");
});

lab!(a_sidecar_that_is_killed_under_load_loses_no_counter, |host| {
    let provider = three_words();
    let Some(server) = redis::start("8") else { return };
    let up = || Sidecar::start("127.0.0.1:0", &["--redis", &server.url()]);
    let mut sidecar = up();
    let address = sidecar.address.clone();
    let max = 60;
    let list = format!("{{name: b, counts: requests, max: {max}, per: {LONG}}}");
    let gateway = beside(host, &sidecar, &budgets(provider.address(), &list));
    let good = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..25 {
                    let status = gateway.send(&Ask::chat("/openai")).status;
                    assert!([200, 429, 503].contains(&status), "{status}");
                    good.fetch_add(usize::from(status == 200), Ordering::Relaxed);
                    std::thread::sleep(Duration::from_millis(40));
                }
            });
        }
        std::thread::sleep(Duration::from_millis(200));
        sidecar.end();
        std::thread::sleep(Duration::from_millis(300));
        sidecar = Sidecar::start(&address, &["--redis", &server.url()]);
    });
    let good = good.load(Ordering::Relaxed) as u64;
    assert!(good <= max, "{good} of {max}");
    // What was reserved by answers that got lost comes back, and the counter is what has passed.
    await_settled(&address, max, max - good);
});

lab!(a_gateway_that_is_killed_under_load_lets_no_more_through, |host| {
    let provider = mock(Script { delay: Duration::from_millis(100), ..Script::default() });
    let Some(server) = redis::start("7") else { return };
    let sidecar = Sidecar::start("127.0.0.1:0", &["--redis", &server.url(), "--lease", "3"]);
    let max = 40;
    let list = format!("{{name: b, counts: requests, max: {max}, per: {LONG}}}");
    let policies = budgets(provider.address(), &list);
    let mut gateway = beside(host, &sidecar, &policies);
    let address = gateway.address;
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(move || {
                for _ in 0..3 {
                    // It may be cut off in the middle.
                    let _ = std::panic::catch_unwind(|| Ask::chat("/openai").send(address));
                }
            });
        }
        std::thread::sleep(Duration::from_millis(150));
        labs::gateway::send_signal(gateway.worker_pid(), Signal::KILL);
    });
    gateway.wait();
    drop(gateway);
    let gateway = beside(host, &sidecar, &policies);
    // Until the leases of those that were killed have ended.
    std::thread::sleep(Duration::from_secs(4));
    passed(&[&gateway], 100);
    let all = provider.requests().len() as u64;
    // Eight were being served, and eight may have ended in the last tenth of a second.
    assert!(all >= max && all <= max + 16, "{all} of {max}");
    await_settled(&sidecar.address, max, 0);
});

lab!(a_redis_that_is_killed_under_load_lets_no_more_through_and_comes_back, |host| {
    let provider = three_words();
    every_redis(|mut server| {
        let sidecar = Sidecar::start("127.0.0.1:0", &["--redis", &server.url()]);
        let max = 60;
        let list = format!("{{name: b, counts: requests, max: {max}, per: {LONG}}}");
        let gateway = beside(host, &sidecar, &budgets(provider.address(), &list));
        provider.forget();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..40 {
                        let status = gateway.send(&Ask::chat("/openai")).status;
                        assert!([200, 429, 503].contains(&status), "{status}");
                        std::thread::sleep(Duration::from_millis(40));
                    }
                });
            }
            std::thread::sleep(Duration::from_millis(100));
            server.kill();
            std::thread::sleep(Duration::from_millis(300));
            server.again();
        });
        let all = provider.requests().len() as u64;
        assert!(all <= max && all > 20, "{all} of {max}");
        await_settled(&sidecar.address, max, max - all);
    });
});
