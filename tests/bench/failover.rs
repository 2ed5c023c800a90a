//! What it costs to have somebody else to ask, and to ask them.

use std::net::SocketAddr;

use labs::policies::{options, route, upstream};
use labs::{Ask, Gateway, Host};
use mock_provider::{Mock, Script};

use crate::envoys::{cost_at, post};
use crate::rounds::{ROUNDS, medians};

/// Prints the table.
pub fn report() {
    let mock = |status| {
        let script = Script { status, text: Some("Hello.".into()), ..Script::default() };
        Mock::start_told("127.0.0.1:0".parse().unwrap(), script, |_| {}).unwrap()
    };
    let (good, bad) = (mock(200), mock(429));
    let gateway = Gateway::up(Host::Envoy, &policies(good.address(), bad.address()));
    let body = format!(
        r#"{{"model":"gpt-4o-mini","messages":[{{"role":"user","content":"{}"}}]}}"#,
        "How are you? ".repeat(75)
    );
    let cost = |door: &str| {
        let request = post(door, &body);
        cost_at(gateway.address, gateway.worker_pid(), 2000, |_| request.clone())
    };
    let [alone, chain, cooling, second, third] =
        medians([&|| cost("/alone"), &|| cost("/chain"), &|| cost("/cooling"), &|| cost("/second"), &|| {
            cost("/third")
        }]);
    println!(
        "\nfailover: microseconds of Envoy's processor time for a chat of 1 KB, medians of {ROUNDS} in turns\n"
    );
    println!(
        "| one model | first of three | first of three, with cooldown | second of three | third of three |"
    );
    println!("|---|---|---|---|---|");
    let times = |cost: f64| format!("{cost:.0} ({:.1} x)", cost / alone);
    println!("| {alone:.0} | {} | {} | {} | {} |", times(chain), times(cooling), times(second), times(third));
    let seen = |door: &str| gateway.send(&Ask::chat(door)).header("x-turnpike-attempts").map(str::to_owned);
    assert_eq!(
        [seen("/chain"), seen("/second"), seen("/third")],
        ["1", "2", "3"].map(|it| Some(it.to_owned()))
    );
}

/// A route to one model, and routes to three of which the first, the second or the third answers.
fn policies(good: SocketAddr, bad: SocketAddr) -> String {
    let key = "authToken: {inline: sk}";
    let mut text = upstream("good", good, key) + &upstream("bad", bad, key) + &route("/alone", "good", "");
    for (door, first, failover) in [
        ("chain", "good", "backups: [{model: b}, {model: c}]"),
        ("cooling", "good", "backups: [{model: b}, {model: c}], cooldown: {}"),
        ("second", "bad", "backups: [{upstreamRef: {name: good}}, {upstreamRef: {name: good}, model: c}]"),
        ("third", "bad", "backups: [{model: b}, {upstreamRef: {name: good}}]"),
    ] {
        let options = options("RouteOption", "HTTPRoute", door, &format!("ai: {{failover: {{{failover}}}}}"));
        text += &options.replace("name: access", &format!("name: {door}"));
        text += &route(&format!("/{door}"), first, "");
    }
    text
}
