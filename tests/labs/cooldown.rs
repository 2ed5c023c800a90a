//! A model that is in trouble is left alone for a while, by all workers.

use std::net::SocketAddr;
use std::thread::sleep;
use std::time::Duration;

use labs::policies::{options, route, upstream};
use labs::{Ask, Gateway, Host, lab};
use mock_provider::{Mock, Script};

fn mock(script: Script) -> Mock {
    Mock::start("127.0.0.1:0".parse().unwrap(), script).unwrap()
}

fn failing(status: u16) -> Script {
    Script { status, ..Script::default() }
}

fn busy(seconds: &str) -> Script {
    Script { headers: vec![("retry-after".into(), seconds.into())], ..failing(429) }
}

/// A gateway with a first provider and a second one, and this cooldown.
fn gateway(host: Host, first: SocketAddr, second: SocketAddr, cooldown: &str) -> Gateway {
    let backup = "backups: [{upstreamRef: {name: second}}]";
    let failover = format!("ai: {{failover: {{{backup}, cooldown: {{{cooldown}}}}}}}");
    let policies = upstream("openai", first, "authToken: {inline: a}")
        + &upstream("second", second, "authToken: {inline: b}")
        + &options("RouteOption", "HTTPRoute", "openai", &failover)
        + &route("/openai", "openai", "");
    Gateway::up(host, &policies)
}

/// The statuses that so many requests are answered with, each on a connection of its own, so that all workers serve.
fn ask(gateway: &Gateway, requests: usize) -> Vec<u16> {
    (0..requests).map(|_| gateway.send(&Ask::chat("/openai")).status).collect()
}

lab!(a_model_that_asks_to_be_left_alone_is, |host| {
    let (first, second) = (mock(busy("2")), mock(Script::default()));
    let gateway = gateway(host, first.address(), second.address(), "");
    assert_eq!(ask(&gateway, 20), [200; 20]);
    assert_eq!(first.requests().len(), 1, "all workers have heard of it");
    gateway.await_metric(r#"turnpike_skipped_total{route="lab/openai",target="lab/openai"} 19"#);
    gateway.await_metric(r#"turnpike_attempts_total{target="lab/openai",outcome="rate_limited"} 1"#);
    first.play(Script::default());
    sleep(Duration::from_millis(2200));
    assert_eq!(ask(&gateway, 3), [200; 3]);
    assert_eq!(first.requests().len(), 4, "after its time it has its turn again");
});

lab!(so_many_failures_in_a_row_are_trouble_too, |host| {
    let (first, second) = (mock(failing(500)), mock(Script::default()));
    let gateway = gateway(host, first.address(), second.address(), "failures: 3, time: 1500ms");
    assert_eq!(ask(&gateway, 10), [200; 10]);
    assert_eq!(first.requests().len(), 3);
    sleep(Duration::from_millis(1700));
    // It has one more chance, and when that fails is left alone at once.
    assert_eq!(ask(&gateway, 5), [200; 5]);
    assert_eq!(first.requests().len(), 4);
    first.play(Script::default());
    sleep(Duration::from_millis(1700));
    assert_eq!(ask(&gateway, 3), [200; 3]);
    assert_eq!(first.requests().len(), 7);
});

lab!(a_model_that_hangs_up_is_in_trouble_and_a_client_that_leaves_is_not, |host| {
    let (first, second) = (mock(Script { hang_up: true, ..Script::default() }), mock(Script::default()));
    let up = gateway(host, first.address(), second.address(), "failures: 2");
    assert_eq!(ask(&up, 6), [200; 6]);
    assert_eq!(first.requests().len(), 2);
    first.play(Script { delay: Duration::from_millis(400), ..Script::default() });
    first.forget();
    let up = gateway(host, first.address(), second.address(), "failures: 1");
    for left in 1..=3 {
        let (stream, _) = Ask::chat("/openai").start(up.address);
        while first.requests().len() < left {
            std::thread::yield_now();
        }
        drop(stream);
        up.await_metric(&format!(
            r#"turnpike_attempts_total{{target="lab/openai",outcome="abandoned"}} {left}"#
        ));
    }
    assert_eq!(ask(&up, 1), [200]);
    assert_eq!(second.requests().len(), 6, "none of these");
});

lab!(when_all_are_in_trouble_the_least_bad_is_asked, |host| {
    let (first, second) = (mock(busy("30")), mock(busy("20")));
    let gateway = gateway(host, first.address(), second.address(), "failures: 100");
    assert_eq!(ask(&gateway, 5), [429; 5]);
    assert_eq!((first.requests().len(), second.requests().len()), (1, 5));
    second.play(Script::default());
    assert_eq!(ask(&gateway, 2), [200; 2]);
});

lab!(a_wait_is_believed_within_bounds, |host| {
    let (first, second) = (mock(busy("3600")), mock(Script::default()));
    let gateway = gateway(host, first.address(), second.address(), "maxRetryAfter: 1s");
    assert_eq!(ask(&gateway, 4), [200; 4]);
    assert_eq!(first.requests().len(), 1);
    sleep(Duration::from_millis(1200));
    assert_eq!(ask(&gateway, 4), [200; 4]);
    assert_eq!(first.requests().len(), 2);
});
