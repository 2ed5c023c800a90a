//! What it costs to look at what people and models say: at prompts, at answers, and at streams as they come.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use guard::{Masker, Rules};
use labs::Ask;
use mock_provider::{Mock, Script};
use serde_json::{Value, json};

use crate::envoys::{Envoys, module, post};
use crate::rounds::{ROUNDS, median, medians};
use crate::texts::{configuration, english, patterns, pieces, policy, recognisers};

const PATH: &str = "/v1/chat/completions";

/// As long as a token.
const TOKEN_BYTES: usize = 4;

const BARE: usize = 0;
const MODULE: usize = 1;
const PROMPTS: usize = 2;
const ANSWERS: usize = 3;

/// A gateway with each way of looking, and the provider behind it.
struct Lab {
    envoys: Envoys,
    mock: Mock,
    /// What was masked of the last prompt that the provider has seen.
    masked: Arc<AtomicUsize>,
}

/// Prints the tables.
pub fn report() {
    let lab = Lab::start();
    println!("\n20 patterns: 13 regular expressions, 3 of them for prompt injection, and all 7 recognisers");
    println!("Envoy's processor time, one worker, medians of {ROUNDS} in turns\n");
    whole(&lab);
    large(&lab);
    streams(&lab);
    long_streams(&lab);
    first_bytes(&lab);
    natively();
}

impl Lab {
    fn start() -> Lab {
        let masked = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&masked);
        let listen = "127.0.0.1:0".parse().unwrap();
        let mock = Mock::start_told(listen, Script::default(), move |request| {
            seen.store(request.body.iter().filter(|byte| **byte == b'<').count(), Ordering::Relaxed);
        });
        let mock = mock.unwrap();
        let listener = |guard: Value| vec![module(&configuration(&guard))];
        let envoys = Envoys::before(
            mock.address(),
            &[
                vec![],
                listener(json!({})),
                listener(json!({"request": patterns()})),
                listener(json!({"response": patterns()})),
            ],
        );
        Lab { envoys, mock, masked }
    }

    /// Microseconds for each request.
    fn cost(&self, listener: usize, requests: usize, body: &str) -> f64 {
        let request = post(PATH, body);
        self.envoys.cost_of(listener, requests, |_| request.clone())
    }
}

fn chat(text: &str, stream: bool) -> String {
    let messages = json!([
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": text},
    ]);
    json!({"model": "gpt-4o-mini", "messages": messages, "stream": stream}).to_string()
}

/// A cost, and how many times the baseline it is.
fn times(cost: f64, bare: f64) -> String {
    format!("{cost:.0} ({:.1} x)", cost / bare)
}

fn whole(lab: &Lab) {
    println!("microseconds for a chat whose prompt and whose plain answer have this length\n");
    println!("| prompt and answer | no filter | module, no guard | prompts guarded | answers guarded |");
    println!("|---|---|---|---|---|");
    for (name, bytes, finds, requests) in [
        ("1 KB, clean", 1 << 10, 0, 2000),
        ("16 KB, clean", 16 << 10, 0, 600),
        ("16 KB, 10 finds", 16 << 10, 10, 600),
    ] {
        let text = english(bytes, finds);
        lab.mock.play(Script { text: Some(text.clone()), ..Script::default() });
        let body = chat(&text, false);
        let [bare, module, prompts, answers] = medians([
            &|| lab.cost(BARE, requests, &body),
            &|| lab.cost(MODULE, requests, &body),
            &|| lab.cost(PROMPTS, requests, &body),
            &|| lab.cost(ANSWERS, requests, &body),
        ]);
        let [module, prompts, answers] = [module, prompts, answers].map(|it| times(it, bare));
        println!("| {name} | {bare:.0} | {module} | {prompts} | {answers} |");
    }
}

fn large(lab: &Lab) {
    println!("\nmicroseconds for one prompt of 128 KiB\n");
    println!("| prompt | no filter | module, no guard | prompts guarded | of it the guard | masked |");
    println!("|---|---|---|---|---|---|");
    lab.mock.play(Script { text: Some("Fine.".into()), ..Script::default() });
    for (name, finds) in [("clean", 0), ("85 finds", 85)] {
        let body = chat(&english(128 << 10, finds), false);
        let [bare, module, prompts] =
            medians([&|| lab.cost(BARE, 100, &body), &|| lab.cost(MODULE, 100, &body), &|| {
                lab.cost(PROMPTS, 100, &body)
            }]);
        let (guard, masked) = (prompts - module, lab.masked.load(Ordering::Relaxed));
        let [module, prompts] = [module, prompts].map(|it| times(it, bare));
        println!("| {name} | {bare:.0} | {module} | {prompts} | {guard:.0} | {masked} |");
    }
}

fn streams(lab: &Lab) {
    println!("\nmicroseconds for a stream of 24 events, all at once\n");
    println!("| answer | no filter | module, no guard | answers guarded |\n|---|---|---|---|");
    for (name, finds) in [("clean", 0), ("with a find", 1)] {
        // The beginning, the end and `[DONE]` are events as well.
        let chunks: Vec<String> = pieces(&english(100, finds), TOKEN_BYTES).into_iter().take(21).collect();
        lab.mock.play(Script { chunks: Some(chunks), ..Script::default() });
        let body = chat("Hello.", true);
        let [bare, module, answers] =
            medians([&|| lab.cost(BARE, 800, &body), &|| lab.cost(MODULE, 800, &body), &|| {
                lab.cost(ANSWERS, 800, &body)
            }]);
        println!("| {name} | {bare:.0} | {} | {} |", times(module, bare), times(answers, bare));
    }
}

