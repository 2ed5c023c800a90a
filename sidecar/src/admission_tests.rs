use serde_json::{Value, json};

use super::*;

fn ask() -> Value {
    json!({
        "request": "r-1",
        "input": {"prompt": {"messages": [{"role": "user", "content": "Hello, world!"}]}},
        "limits": [limit("a", 70, [0, 1, 1000])],
    })
}

fn limit(name: &str, max: u64, amount: [u64; 3]) -> Value {
    let amount = json!({"constant": amount[0], "perInput": amount[1], "estimate": amount[2]});
    json!({"name": name, "key": "k", "max": max, "windowSeconds": 3600, "window": "fixed", "amount": amount, "mode": "enforce"})
}

fn read(ask: &Value) -> Result<Asked, Error> {
    super::read(ask.to_string().as_bytes(), Times::of_lease(600))
}

fn amount(max: u64, amount: [u64; 3]) -> u64 {
    let mut ask = ask();
    ask["limits"][0] = limit("a", max, amount);
    read(&ask).unwrap().reserve.takes[0].amount
}

fn problem(ask: &Value) -> String {
    match read(ask) {
        Err(Error::Invalid(problem)) => problem,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_guess_alone_keeps_nobody_out_and_what_is_exact_is_never_less() {
    assert_eq!(amount(70, [0, 1, 1000]), 70);
    assert_eq!(amount(7000, [0, 1, 1000]), 13 + 1000);
    assert_eq!(amount(7000, [5, 2, 0]), 5 + 26);
    assert_eq!(amount(10, [0, 1, 0]), 13);
    assert_eq!(amount(10, [11, 0, 5]), 11);
    assert_eq!(amount(0, [0, 0, 5]), 0);
}

#[test]
fn what_is_known_is_not_counted() {
    let mut ask = ask();
    ask["input"]["tokens"] = json!(2);
    let asked = read(&ask).unwrap();
    assert_eq!((asked.tokens, asked.reserve.takes[0].amount), (Some(2), 70));
    ask.as_object_mut().unwrap().remove("input");
    assert_eq!(read(&ask).unwrap().tokens, None);
}

#[test]
fn what_cannot_be_right_is_refused_and_named() {
    let cases = [
        ("/request", json!(""), "request: expected 1 to 64 of A-Z, a-z, 0-9 and -"),
        ("/request", json!("a b"), "request: expected 1 to 64 of A-Z, a-z, 0-9 and -"),
        ("/request", json!("a".repeat(65)), "request: expected 1 to 64 of A-Z, a-z, 0-9 and -"),
        ("/limits", json!([]), "limits: expected 1 to 32, got 0"),
        ("/limits/0/name", json!(""), "limits[0].name: expected 1 to 512 bytes"),
        ("/limits/0/key", json!("k".repeat(65_537)), "limits[0].key: expected at most 65536 bytes"),
        ("/limits/0/windowSeconds", json!(0), "limits[0].windowSeconds: expected 1 to 31536000"),
        (
            "/limits/0/max",
            json!(MOST + 1),
            "limits[0].max: expected at most 9007199254740992, got 9007199254740993",
        ),
        (
            "/limits/0/amount/estimate",
            json!(u64::MAX),
            "limits[0].amount.estimate: expected at most 9007199254740992, got 18446744073709551615",
        ),
        (
            "/limits/0/amount/perInput",
            json!(MOST),
            "limits[0].amount: with this input: expected at most 9007199254740992, got 117093590311632896",
        ),
        ("/input", json!({}), "input: expected a prompt or tokens"),
    ];
    for (at, wrong, expected) in cases {
        let mut ask = ask();
        *ask.pointer_mut(at).unwrap() = wrong;
        let problem = problem(&ask);
        assert!(problem.starts_with(expected), "{at}: {problem}");
    }
}

#[test]
fn no_two_limits_count_the_same_and_a_key_is_not_another_limits() {
    let mut ask = ask();
    ask["limits"] = json!([limit("a", 1, [1, 0, 0]), limit("a", 2, [2, 0, 0])]);
    assert_eq!(problem(&ask), "limits[1]: counts what a limit before it counts");
    ask["limits"][1]["window"] = json!("sliding");
    let asked = read(&ask).unwrap();
    assert_ne!(asked.reserve.takes[0].counter.id, asked.reserve.takes[1].counter.id);
    let (mut one, mut two) = (limit("ab", 1, [1, 0, 0]), limit("a", 1, [1, 0, 0]));
    (one["key"], two["key"]) = (json!("c"), json!("bc"));
    ask["limits"] = json!([one, two]);
    let asked = read(&ask).unwrap();
    assert_ne!(asked.reserve.takes[0].counter.id, asked.reserve.takes[1].counter.id);
}

#[test]
fn only_windows_longer_than_a_lease_are_leased() {
    let mut ask = ask();
    for (seconds, leased) in [(1, false), (600, false), (601, true)] {
        ask["limits"][0]["windowSeconds"] = json!(seconds);
        assert_eq!(read(&ask).unwrap().reserve.takes[0].counter.leased, leased, "{seconds}");
    }
}

#[test]
fn the_greatest_numbers_do_not_overflow() {
    assert_eq!(amount(MOST, [MOST, 0, MOST]), MOST);
    let mut ask = ask();
    ask["input"] = json!({"tokens": MOST});
    ask["limits"][0] = limit("a", MOST, [MOST, MOST, MOST]);
    assert!(problem(&ask).ends_with("got 18446744073709551615"));
}

fn count(used: u64, open: u64) -> Count {
    Count { of: 0, used, open, reset: 1000, exceeded: false }
}

fn spent(asked: &Asked, count: Count) -> bool {
    state(asked, &count).unwrap().spent
}

#[test]
fn spent_is_what_nothing_comes_back_to_before_the_window_ends() {
    let mut ask = ask();
    let fixed = read(&ask).unwrap();
    assert!(spent(&fixed, count(70, 0)) && spent(&fixed, count(99, 0)));
    assert!(!spent(&fixed, count(69, 0)), "there is some left");
    assert!(!spent(&fixed, count(70, 1)), "a reservation may be settled for less");
    ask["limits"][0]["window"] = json!("sliding");
    assert!(!spent(&read(&ask).unwrap(), count(99, 0)), "what was used before becomes less by itself");
}
