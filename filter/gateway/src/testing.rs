//! What the tests of this crate share. The same tests run natively and, under wasm-bindgen-test, on
//! `wasm32-unknown-unknown`: importing everything from here replaces `#[test]` there.

use std::rc::Rc;
use std::time::Duration;

#[cfg(not(target_arch = "wasm32"))]
pub use core::prelude::v1::test;
use policy::{Gateway, Plugin, Target};
#[cfg(target_arch = "wasm32")]
pub use wasm_bindgen_test::wasm_bindgen_test as test;

use crate::event::{Answer, Arrival, Effect, End, Event, Flow, Said, Step};
use crate::failover::Recall;
use crate::headers::Headers;

/// What digests depend on.
pub const SEED: [u8; 16] = *b"sixteen bytes it";

/// A downstream configuration, as written; the VM's environment holds `KEY`.
pub fn gateway(json: &str) -> Rc<Gateway> {
    match plugin(&format!(r#"{{"downstream":{json}}}"#)) {
        Plugin::Downstream(gateway) => Rc::new(gateway),
        Plugin::Upstream(_) => panic!("not a downstream configuration"),
    }
}

/// An upstream configuration, as written.
pub fn target(json: &str) -> Rc<Target> {
    match plugin(&format!(r#"{{"upstream":{json}}}"#)) {
        Plugin::Upstream(target) => Rc::new(target),
        Plugin::Downstream(_) => panic!("not an upstream configuration"),
    }
}

fn plugin(json: &str) -> Plugin {
    Plugin::read(json.as_bytes(), &|name| (name == "KEY").then(|| "sk-1".to_owned())).unwrap()
}

/// The beginning of a request from lines such as `:path: /openai`, at the time of a line `now` (in seconds).
pub fn request(lines: &str, give: impl FnOnce(Arrival<'_>) -> Step) -> Step {
    let headers = headers(lines);
    let value = |name| headers.get(name);
    let (handover, end) = (value("handover"), value("end").is_some());
    let now = Duration::from_secs(value("now").map_or(NOW, |now| now.parse().unwrap()));
    let attempt = value("attempt").map_or(1, |attempt| attempt.parse().unwrap());
    let handover = handover.map(|it| it.replace('|', "\n"));
    let handover = handover.as_deref();
    let recall = Recall(&|_| None);
    let address = value("address");
    give(Arrival { headers: &headers, route: None, handover, address, end, now, attempt, random: 0, recall })
}

/// When the tests of this crate take place, in seconds since the Unix epoch.
pub const NOW: u64 = 1_800_000_000;

/// A key that tests sign and check tokens with, as a JWK.
pub const KEY: &str = r#"{"kty":"oct","kid":"one","k":"bm8gc2VjcmV0IGF0IGFsbCwgMzIgYnl0ZXMgbG9uZyE"}"#;

/// The key as a configuration has it.
pub fn local_key() -> String {
    format!(r#"{{"local": {}}}"#, serde_json::Value::from(KEY))
}

/// A token with these claims, signed with [`KEY`] (HS256).
pub fn token(claims: &str) -> String {
    token_of("one", claims)
}

/// A token that says it is signed with this key.
pub fn token_of(kid: &str, claims: &str) -> String {
    use base64::prelude::{BASE64_URL_SAFE_NO_PAD as BASE64, Engine as _};
    use hmac::Mac as _;
    let header = format!(r#"{{"alg":"HS256","kid":"{kid}"}}"#);
    let signed = format!("{}.{}", BASE64.encode(header), BASE64.encode(claims));
    let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(b"no secret at all, 32 bytes long!").unwrap();
    mac.update(signed.as_bytes());
    format!("{signed}.{}", BASE64.encode(mac.finalize().into_bytes()))
}

/// The beginning of an answer; a line `local` makes it the host's own, `attempts` says how many there were.
pub fn answer(lines: &str, give: impl FnOnce(Event<'_>) -> Step) -> Step {
    let headers = headers(lines);
    give(Event::Response(answer_of(&headers)))
}

/// The same, for a function that looks at it.
pub fn read_answer<T>(lines: &str, look: impl FnOnce(&Answer<'_>) -> T) -> T {
    look(&answer_of(&headers(lines)))
}

fn answer_of<'a>(headers: &'a Headers<'a>) -> Answer<'a> {
    Answer {
        headers,
        local: headers.get("local"),
        end: headers.has("end"),
        now: Duration::from_secs(headers.get("now").map_or(NOW, |now| now.parse().unwrap())),
        attempts: headers.get("attempts").map_or(1, |attempts| attempts.parse().unwrap()),
        cluster: headers.get("cluster"),
    }
}

/// The answer to a call: lines of its headers and its body.
pub fn called(lines: &str, body: &str, give: impl FnOnce(Event<'_>) -> Step) -> Step {
    let headers = headers(lines);
    let status = headers.get(":status").map_or(0, |status| status.parse().unwrap());
    let said = (status > 0).then_some(Said { status, headers: &headers, body: body.as_bytes() });
    give(Event::Called { said, now: Duration::from_secs(NOW) })
}

/// The end of a request or an attempt.
pub fn end(client_left: bool) -> Event<'static> {
    Event::Over(End { now: Duration::from_secs(NOW), client_left })
}

fn headers(lines: &str) -> Headers<'_> {
    let pairs = lines.split('\n').map(str::trim).filter(|line| !line.is_empty());
    Headers::new(pairs.filter_map(|line| line.split_once(": ")).map(|(n, v)| (n, v.as_bytes())).collect())
}

/// A step as lines of text.
pub fn show(step: &Step) -> String {
    let mut lines: Vec<String> = step.effects.iter().map(show_effect).collect();
    lines.push(match step.flow {
        Flow::Hold => "hold".into(),
        Flow::Pass => "pass".into(),
    });
    lines.join("\n")
}

fn show_effect(effect: &Effect) -> String {
    match effect {
        Effect::SetRequestHeader(name, value) => format!("set {name}: {value}"),
        Effect::RemoveRequestHeader(name) => format!("remove {name}"),
        Effect::SetResponseHeader(name, value) => format!("set answer's {name}: {value}"),
        Effect::RemoveResponseHeader(name) => format!("remove answer's {name}"),
        Effect::EditRequestBody(edits) => format!("edit body, growth {}", edits.growth()),
        Effect::EditResponseBody(edits) => format!("edit answer, growth {}", edits.growth()),
        Effect::Call(call) => {
            let header = |wanted| call.headers.iter().find(|(name, _)| name == wanted).map_or("", |it| &it.1);
            let more = call
                .headers
                .iter()
                .filter(|(name, _)| !name.starts_with(':') && !name.starts_with("content"));
            let more: String = more.map(|(name, value)| format!(" [{name}: {value}]")).collect();
            let body = String::from_utf8_lossy(&call.body);
            format!("ask {} {}{}{more} {body}", call.cluster, header(":authority"), header(":path"))
        }
        Effect::Reclaim(call) => format!("reclaim {}", String::from_utf8_lossy(&call.body)),
        Effect::Settle(item) => format!("settle {} {:?}", item.reservation, item.used),
        Effect::ReplaceChunk(bytes) => format!("send {:?}", String::from_utf8_lossy(bytes)),
        Effect::Handover(text) => format!("hand over {}", text.replace('\n', "|")),
        Effect::Publish(caller) => format!("publish {caller}"),
        Effect::Reply(reply) => {
            let extra: String = reply
                .extra
                .iter()
                .map(|(name, value)| match *name {
                    "www-authenticate" => format!(" [{value}]"),
                    name => format!(" [{name}: {value}]"),
                })
                .collect();
            format!("reply {} {}: {}{extra}", reply.status, reply.reason.code(), reply.message)
        }
        Effect::Deliver(it) => {
            let headers: String =
                it.headers.iter().map(|(name, value)| format!(" [{name}: {value}]")).collect();
            format!("deliver {}{headers} {}", it.status, String::from_utf8_lossy(&it.body))
        }
        Effect::Report(line) => format!("report {line}"),
        Effect::Remember(cluster, lesson) => format!("remember {cluster} {lesson:?}"),
        Effect::Add(metric, value) => format!("add {value} to {metric:?}"),
        Effect::Observe(metric, value) => format!("observe {metric:?} {value}"),
        Effect::Count(metric) => format!("count {metric:?}"),
        Effect::Log(level, line) => format!("log {level:?} {line}"),
    }
}

/// Rules for answers from patterns.
pub fn answer_rules(patterns: &[&str]) -> guard::Rules {
    let rule = |pattern: &&str| guard::Rule {
        name: (*pattern).into(),
        what: guard::What::Pattern { pattern: (*pattern).into(), longest: None },
    };
    guard::Rules::compile(patterns.iter().map(rule).collect(), guard::Purpose::Answers).unwrap()
}

/// Numbers without a pattern, the same in every run (xorshift64).
pub struct Numbers(pub u64);

impl Numbers {
    /// A number below a bound.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound.max(1) as u64) as usize
    }

    /// A text of some of these.
    pub fn text(&mut self, parts: &[&str], most: usize) -> String {
        (0..self.below(most + 1)).map(|_| parts[self.below(parts.len())]).collect()
    }

    /// The pieces of a text, cut anywhere between characters.
    pub fn cut<'t>(&mut self, text: &'t str, longest: usize) -> Vec<&'t str> {
        let (mut pieces, mut rest) = (Vec::new(), text);
        while !rest.is_empty() {
            let most = 1 + self.below(longest);
            let at = rest.char_indices().nth(most).map_or(rest.len(), |(at, _)| at);
            let (piece, after) = rest.split_at(at);
            pieces.push(piece);
            rest = after;
        }
        pieces
    }
}
