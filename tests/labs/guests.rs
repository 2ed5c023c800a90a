//! host-sim runs modules that have nothing to do with the gateway: what the Rust SDK's example filters do, written with
//! the SDK's own means. Where Envoy can do the same, it is asked too.

use std::time::{Duration, Instant};

use labs::bench::{BOUNDS, Bench};
use labs::{Ask, Host, lab};
use mock_provider::Script;

lab!(a_filter_may_see_all_headers_and_answer_in_place_of_the_upstream, |host| {
    let bench = Bench::up(host, "headers");
    let hello = bench.send(&Ask::get("/hello"));
    assert_eq!(
        (hello.status, hello.text().as_str(), hello.header("powered-by")),
        (200, "Hello!\n", Some("proxy-wasm"))
    );
    let other = bench.send(&Ask::get("/a"));
    assert_eq!((other.status, other.header("x-seen")), (200, Some("yes")));
});

lab!(a_filter_may_hold_an_answer_and_replace_it, |host| {
    let bench = Bench::up(host, "body");
    let plain = bench.send(&Ask::post("/a", "nothing to hide"));
    assert!(plain.text().ends_with("nothing to hide"), "{}", plain.text());
    let redacted = bench.send(&Ask::post("/a", "a secret"));
    assert!(redacted.text().starts_with("Original message body ("), "{}", redacted.text());
    assert!(redacted.complete);
});

lab!(a_filter_may_ask_a_service_before_it_lets_a_request_pass, |host| {
    let bench = Bench::up(host, "auth:b");
    bench.b.play(Script { text: Some("yes".into()), echo: true, ..Script::default() });
    let reply = bench.send(&Ask::get("/a"));
    assert!(reply.text().contains("\nx-asked: "), "{}", reply.text());
    assert_eq!(bench.b.requests()[0].path, "/may-i");
    bench.b.play(Script { status: 402, ..Script::default() });
    let refused = bench.send(&Ask::get("/a"));
    assert_eq!(
        (refused.status, refused.text().as_str(), refused.header("x-service")),
        (403, "Access forbidden.\n", Some("402"))
    );
    bench.b.play(Script { delay: Duration::from_secs(2), ..Script::default() });
    let late = bench.send(&Ask::get("/a"));
    assert_eq!((late.status, late.header("x-service")), (403, Some("504")));
    assert_eq!(bench.a.requests().len(), 1);
});

lab!(a_server_may_be_a_socket_in_the_file_system, |host| {
    let bench = Bench::up(host, "headers");
    for _ in 0..3 {
        let reply = bench.send(&Ask::get("/socket"));
        assert!(reply.status == 200 && reply.text().ends_with("/socket"), "{}", reply.text());
    }
});

lab!(a_service_that_is_not_there_is_noticed_when_it_is_called, |host| {
    let reply = Bench::up(host, "auth:nowhere").send(&Ask::get("/a"));
    assert_eq!((reply.status, reply.text().as_str()), (500, "no such cluster\n"));
    let dead = Bench::up(host, "auth:dead").send(&Ask::get("/a"));
    assert_eq!((dead.status, dead.header("x-service")), (403, Some("503")));
});

lab!(a_filter_has_a_configuration_and_an_environment_and_no_files, |host| {
    let configured = Bench::up(host, "config:some value").send(&Ask::get("/a"));
    assert_eq!(configured.header("custom-header"), Some("some value"));
    let told = Bench::up(host, "env").send(&Ask::get("/a"));
    assert_eq!(told.text(), "hello\nNo such file or directory (os error 44)");
});

lab!(a_plugin_ticks_and_shares_what_it_knows_with_its_streams, |host| {
    let bench = Bench::up(host, "clock");
    let ticks = || bench.send(&Ask::get("/a")).text().parse().unwrap_or(0);
    let (first, begun): (u32, _) = (ticks(), Instant::now());
    while ticks() <= first {
        assert!(begun.elapsed() < Duration::from_secs(5), "the clock stands still");
    }
});

lab!(a_queue_wakes_the_plugin_that_has_registered_it, |host| {
    let bench = Bench::up(host, "queue");
    for _ in 0..5 {
        assert_eq!(bench.send(&Ask::get("/a")).status, 200);
    }
    let begun = Instant::now();
    loop {
        let metrics = Ask::get("/stats/prometheus").send(bench.admin).text();
        if metrics.lines().any(|line| line.starts_with("queued_total") && line.ends_with(" 5")) {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(5), "not all five were queued");
        std::thread::sleep(Duration::from_millis(20));
    }
});

#[test]
fn a_guest_that_never_comes_back_costs_its_own_request_and_no_more() {
    // Envoy has no such bound: there the worker hangs.
    let bench = Bench::up(Host::Sim, "endless");
    std::thread::sleep(Duration::from_millis(1100));
    let begun = Instant::now();
    let reply = bench.send(&Ask::get("/a").header("x-be-endless", "yes"));
    assert_eq!(reply.status, 503);
    assert!(begun.elapsed() < BOUNDS.callback + Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(bench.send(&Ask::get("/a")).status, 200);
}

lab!(a_guest_that_takes_all_the_memory_is_replaced, |host| {
    let bench = Bench::up(host, "greedy");
    std::thread::sleep(Duration::from_millis(1100));
    assert_eq!(bench.send(&Ask::get("/a").header("x-be-greedy", "yes")).status, 503);
    std::thread::sleep(Duration::from_millis(1100));
    assert_eq!(bench.send(&Ask::get("/a")).status, 200);
});