fn long_streams(lab: &Lab) {
    println!("\nmicroseconds for each chunk of {TOKEN_BYTES} bytes of a stream\n");
    println!("| stream | answer | no filter | module, no guard | answers guarded |\n|---|---|---|---|---|");
    let pace = Duration::from_millis(2);
    for (name, chunks, delay, streams) in [
        ("10,000 chunks, as fast as they come", 10_000, Duration::ZERO, 8),
        ("8 streams of 500 chunks, each 2 ms after the other", 500, pace, 8),
    ] {
        for (kind, finds) in [("clean", 0), ("with a find in 400 bytes", chunks * TOKEN_BYTES / 400)] {
            let text = pieces(&english(chunks * TOKEN_BYTES, finds), TOKEN_BYTES);
            let text = Some(text.into_iter().take(chunks).collect());
            lab.mock.play(Script { chunks: text, chunk_delay: delay, ..Script::default() });
            let body = chat("Hello.", true);
            let each = |listener| lab.cost(listener, streams, &body) / chunks as f64;
            let all = medians([&|| each(BARE), &|| each(MODULE), &|| each(ANSWERS)]);
            let [bare, module, answers] = all.map(|it| format!("{it:.1}"));
            println!("| {name} | {kind} | {bare} | {module} | {answers} |");
        }
    }
}

fn first_bytes(lab: &Lab) {
    const STREAMS: usize = 25;
    println!("\nmilliseconds to the beginning of a stream with a token each 20 ms, medians of {STREAMS}\n");
    println!("| | the first byte | the first text |\n|---|---|---|");
    let chunks = Some(pieces(&english(24, 0), TOKEN_BYTES).into_iter().take(6).collect());
    let chunk_delay = Duration::from_millis(20);
    lab.mock.play(Script { chunks, chunk_delay, ..Script::default() });
    let ask = Ask::post(PATH, chat("Hello.", true));
    let mut all = [const { (Vec::new(), Vec::new()) }; 4];
    for _ in 0..STREAMS {
        for listener in [BARE, MODULE, ANSWERS] {
            let (byte, text) = beginning(&ask, lab, listener);
            all[listener].0.push(byte);
            all[listener].1.push(text);
        }
    }
    for (name, listener) in [("no filter", BARE), ("module, no guard", MODULE), ("answers guarded", ANSWERS)]
    {
        let (byte, text) = std::mem::take(&mut all[listener]);
        println!("| {name} | {:.2} | {:.2} |", median(byte), median(text));
    }
}

/// After how many milliseconds the first byte of an answer has come, and the first of what the model says.
fn beginning(ask: &Ask, lab: &Lab, listener: usize) -> (f64, f64) {
    let reply = ask.send(lab.envoys.address(listener));
    let says = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        text.split("\"content\":\"").skip(1).any(|it| !it.starts_with('"'))
    };
    let milliseconds = |when: Duration| when.as_secs_f64() * 1e3;
    let mut seen = Vec::new();
    for (when, bytes) in &reply.pieces {
        seen.extend_from_slice(bytes);
        if says(&seen) {
            return (milliseconds(reply.pieces[0].0), milliseconds(*when));
        }
    }
    panic!("nothing was said: {}", reply.text());
}

// --- natively

fn natively() {
    println!("\nnatively, a text of 40 KB in pieces of {TOKEN_BYTES} bytes through the masker\n");
    println!(
        "| patterns | text | ns for each piece | held, mean | held, most | could be held | passed at once |"
    );
    println!("|---|---|---|---|---|---|---|");
    let ready = |guard| policy(&configuration(&json!({"response": guard})));
    let policies = [ready(recognisers()), ready(patterns())];
    let rules = policies.each_ref().map(|it| {
        let guard = it.routes[0].guard.response.as_ref().unwrap();
        &guard.patterns.as_ref().unwrap().rules
    });
    let texts = [0, 100].map(|finds| pieces(&english(40_000, finds), TOKEN_BYTES));
    let took = |rules, text: &[String]| masking(rules, text).as_nanos() as f64 / text.len() as f64;
    let all = medians([
        &|| took(rules[0], &texts[0]),
        &|| took(rules[0], &texts[1]),
        &|| took(rules[1], &texts[0]),
        &|| took(rules[1], &texts[1]),
    ]);
    for (i, nanoseconds) in all.into_iter().enumerate() {
        let (which, finds) = (i / 2, i % 2);
        let (patterns, text) =
            (["7 recognisers", "20 patterns"][which], ["clean", "with a find in 400 bytes"][finds]);
        let held = held(rules[which], &texts[finds]);
        let mean = held.iter().sum::<usize>() as f64 / held.len() as f64;
        let (most, longest) = (held.iter().max().unwrap(), rules[which].longest());
        let at_once = held.iter().filter(|it| **it == 0).count() * 100 / held.len();
        println!(
            "| {patterns} | {text} | {nanoseconds:.0} | {mean:.1} bytes | {most} | {longest} | {at_once} % |"
        );
    }
}

fn masking(rules: &Rules, pieces: &[String]) -> Duration {
    let (mut masker, mut out) = (Masker::new(rules), 0);
    let begun = Instant::now();
    pieces.iter().for_each(|it| masker.push(rules, it, &mut |piece| out += piece.text().len()));
    masker.finish(rules, &mut |piece| out += piece.text().len());
    let took = begun.elapsed();
    assert_eq!(out, pieces.concat().len());
    took
}

/// How many bytes are held after each piece.
fn held(rules: &Rules, pieces: &[String]) -> Vec<usize> {
    let mut masker = Masker::new(rules);
    let push = |piece: &String| {
        masker.push(rules, piece, &mut |_| {});
        masker.held()
    };
    pieces.iter().map(push).collect()
}
