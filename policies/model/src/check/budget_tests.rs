use crate::budget::{Budget, Counts, HeaderMust, Source};
use crate::{Gateway, Plugin};

fn read(gateway: &str) -> Result<Gateway, Vec<String>> {
    let json = format!(r#"{{"downstream": {gateway}}}"#);
    match Plugin::read(json.as_bytes(), &|_| None) {
        Ok(Plugin::Downstream(gateway)) => Ok(gateway),
        Ok(Plugin::Upstream(_)) => panic!("not a downstream configuration"),
        Err(problems) => Err(problems.iter().map(ToString::to_string).collect()),
    }
}

/// The budget of a route whose gateway has a sidecar and prices.
fn budget(json: &str) -> Result<Budget, Vec<String>> {
    let gateway = format!(
        r#"{{"sidecar": {{"cluster": "s"}}, "prices": {{"gpt-4o": {{"input": 2.5, "output": 10}}}},
            "routes": [{{"name": "a", "budgets": [{json}]}}]}}"#
    );
    read(&gateway).map(|mut it| it.routes.pop().unwrap().budgets.pop().unwrap())
}

#[test]
fn a_budget_says_what_is_counted_for_whom() {
    let it = budget(
        r#"{"name": "b", "counts": "output", "max": 70, "per": "hour",
            "key": [{"of": {"claim": "sub"}, "default": "unknown"}, {"of": {"header": "X-Team"}, "is": "dev"},
                    {"of": {"matching": {"value": "v", "headers": [{"name": "a", "must": {"match": "b+"}}]}}}]}"#,
    )
    .unwrap();
    assert_eq!((it.counts, it.max, it.window_seconds, it.estimate), (Counts::Output, 70, 3600, 1024));
    let [claim, header, matching] = &it.key[..] else { panic!("{:?}", it.key) };
    assert!(matches!(&claim.of, Source::Claim(path) if *path == ["sub"]));
    assert!(matches!(&header.of, Source::Header(name) if name == "x-team"));
    let Source::Matching { headers, expect: true, .. } = &matching.of else { panic!("{matching:?}") };
    assert!(matches!(&headers[0].must, HeaderMust::Match(it) if it.is_match("bb") && !it.is_match("abb")));
}

#[test]
fn dollars_are_counted_in_billionths() {
    assert_eq!(
        budget(r#"{"name": "b", "counts": "cost", "max": 0.25, "per": 90}"#).unwrap().max,
        250_000_000
    );
}

#[test]
fn a_price_is_exact_to_the_millionth_of_a_dollar_and_rounded_up_in_the_end() {
    let it =
        read(r#"{"routes": [], "prices": {"m": {"input": 0.15, "cachedInput": 0.0375, "output": 0.6}}}"#)
            .unwrap();
    let price = it.price("m").unwrap();
    assert_eq!((price.input, price.cached_input, price.output), (150_000, 37_500, 600_000));
    assert_eq!(price.of(1_000_000, 0, 0), 150_000_000);
    assert_eq!(price.of(1, 1, 0), 38);
    assert_eq!(price.of(10, 99, 1), 375 + 600);
    assert!(it.price("n").is_none());
}

#[test]
fn what_cannot_be_counted_is_refused() {
    let problem = |json: &str| budget(json).unwrap_err().join("; ");
    let with = |fields: &str| format!(r#"{{"name": "b", "counts": "input", {fields}}}"#);
    let max = problem(&with(r#""max": 1.5, "per": "hour""#));
    assert_eq!(
        max,
        "downstream.routes[0].budgets[0].max: expected a whole number: only costs have fractions"
    );
    let max = problem(&with(r#""max": -1, "per": "hour""#));
    assert_eq!(max, "downstream.routes[0].budgets[0].max: expected an amount that can be counted, 0 to 2^53");
    let per = problem(&with(r#""max": 1, "per": 0"#));
    assert_eq!(per, "downstream.routes[0].budgets[0].per: expected 1 to 31536000 seconds");
    let weight = problem(&with(r#""max": 1, "per": "day", "weight": 1"#));
    assert!(weight.ends_with("without `group` there is nothing that it could be heavier than"), "{weight}");
    let part = r#""max": 1, "per": "day", "key": [{"of": "route", "is": "a", "unless": ["b"]}]"#;
    assert!(problem(&with(part)).ends_with("`is` and `unless` exclude each other"));
    let part = r#""max": 1, "per": "day", "key": [{"of": {"matching": {"value": "v", "headers": [{"name": "a", "must": {"match": "("}}]}}}]"#;
    assert!(problem(&with(part)).contains("must.match"));
    let unknown = problem(&with(r#""max": 1, "per": "day", "burst": 3"#));
    assert!(unknown.contains("burst"), "{unknown}");
}

#[test]
fn budgets_need_somebody_who_counts_and_prices_for_costs() {
    let budget = r#"{"name": "b", "counts": "cost", "max": 1, "per": "day"}"#;
    let refused = read(&format!(r#"{{"routes": [{{"name": "a", "budgets": [{budget}]}}]}}"#)).unwrap_err();
    assert_eq!(
        refused,
        [
            "downstream.routes[0].budgets: budgets need `sidecar`, which holds their counters",
            "downstream.routes[0].budgets[0].counts: `b` counts costs, and `prices` has none",
        ]
    );
    let refused = read(&format!(
        r#"{{"sidecar": {{"cluster": "s"}}, "prices": {{"m": {{"input": 1, "output": 1}}}},
            "routes": [{{"name": "a", "budgets": [{budget}, {budget}],
                         "backends": [{{"cluster": "c", "provider": "openai", "model": "n"}}]}}]}}"#
    ));
    let refused = refused.unwrap_err();
    assert!(
        refused[0].ends_with("there are two budgets `b`, and a name has to tell them apart"),
        "{refused:?}"
    );
    assert!(refused[1].ends_with("the route's model `n` has no price, nor has `*`"), "{refused:?}");
}
