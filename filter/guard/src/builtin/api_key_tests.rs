use super::super::Builtin::ApiKey;
use super::super::testing::{finds, finds_everywhere, found, passes};
use super::{CANDIDATES, KINDS};
use crate::testing::test;
use regex::Regex;

/// Something drawn by lot, made of the characters that every kind of key may have.
fn body(length: usize) -> String {
    "4f9c1e7ab30d8526".chars().cycle().take(length).collect()
}

#[test]
fn every_kind_is_found_wherever_it_stands() {
    for kind in &KINDS {
        let key = format!("{}{}", kind.prefix, body(kind.fewest));
        finds_everywhere(ApiKey, &[&key]);
    }
}

#[test]
fn every_prefix_of_the_pattern_is_a_kind() {
    let pattern = Regex::new(CANDIDATES[0].pattern).unwrap();
    assert!(KINDS.iter().all(|kind| pattern.is_match(&format!("{}{}", kind.prefix, body(36)))));
    // As many as the alternatives stand for: four of Stripe's, five of GitHub's and of Slack's, and so on.
    assert_eq!(KINDS.len(), 1 + 4 + 5 + 2 + 5 + 9 + 2 + 4 + 1);
}

#[test]
fn keys_as_their_services_write_them_are_found() {
    let proj = format!("sk-proj-{}-{}_{}", body(40), body(60), body(44));
    let ant = format!("sk-ant-api03-{}-{}_{}AA", body(40), body(30), body(20));
    let router = format!("sk-or-v1-{}", body(64));
    let pat = format!("github_pat_11{}_{}", body(20), body(59));
    let grid = format!("SG.{}.{}", body(22), body(43));
    let twilio = format!("SK{}", body(32));
    let slack = format!("xoxb-{}-{}-{}", "123456789012", "1234567890123", body(24));
    finds_everywhere(
        ApiKey,
        &[&proj, &ant, &router, &pat, &grid, &twilio, &slack, "AKIAIOSFODNN7EXAMPLE", "ASIAQWERTYUIOPASDFGH"],
    );
}

#[test]
fn a_key_is_found_in_an_assignment_and_in_an_address() {
    let key = format!("sk-{}", body(48));
    for (before, after) in [
        ("OPENAI_API_KEY=", ""),
        ("Bearer ", ""),
        ("?key=", "&x=1"),
        ("-", ""),
        ("_", ""),
        ("//user:", "@host/"),
    ] {
        assert_eq!(found(ApiKey, &format!("{before}{key}{after}")), [&key]);
    }
}

#[test]
fn a_web_token_is_found_with_its_signature() {
    let token = format!("eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.{}", body(43));
    finds_everywhere(ApiKey, &[&token, "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.x"]);
}

#[test]
fn of_a_long_web_token_the_beginning_is_found() {
    let token = format!("eyJhbGciOiJSUzI1NiJ9.eyJ{}.{}", body(600), body(342));
    assert_eq!(found(ApiKey, &format!("Bearer {token}")), [token.split_at(164).0]);
}

#[test]
fn a_private_key_is_found_with_its_first_lines() {
    let short =
        format!("-----BEGIN EC PRIVATE KEY-----\n{}\n{}\n-----END EC PRIVATE KEY-----", body(64), body(40));
    let inline = format!("-----BEGIN PRIVATE KEY-----\\n{}\\n-----END PRIVATE KEY-----", body(64));
    let table: [(&str, &[&str]); 2] = [(&short, &[&short]), (&inline, &[&inline])];
    finds(ApiKey, &table);
    let long = format!("-----BEGIN OPENSSH PRIVATE KEY-----\n{}", format!("{}\n", body(70)).repeat(20));
    assert_eq!(found(ApiKey, &long), [long.split_at(275).0]);
    for line in ["-----BEGIN PGP PRIVATE KEY BLOCK-----", "-----BEGIN PRIVATE KEY-----"] {
        assert_eq!(found(ApiKey, &format!("{line} is how they begin.")), [line]);
    }
}

#[test]
fn names_and_examples_are_no_keys() {
    let inside = format!("task-{}", body(48));
    let base64 = format!("AAAAsk-{}", body(48));
    passes(
        ApiKey,
        &[
            "sk-...",
            "sk-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
            "sk-your-api-key-goes-here-1234",
            "sk-circle-fade-delay-animation-dots",
            "sk-learn-1.5.2",
            "sk-SK",
            "sk_live_",
            "ghp_short",
            "npm_config_registry",
            "npm_package_dependencies_typescript",
            "hf_hub_download",
            "xai-org",
            "gsk_",
            "AKIA",
            "AKIAIOSFODNN7EXAMPLEX",
            "AKIAXXXXXXXXXXXXXXXX",
            "SK0123",
            "SKU-1234567890",
            "SG.a.b",
            "eyJhbGciOiJIUzI1NiJ9",
            "-----BEGIN CERTIFICATE-----",
            "-----BEGIN PUBLIC KEY-----",
            &inside,
            &base64,
        ],
    );
}
