//! What hosts do with a filter: the facts that the module is built on, numbered as in ARCHITECTURE.md, each shown on
//! host-sim and on the real Envoy.

use std::time::{Duration, Instant};

use labs::bench::Bench;
use labs::{Ask, Host, lab};
use mock_provider::Script;

fn post(path: &str) -> Ask {
    Ask::post(path, "0123456789")
}

lab!(h1_a_filter_that_holds_the_headers_gets_the_body_as_it_grows, |host| {
    let bench = Bench::up(host, "probe");
    let (_, trace) = bench.probe(post("/a"), "request_headers=pause;request_body=pause");
    assert!(trace.starts_with("request_headers end=false\n"), "{trace}");
    // Whatever the pieces were, the last callback has all of it.
    assert!(trace.contains("\nrequest_end 10\n"), "{trace}");
});

lab!(h1_what_is_held_goes_on_whole_when_a_later_callback_lets_it, |host| {
    let bench = Bench::up(host, "probe");
    let (reply, _) = bench.probe(
        post("/a"),
        "request_headers=pause,set-request x-late no;request_body=pause;request_end=set-request x-late yes",
    );
    assert!(
        reply.text().contains("\nx-late: yes\n") && reply.text().ends_with("0123456789"),
        "{}",
        reply.text()
    );
});

lab!(h2_headers_that_have_gone_on_can_be_neither_read_nor_set, |host| {
    let bench = Bench::up(host, "probe");
    let (_, trace) = bench.probe(
        post("/a"),
        "request_end=get-request x-id,set-request a b;response_headers=get-request x-id,set-request a b,set-response a b;response_end=set-response c d,get-response a",
    );
    assert_eq!(
        trace.matches("  get-request x-id -> status 2").count(),
        trace.matches("get-request").count(),
        "{trace}"
    );
    assert_eq!(
        trace.matches("  set-request a b -> status 2").count(),
        trace.matches("set-request").count(),
        "{trace}"
    );
    assert!(trace.contains("  set-response a b -> ok"), "{trace}");
    assert!(trace.contains("  set-response c d -> status 2"), "{trace}");
});

lab!(h5_a_later_callback_that_does_not_wait_lets_everything_go, |host| {
    let bench = Bench::up(host, "probe");
    bench.a.play(Script { delay: Duration::from_secs(2), ..Script::default() });
    // The headers wait for a call that takes its time; the body does not, and takes them along.
    let (reply, trace) = bench.probe(post("/b"), "request_headers=call a /x,pause");
    assert_eq!(reply.status, 200);
    let before = trace.split("response_headers").next().unwrap();
    assert!(!before.contains("call status="), "{trace}");
});

lab!(h6_a_reply_of_the_filter_s_own_comes_back_through_its_response_callbacks, |host| {
    let bench = Bench::up(host, "probe");
    let (reply, trace) = bench.probe(
        Ask::get("/a"),
        "request_headers=reply 418 tea,pause;response_headers=property response/code_details",
    );
    assert_eq!((reply.status, reply.text().as_str(), reply.header("x-by")), (418, "tea", Some("probe")));
    assert!(trace.contains("response_headers end=false"), "{trace}");
    assert!(trace.contains("response_end 3"), "{trace}");
    assert_eq!(bench.a.requests().len(), 0);
});

lab!(h6_a_reply_takes_the_place_of_an_answer_that_has_begun, |host| {
    let bench = Bench::up(host, "probe");
    let (reply, trace) = bench.probe(Ask::get("/a"), "response_headers=reply 502 instead,pause");
    assert_eq!((reply.status, reply.text().as_str()), (502, "instead"));
    assert_eq!(trace.matches("response_headers").count(), 1, "the replacement is not shown again: {trace}");
});

lab!(h7_a_call_that_breaks_off_has_no_headers_and_one_that_fails_has_the_host_s, |host| {
    let bench = Bench::up(host, "probe");
    let call = |cluster: &str| {
        let script = format!("request_headers=call {cluster} /x,pause;call=resume-request");
        let (reply, trace) = bench.probe(Ask::get("/b"), &script);
        assert_eq!(reply.status, 200, "{trace}");
        trace.lines().find(|line| line.starts_with("call")).unwrap_or("no answer").to_owned()
    };
    assert!(call("a").starts_with("call status=200 "), "{}", call("a"));
    assert!(call("dead").starts_with("call status=503 "), "{}", call("dead"));
    bench.a.play(Script { delay: Duration::from_secs(2), ..Script::default() });
    assert!(call("a").starts_with("call status=504 "), "{}", call("a"));
    let (_, trace) = bench.probe(Ask::get("/b"), "request_headers=call nowhere /x");
    assert!(trace.contains("  call nowhere /x -> status 2"), "{trace}");
});

