use serde_json::Value;

use super::{Claims, Expectation};
use crate::Refusal;
use crate::testing::test;

fn read(json: &str) -> Result<Claims, Refusal> {
    match serde_json::from_str(json).unwrap() {
        Value::Object(all) => Claims::read(all),
        other => panic!("{other}"),
    }
}

fn claims(json: &str) -> Claims {
    read(json).unwrap()
}

#[test]
fn registered_claims_are_of_their_types() {
    for (json, claim) in [
        (r#"{"iss":["a"]}"#, "iss"),
        (r#"{"iss":null}"#, "iss"),
        (r#"{"sub":7}"#, "sub"),
        (r#"{"aud":7}"#, "aud"),
        (r#"{"aud":["a",7]}"#, "aud"),
        (r#"{"aud":{"a":"b"}}"#, "aud"),
        (r#"{"aud":null}"#, "aud"),
        (r#"{"exp":"4000000000"}"#, "exp"),
        (r#"{"exp":null}"#, "exp"),
        (r#"{"exp":-1}"#, "exp"),
        (r#"{"exp":1e300}"#, "exp"),
        (r#"{"exp":[1]}"#, "exp"),
        (r#"{"nbf":true}"#, "nbf"),
        (r#"{"nbf":-0.5}"#, "nbf"),
    ] {
        assert_eq!(read(json).err(), Some(Refusal::ClaimType(claim)), "{json}");
    }
    let good = claims(r#"{"iss":"","sub":"","aud":[],"exp":0,"nbf":1.5,"iat":"whatever","jti":7}"#);
    assert_eq!((good.expires_at(), good.not_before()), (Some(0.0), Some(1.5)));
    for huge in ["9e15", "1e16", "18446744073709551615", "1e308", "-1e308", "-1e-300"] {
        for claim in ["exp", "nbf"] {
            assert_eq!(
                read(&format!(r#"{{"{claim}":{huge}}}"#)).err(),
                Some(Refusal::ClaimType(claim)),
                "{huge}"
            );
        }
    }
    assert_eq!(claims(r#"{"exp":8999999999999999}"#).expires_at(), Some(8_999_999_999_999_999.0));
    assert_eq!(claims(r#"{"exp":253402300799}"#).expires_at(), Some(253_402_300_799.0));
}

#[test]
fn claims_are_found_by_their_path() {
    let all = claims(r#"{"llms":{"openai":["gpt-4o-mini"]},"llms.openai":"flat","list":[{"a":1}]}"#);
    let get = |path: &[&str]| all.get(&path.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>()).cloned();
    assert_eq!(get(&["llms", "openai"]), Some(serde_json::json!(["gpt-4o-mini"])));
    assert_eq!(get(&["llms.openai"]), Some("flat".into()));
    for nowhere in [&["llms", "mistralai"][..], &["llms", "openai", "0"], &["list", "0"], &["LLMS"]] {
        assert_eq!(get(nowhere), None, "{nowhere:?}");
    }
}

#[test]
fn an_audience_is_one_or_several() {
    let of = |json: &str| claims(json).audiences().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(of("{}"), Vec::<String>::new());
    assert_eq!(of(r#"{"aud":"a"}"#), ["a"]);
    assert_eq!(of(r#"{"aud":["a","b"]}"#), ["a", "b"]);
}

#[test]
fn times_count_to_the_second_with_what_clocks_may_differ_by() {
    let expected = Expectation { clock_skew_seconds: 60, ..Expectation::default() };
    let check = |json: &str, now: u64| expected.check(&claims(json), now).err();
    assert_eq!(check(r#"{"exp":1000}"#, 1060), None);
    assert_eq!(check(r#"{"exp":1000}"#, 1061), Some(Refusal::Expired));
    assert_eq!(check(r#"{"exp":1000.5}"#, 1060), None);
    assert_eq!(check(r#"{"exp":1000.5}"#, 1061), Some(Refusal::Expired));
    assert_eq!(check(r#"{"nbf":1000}"#, 940), None);
    assert_eq!(check(r#"{"nbf":1000}"#, 939), Some(Refusal::NotYetValid));
    assert_eq!(check(r#"{"nbf":2000,"exp":1000}"#, 1500), Some(Refusal::NotYetValid), "the first thing");
    let exact = Expectation::default();
    assert_eq!(exact.check(&claims(r#"{"exp":1000}"#), 1000), Ok(()));
    assert_eq!(exact.check(&claims(r#"{"exp":1000}"#), 1001), Err(Refusal::Expired));
    let huge = Expectation { clock_skew_seconds: u64::MAX, ..Expectation::default() };
    assert_eq!(huge.check(&claims(r#"{"exp":0,"nbf":8e15}"#), u64::MAX), Ok(()), "no overflow");
}

#[test]
fn a_token_without_an_end_passes_unless_it_has_to_have_one() {
    assert_eq!(Expectation::default().check(&claims("{}"), u64::MAX), Ok(()));
    let strict = Expectation { require_expiry: true, ..Expectation::default() };
    assert_eq!(strict.check(&claims("{}"), 0), Err(Refusal::ExpiryRequired));
    assert_eq!(strict.check(&claims(r#"{"exp":1}"#), 0), Ok(()));
}

#[test]
fn issuer_and_audience_are_compared_exactly() {
    let expected = Expectation {
        issuer: Some("https://a".into()),
        audiences: vec!["x".into(), "y".into()],
        ..Expectation::default()
    };
    let check = |json: &str| expected.check(&claims(json), 0);
    assert_eq!(check(r#"{"iss":"https://a","aud":"x"}"#), Ok(()));
    assert_eq!(check(r#"{"iss":"https://a","aud":["z","y"]}"#), Ok(()));
    for iss in ["https://a/", "HTTPS://A", "", " https://a"] {
        let said = check(&format!(r#"{{"iss":"{iss}","aud":"x"}}"#));
        assert_eq!(said, Err(Refusal::IssuerUnknown), "{iss}");
    }
    assert_eq!(check(r#"{"aud":"x"}"#), Err(Refusal::IssuerUnknown));
    for aud in [r#""X""#, r#""x ""#, "[]", r#"["z"]"#, r#""""#] {
        let said = check(&format!(r#"{{"iss":"https://a","aud":{aud}}}"#));
        assert_eq!(said, Err(Refusal::AudienceNotAllowed), "{aud}");
    }
    assert_eq!(check(r#"{"iss":"https://a"}"#), Err(Refusal::AudienceNotAllowed));
    assert_eq!(check(r#"{"iss":"b","exp":0,"aud":"z"}"#), Err(Refusal::IssuerUnknown), "the first thing");
    assert_eq!(Expectation::default().check(&claims(r#"{"iss":"any","aud":"any"}"#), 0), Ok(()));
}

#[test]
fn the_first_thing_that_is_wrong_is_said() {
    let expected = Expectation {
        issuer: Some("a".into()),
        audiences: vec!["x".into()],
        clock_skew_seconds: 0,
        require_expiry: true,
    };
    let check = |json: &str| expected.check(&claims(json), 1000);
    assert_eq!(check(r#"{"iss":"b","nbf":2000,"exp":1,"aud":"z"}"#), Err(Refusal::IssuerUnknown));
    assert_eq!(check(r#"{"iss":"a","nbf":2000,"exp":1,"aud":"z"}"#), Err(Refusal::NotYetValid));
    assert_eq!(check(r#"{"iss":"a","nbf":2000,"aud":"z"}"#), Err(Refusal::NotYetValid));
    assert_eq!(check(r#"{"iss":"a","exp":1,"aud":"z"}"#), Err(Refusal::Expired));
    assert_eq!(check(r#"{"iss":"a","aud":"z"}"#), Err(Refusal::ExpiryRequired));
    assert_eq!(check(r#"{"iss":"a","exp":2000,"aud":"z"}"#), Err(Refusal::AudienceNotAllowed));
    assert_eq!(check(r#"{"iss":"a","nbf":1000,"exp":2000,"aud":["z","x"]}"#), Ok(()));
}
