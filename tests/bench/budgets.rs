//! What a question to the sidecar adds to a request, and what a reservation costs against counting alone.

use std::process::Command;
use std::time::Instant;

use labs::gateway::Start;
use labs::policies::{budgets, simple};
use labs::sidecar::{Sidecar, redis};
use labs::{Ask, Gateway, Host, project};
use mock_provider::{Mock, Script};

use crate::envoys::{cost_at, post};
use crate::rounds::{ROUNDS, median, medians};

/// Prints both tables.
pub fn report() {
    let Some(server) = redis::start_with("7", &[]) else { return };
    let provider = Mock::start_told(
        "127.0.0.1:0".parse().unwrap(),
        Script { text: Some("Hello.".into()), ..Script::default() },
        |_| {},
    )
    .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let socket = format!("unix:{}", folder.path().join("sidecar").display());
    let memory = Sidecar::start("127.0.0.1:0", &[]);
    let tcp = Sidecar::start("127.0.0.1:0", &["--redis", &server.url()]);
    let unix = Sidecar::start(&socket, &["--redis", &server.url()]);
    let list =
        "{name: user, counts: total, max: 9000000000, per: day, key: [{of: {header: x-user}, default: a}]},
                {name: all, counts: requests, max: 9000000000, per: minute}";
    let policies = budgets(provider.address(), list);
    let up =
        |sidecar: &Sidecar| Start::new(Host::Envoy, &policies).arg("--sidecar").arg(&sidecar.address).up();
    let plain = Gateway::up(Host::Envoy, &simple(provider.address()));
    let (in_memory, over_tcp, over_unix) = (up(&memory), up(&tcp), up(&unix));
    let body = format!(
        r#"{{"model":"gpt-4o-mini","max_tokens":100,"messages":[{{"role":"user","content":"{}"}}]}}"#,
        "How are you? ".repeat(75)
    );
    let request = post("/openai", &body);
    let cost = |gateway: &Gateway| cost_at(gateway.address, gateway.worker_pid(), 2000, |_| request.clone());
    let took = |gateway: &Gateway| latency(gateway, &body);
    let figures = |figure: &dyn Fn(&Gateway) -> f64| {
        medians([&|| figure(&plain), &|| figure(&in_memory), &|| figure(&over_tcp), &|| figure(&over_unix)])
    };
    println!("\nbudgets: two of them, a chat of 1 KB, in Envoy; medians of {ROUNDS} in turns\n");
    println!("| | no budget | counters in memory | in Redis | in Redis, unix socket to the sidecar |");
    println!("|---|---|---|---|---|");
    for (what, figures) in [
        ("microseconds of Envoy's processor time", figures(&cost)),
        ("microseconds until the answer, one at a time", figures(&took)),
    ] {
        let [alone, rest @ ..] = figures;
        let rest = rest.map(|it| format!("{it:.0} ({:.1} x)", it / alone));
        println!("| {what} | {alone:.0} | {} |", rest.join(" | "));
    }
    drop((plain, in_memory, over_tcp, over_unix, memory, tcp, unix));
    println!("\nreservations by themselves, 64 at a time:\n");
    let example = ["run", "--release", "-q", "-p", "sidecar", "--example", "reservations"];
    let status = Command::new("cargo").args(example).current_dir(project::root()).status().unwrap();
    assert!(status.success());
}

/// The median time of a request that is alone.
fn latency(gateway: &Gateway, body: &str) -> f64 {
    let mut times = Vec::new();
    for _ in 0..200 {
        let begun = Instant::now();
        assert_eq!(gateway.send(&Ask::post("/openai", body)).status, 200);
        times.push(begun.elapsed().as_secs_f64() * 1e6);
    }
    median(times)
}