lab!(h8_the_route_is_the_one_of_the_headers_as_they_are_at_the_end, |host| {
    let bench = Bench::up(host, "probe");
    let (reply, trace) =
        bench.probe(Ask::get("/a"), "request_headers=property xds/route_name,set-request :path /b/x");
    assert!(reply.text().starts_with("GET /b/x HTTP/1.1"), "{}", reply.text());
    assert!(trace.contains("  property xds/route_name -> a"), "{trace}");
    assert_eq!((bench.a.requests().len(), bench.b.requests().len()), (0, 1));
});

lab!(h9_the_host_s_own_answers_say_in_their_details_what_they_are, |host| {
    let bench = Bench::up(host, "probe");
    bench.a.play(Script { delay: Duration::from_secs(2), ..Script::default() });
    for (path, status, details) in [
        ("/b", 200, "via_upstream"),
        ("/dead", 503, "upstream_reset_before_response_started{"),
        ("/empty", 503, "no_healthy_upstream"),
        ("/lost", 503, "cluster_not_found"),
        ("/slow", 504, "response_timeout"),
        ("/other", 404, "route_not_found"),
    ] {
        let (reply, trace) = bench.probe(Ask::get(path), "response_headers=property response/code_details");
        assert_eq!(reply.status, status, "{path}");
        let said = trace.split("property response/code_details -> ").nth(1).unwrap_or_default();
        assert!(said.starts_with(details), "{path}: {trace}");
    }
});

lab!(h9_a_body_that_is_too_long_to_hold_is_a_413_of_the_host_s, |host| {
    let bench = Bench::up(host, "probe");
    let ask = Ask::post("/a", "x".repeat(3 << 20));
    let (reply, trace) = bench.probe(
        ask,
        "request_headers=pause;request_body=pause;response_headers=property response/code_details",
    );
    assert_eq!(reply.status, 413);
    assert!(trace.contains("property response/code_details -> request_payload_too_large"), "{trace}");
});

lab!(h10_only_the_beginning_of_a_buffer_can_be_replaced_or_its_end_added_to, |host| {
    let bench = Bench::up(host, "probe");
    let steps = "splice 0 3 abcde,body,splice 0 0 >,body,splice 99 0 <,body,splice 4 2 x";
    let script = format!("request_headers=pause;request_body=pause;request_end={steps}");
    let (reply, trace) = bench.probe(post("/a").chunked(), &script);
    let results: Vec<&str> = trace.lines().filter_map(|line| line.strip_prefix("  ")).collect();
    assert_eq!(
        results,
        [
            "splice 0 3 abcde -> ok",
            "body -> abcde34567",
            "splice 0 0 > -> ok",
            "body -> >abcde3456",
            "splice 99 0 < -> ok",
            "body -> >abcde3456",
            "splice 4 2 x -> status 2",
        ]
    );
    assert!(reply.text().ends_with("\n>abcde3456789<"), "{}", reply.text());
});

lab!(h11_a_request_that_has_lost_its_scheme_has_no_route, |host| {
    let bench = Bench::up(host, "probe");
    let (reply, trace) = bench.probe(Ask::get("/a"), "request_headers=remove-request x-forwarded-proto");
    assert_eq!(reply.status, 404, "{trace}");
    assert!(trace.contains("  remove-request x-forwarded-proto -> ok"), "{trace}");
    assert_eq!(bench.a.requests().len(), 0);
});

lab!(h13_what_a_filter_leaves_with_the_stream_the_upstream_filter_finds, |host| {
    let bench = Bench::up(host, "probe");
    let script = "request_headers=property-to-request lab.note x-note,set-property lab.note hello,property lab.note,property xds/cluster_name";
    let (reply, trace) = bench.probe(Ask::get("/up"), script);
    assert!(trace.contains("property lab.note -> hello\n  property xds/cluster_name -> up"), "{trace}");
    // The downstream filter found none and said so in the header; the upstream filter said what it found there.
    assert!(reply.text().contains("\nx-note: hello\n"), "{}", reply.text());
});

lab!(h14_a_call_to_a_cluster_runs_its_filters_without_what_the_stream_holds, |host| {
    let bench = Bench::up(host, "probe");
    let script = "request_headers=set-property lab.note hello,call up /x,pause;call=resume-request";
    let (reply, trace) = bench.probe(Ask::get("/b"), script);
    assert_eq!(reply.status, 200, "{trace}");
    assert!(trace.contains("call status=200"), "{trace}");
    assert_eq!(bench.a.requests().len(), 1);
});

lab!(h14_a_call_to_a_filter_in_the_same_vm_is_the_end_of_it, |host| {
    let bench = Bench::up(host, "probe");
    let ask = Ask::get("/b").header("x-id", "1").header("x-probe", "request_headers=call same /x,pause");
    assert_eq!(bench.send(&ask).status, 503);
});

