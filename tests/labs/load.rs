//! Ten thousand requests, thirty-two at a time: none is lost, and memory does not grow.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use labs::policies::{keyed, options, route, simple, upstream};
use labs::{Gateway, Host, lab};
use mock_provider::{Mock, Script};

/// Sends so many requests, so many at a time, every fourth streamed. The number of good answers.
fn load(to: SocketAddr, requests: usize, at_once: usize) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (left, good) = (Arc::new(AtomicUsize::new(requests)), Arc::new(AtomicUsize::new(0)));
    runtime.block_on(async {
        let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
        let tasks: Vec<_> = (0..at_once)
            .map(|_| {
                let (client, left, good) = (client.clone(), Arc::clone(&left), Arc::clone(&good));
                tokio::spawn(async move {
                    while let Ok(number) =
                        left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |it| it.checked_sub(1))
                    {
                        good.fetch_add(
                            usize::from(ask(&client, to, number % 4 == 0).await),
                            Ordering::Relaxed,
                        );
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    good.load(Ordering::Relaxed)
}

async fn ask(
    client: &Client<hyper_util::client::legacy::connect::HttpConnector, Full<Bytes>>,
    to: SocketAddr,
    stream: bool,
) -> bool {
    let prompt = "word ".repeat(200);
    let body =
        format!(r#"{{"model":"m","stream":{stream},"messages":[{{"role":"user","content":"{prompt}"}}]}}"#);
    let request =
        http::Request::post(format!("http://{to}/openai")).header("content-type", "application/json");
    let Ok(response) = client.request(request.body(Full::new(Bytes::from(body))).unwrap()).await else {
        return false;
    };
    let status = response.status();
    let Ok(body) = response.into_body().collect().await else { return false };
    let text = String::from_utf8_lossy(&body.to_bytes()).into_owned();
    let whole =
        if stream { text.ends_with("data: [DONE]\n\n") } else { text.contains("\"finish_reason\":\"stop\"") };
    status == 200 && whole
}

/// The memory that a process has in use, in kilobytes.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

lab!(ten_thousand_requests_lose_none_and_leave_memory_flat, |host: Host| {
    let script = Script { text: Some("A short answer.".into()), ..Script::default() };
    let provider = Mock::start_told("127.0.0.1:0".parse().unwrap(), script, |_| {}).unwrap();
    let gateway = Gateway::up(host, &simple(provider.address()));
    // The first ones fill pools and caches that stay.
    assert_eq!(load(gateway.address, 2_000, 32), 2_000);
    let before = resident(gateway.worker_pid());
    assert_eq!(load(gateway.address, 10_000, 32), 10_000);
    let after = resident(gateway.worker_pid());
    // What is there before is an Envoy or an engine; what ten thousand requests leave must not be a share of each.
    assert!(after < before + 12_000, "{before} KB before, {after} KB after");
    gateway.await_metric(r#"turnpike_requests_total{route="lab/openai",reason="ok"} 12000"#);
});

lab!(a_thousand_requests_whose_first_model_fails_have_each_one_answer, |host: Host| {
    let mock = |status| {
        let script = Script { status, ..Script::default() };
        Mock::start("127.0.0.1:0".parse().unwrap(), script).unwrap()
    };
    let (first, second) = (mock(429), mock(200));
    let failover = "ai: {failover: {backups: [{upstreamRef: {name: second}}]}}";
    let policies = keyed("openai", first.address(), "sk-a")
        + &upstream("second", second.address(), "authToken: {inline: sk-b}")
        + &options("RouteOption", "HTTPRoute", "openai", failover)
        + &route("/openai", "openai", "");
    let gateway = Gateway::up(host, &policies);
    assert_eq!(load(gateway.address, 1_000, 64), 1_000);
    for (provider, key) in [(&first, "Bearer sk-a"), (&second, "Bearer sk-b")] {
        let requests = provider.requests();
        assert_eq!(requests.len(), 1_000);
        assert!(requests.iter().all(|it| it.header("authorization") == Some(key)));
    }
    gateway.await_metric(r#"turnpike_requests_total{route="lab/openai",reason="ok"} 1000"#);
    gateway.await_metric(r#"turnpike_attempts_total{target="lab/openai",outcome="rate_limited"} 1000"#);
    gateway.await_metric(r#"turnpike_attempts_total{target="lab/second",outcome="ok"} 1000"#);
});