lab!(h15_a_guest_that_dies_takes_its_request_and_the_next_ones_for_a_second, |host: Host| {
    let bench = Bench::up(host, "probe");
    let get = |script: &str| bench.send(&Ask::get("/a").header("x-id", "1").header("x-probe", script)).status;
    // Envoy adds up to half of the second, by chance.
    std::thread::sleep(Duration::from_millis(1700));
    assert_eq!(get("request_headers=trap"), 503);
    assert_eq!(get(""), 200, "a fresh VM, since the last was loaded more than a second ago");
    assert_eq!(get("request_headers=trap"), 503);
    assert_eq!(get(""), 503, "too early for another");
    let begun = Instant::now();
    while get("") != 200 {
        assert!(begun.elapsed() < Duration::from_secs(10), "it never comes back");
        std::thread::sleep(Duration::from_millis(100));
    }
});

lab!(h16_a_call_to_a_cluster_without_servers_fails_at_once, |host| {
    let bench = Bench::up(host, "probe");
    let (reply, trace) = bench.probe(Ask::get("/b"), "request_headers=call empty /x,call nowhere /x");
    assert_eq!(reply.status, 200);
    let said: Vec<&str> = trace.lines().filter(|line| line.contains("call")).collect();
    assert_eq!(said, ["  call empty /x -> status 10", "  call nowhere /x -> status 2"]);
});

lab!(h16_going_on_before_the_callback_has_returned_works_too, |host| {
    let bench = Bench::up(host, "probe");
    let (reply, _) = bench.probe(Ask::get("/b"), "request_headers=resume-request,pause");
    assert_eq!(reply.status, 200);
});

lab!(h17_a_stream_that_waits_can_be_seen_changed_and_let_go_from_a_tick, |host| {
    let bench = Bench::up(host, "probe");
    let script = "request_headers=wait,pause;request_body=pause;request_end=pause;\
                  woken=get-request content-length,body,set-request x-late yes,splice 0 3 abc,resume-request";
    let (reply, trace) = bench.probe(post("/a"), script);
    assert_eq!(reply.status, 200, "{trace}");
    let woken = trace.split("woken\n").nth(1).unwrap_or_default();
    assert!(
        woken.starts_with(
            "  get-request content-length -> 10\n  body -> 0123456789\n  set-request x-late yes -> ok\n  \
             splice 0 3 abc -> ok\n  resume-request -> ok"
        ),
        "{trace}"
    );
    assert!(
        reply.text().contains("\nx-late: yes\n") && reply.text().ends_with("abc3456789"),
        "{}",
        reply.text()
    );
});

lab!(h17_a_stream_that_waits_can_be_answered_from_a_tick, |host| {
    let bench = Bench::up(host, "probe");
    let (reply, trace) = bench.probe(
        post("/a"),
        "request_headers=wait,pause;request_body=pause;request_end=pause;woken=reply 418 tea",
    );
    assert_eq!((reply.status, reply.text().as_str()), (418, "tea"), "{trace}");
    assert_eq!(bench.a.requests().len(), 0);
});

lab!(h26_nothing_cannot_be_counted, |host| {
    let bench = Bench::up(host, "probe");
    let (_, trace) = bench.probe(Ask::get("/a"), "request_headers=count some 2,count some 0");
    assert!(
        trace.contains("  count some 2 -> ok") && trace.contains("  count some 0 -> status 2"),
        "{trace}"
    );
});

lab!(h27_what_a_filter_leaves_at_the_very_end_is_in_the_access_log, |host| {
    let bench = Bench::up(host, "probe");
    let leave = |ask: Ask, script: &str| bench.probe(ask, script).1;
    let trace = leave(Ask::get("/a"), "log=set-property lab.line at-the-end");
    assert!(trace.contains("  set-property lab.line at-the-end -> ok"), "{trace}");
    leave(Ask::get("/a"), "request_headers=set-property lab.line first;log=set-property lab.line last");
    leave(Ask::get("/dead"), "log=set-property lab.line unreachable");
    leave(Ask::get("/other"), "log=set-property lab.line lost");
    leave(Ask::get("/a"), "request_headers=reply 418 tea,pause;log=set-property lab.line replied");
    assert_eq!(bench.logged(5), ["at-the-end", "last", "unreachable", "lost", "replied"]);
    // `on_done` comes after it, and a stream without the property has no line.
    leave(Ask::get("/a"), "done=set-property lab.line too-late");
    leave(Ask::get("/a"), "log=set-property lab.line next");
    assert_eq!(bench.logged(6).last().unwrap(), "next");
    // A client that leaves.
    bench.a.play(Script { delay: Duration::from_secs(5), ..Script::default() });
    let ask = Ask::get("/a").header("x-id", "left").header("x-probe", "log=set-property lab.line left");
    let before = bench.a.requests().len();
    let (client, begun) = ask.start(bench.address);
    while bench.a.requests().len() == before && begun.elapsed() < Duration::from_secs(3) {
        std::thread::sleep(Duration::from_millis(10));
    }
    drop(client);
    assert_eq!(bench.logged(7).last().unwrap(), "left");
});
