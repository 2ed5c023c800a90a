//! Which keys are taken, and which of them a token is tried with.

use base64::prelude::{BASE64_URL_SAFE_NO_PAD as BASE64, Engine as _};
use serde_json::{Value, json};

use super::KeySet;
use crate::testing::test;
use crate::{Refusal, Token};

/// The public key of RFC 7515 appendix A.3, as a JWK and as PEM.
const P256: &str = r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;
const P256_PEM: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEf83OJ3D2xF1Bg8vub9tLe1gHMzV7
6e8Tus9uPHvRVEXH8UTNG72bfocs3+257rn0s2ldbqkLJK2KRiMohYjlrQ==
-----END PUBLIC KEY-----
";
/// RFC 7515 appendix A.3, signed with that key.
const SIGNED: &str = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
const ED25519: &str = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

fn jwk(text: &str, more: Value) -> Value {
    let mut jwk: Value = serde_json::from_str(text).unwrap();
    jwk.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
    jwk
}

fn set(keys: &[Value]) -> Result<KeySet, String> {
    read(&json!({ "keys": keys }).to_string())
}

fn read(text: &str) -> Result<KeySet, String> {
    KeySet::read(text).map_err(|problem| problem.to_string())
}

fn problem(text: &str) -> String {
    read(text).unwrap_err()
}

/// An RSA key of so many bits, which nobody has the other half of.
fn rsa(bits: usize) -> Value {
    let mut modulus = vec![0xff; bits / 8];
    modulus[bits / 8 - 1] = 0xfd;
    json!({"kty": "RSA", "n": BASE64.encode(modulus), "e": "AQAB"})
}

fn verify(keys: &KeySet, token: &str) -> Result<(), Refusal> {
    keys.verify(&Token::parse(token).unwrap())
}

#[test]
fn a_key_is_taken_in_every_form() {
    let indented = P256_PEM.replace('\n', "\n                ");
    for text in [
        P256.to_owned(),
        format!("\n  {P256}\n"),
        json!({"keys": [jwk(P256, json!({}))]}).to_string(),
        P256_PEM.to_owned(),
        P256_PEM.trim_end().to_owned(),
        indented,
        P256_PEM.replace('\n', "\r\n"),
        format!("The key of 2026:\n\n{P256_PEM}"),
    ] {
        assert_eq!(verify(&read(&text).unwrap(), SIGNED), Ok(()), "{text}");
    }
}

#[test]
fn what_is_no_key_is_told_what_it_is() {
    let block = |label: &str| P256_PEM.replace("PUBLIC KEY", label);
    for (text, says) in [
        (String::new(), "this is no key: expected a PEM public key"),
        ("ssh-ed25519 AAAA".to_owned(), "this is no key: expected a PEM public key"),
        ("{".to_owned(), "the key is no JSON object: "),
        ("[]".to_owned(), "this is no key"),
        ("{}".to_owned(), "the JSON has neither `keys` (a JWKS) nor `kty` (a JWK)"),
        (r#"{"keys":{}}"#.to_owned(), "`keys` has to be a list"),
        (r#"{"keys":[]}"#.to_owned(), "no key can be used: there is none"),
        (r#"{"keys":[7]}"#.to_owned(), "key 1: expected an object"),
        (r#"{"kty":"EC","kty":"RSA"}"#.to_owned(), "the key is no JSON object: a name stands twice"),
        (format!("{P256_PEM}{P256_PEM}"), "there are several PEM blocks"),
        (block("CERTIFICATE"), "this is a certificate: take the public key out of it"),
        (block("PRIVATE KEY"), "this is a private key, which has no business here"),
        (block("EC PRIVATE KEY"), "this is a private key"),
        (block("RSA PUBLIC KEY"), "this is no RSA public key"),
        (block("DH PARAMETERS"), "a PEM block `DH PARAMETERS` is no public key"),
        (P256_PEM.replace("MFkw", "MFk!"), "the PEM block cannot be read"),
        (P256_PEM.replace("MFkw", "MFkx"), "this is a public key of a kind that is not known here"),
        (P256_PEM.replace("-----END PUBLIC KEY-----\n", ""), "the PEM block cannot be read"),
    ] {
        assert!(problem(&text).starts_with(says), "{says}\n{}", problem(&text));
    }
}

#[test]
fn a_weak_or_broken_key_is_refused() {
    let off_curve = P256.replace("f83O", "f83P");
    let secret = |bytes: usize| json!({"kty": "oct", "k": BASE64.encode(vec![7; bytes])}).to_string();
    for (text, says) in [
        (rsa(1024).to_string(), "key 1: its RSA modulus has 1024 bits; at least 2048 are needed"),
        (rsa(2040).to_string(), "key 1: its RSA modulus has 2040 bits"),
        (rsa(16384).to_string(), "key 1: "),
        (jwk(&rsa(2048).to_string(), json!({"e": "AQ"})).to_string(), "key 1: this is no RSA public key"),
        (jwk(&rsa(2048).to_string(), json!({"e": "AAAA"})).to_string(), "key 1: this is no RSA public key"),
        (off_curve, "key 1: `x` and `y` are no point of P-256"),
        (P256.replace("P-256", "P-384"), "key 1: `x` and `y` have to be 48 bytes long each"),
        (jwk(P256, json!({"x": "AA"})).to_string(), "key 1: `x` and `y` have to be 32 bytes long each"),
        (
            jwk(P256, json!({"x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU="})).to_string(),
            "key 1: `x` has to be base64url without padding",
        ),
        (jwk(P256, json!({"x": 7})).to_string(), "key 1: `x` has to be base64url without padding"),
        (
            jwk(ED25519, json!({"x": BASE64.encode([0; 32])})).to_string(),
            "key 1: its point is of small order",
        ),
        (jwk(ED25519, json!({"x": BASE64.encode([1; 31])})).to_string(), "key 1: `x` is no point of Ed25519"),
        (secret(31), "key 1: the secret has 31 bytes; HS256 needs 32 at least"),
        (
            jwk(&secret(32), json!({"alg": "HS512"})).to_string(),
            "key 1: `alg` HS512 does not go with such a key",
        ),
        (jwk(P256, json!({"alg": "RS256"})).to_string(), "key 1: `alg` RS256 does not go with such a key"),
        (
            jwk(P256, json!({"d": "AA"})).to_string(),
            "key 1: this is a private key, which has no business here",
        ),
        (jwk(P256, json!({"kid": 7})).to_string(), "key 1: `kid` has to be a string"),
        (jwk(P256, json!({"key_ops": "verify"})).to_string(), "key 1: `key_ops` has to be a list"),
        (jwk(P256, json!({"use": ["sig"]})).to_string(), "key 1: `use` has to be a string"),
        (r#"{"keys":[{"kid":"a"}]}"#.to_owned(), "key 1 (`a`): `kty` is missing"),
    ] {
        assert!(problem(&text).starts_with(says), "{says}\n{}", problem(&text));
    }
    assert!(read(&rsa(2048).to_string()).is_ok());
    assert!(read(&secret(32)).is_ok());
}

#[test]
fn keys_for_other_things_are_left_out_and_named() {
    let keys = set(&[
        json!({"kty": "AKP", "kid": "pq", "alg": "ML-DSA-44"}),
        json!({"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA"}),
        jwk(&rsa(2048).to_string(), json!({"use": "enc"})),
        jwk(ED25519, json!({"key_ops": ["sign"]})),
        jwk(&rsa(2048).to_string(), json!({"alg": "RSA-OAEP"})),
        jwk(P256, json!({"use": "sig", "key_ops": ["verify"], "alg": "ES256", "x5t": "a"})),
    ])
    .unwrap();
    assert_eq!(
        keys.skipped(),
        [
            "key 1 (`pq`) is of a kind that is not known here (AKP )",
            "key 2 is of a kind that is not known here (EC secp256k1)",
            "key 3 is not for signatures (`use`)",
            "key 4 is not for verifying (`key_ops`)",
            "key 5 is for an algorithm that is not known here (RSA-OAEP)",
        ]
    );
    assert_eq!(verify(&keys, SIGNED), Ok(()));
    let nothing = set(&[json!({"kty": "AKP"})]).unwrap_err();
    assert!(nothing.starts_with("no key can be used: key 1 is of a kind"), "{nothing}");
}

#[test]
fn secrets_and_public_keys_do_not_go_together() {
    let secret = json!({"kty": "oct", "k": BASE64.encode([7; 32])});
    let mixed = set(&[secret, jwk(P256, json!({}))]).unwrap_err();
    assert!(mixed.starts_with("secrets (`oct`) and public keys do not go together"), "{mixed}");
}

#[test]
fn there_is_an_end_to_the_number_of_keys() {
    let keys = |count: usize| set(&vec![jwk(P256, json!({})); count]);
    assert!(keys(100).is_ok());
    assert_eq!(keys(101).unwrap_err(), "there are 101 keys; at most 100 are taken");
}

#[test]
fn a_token_is_tried_with_the_keys_of_its_name_and_algorithm() {
    let named = |kid: &str| jwk(P256, json!({"kid": kid}));
    let other = |kid: &str| jwk(&rsa(2048).to_string(), json!({"kid": kid}));
    let of_kid = |kid: &str| {
        let header = BASE64.encode(format!(r#"{{"alg":"ES256","kid":"{kid}"}}"#));
        format!("{header}.{}", SIGNED.split_once('.').unwrap().1)
    };
    // Its signature is of another header, so that it is wrong, but for a key that is there.
    assert_eq!(verify(&set(&[named("a")]).unwrap(), &of_kid("a")), Err(Refusal::SignatureInvalid));
    assert_eq!(verify(&set(&[named("a")]).unwrap(), &of_kid("A")), Err(Refusal::UnknownKey));
    assert_eq!(verify(&set(&[other("a")]).unwrap(), &of_kid("a")), Err(Refusal::UnknownKey), "algorithm");
    assert_eq!(verify(&set(&[jwk(P256, json!({}))]).unwrap(), &of_kid("a")), Err(Refusal::SignatureInvalid));
    // Without a name it is tried with all that fit, and of several of one name with each.
    assert_eq!(verify(&set(&[other("a"), named("b")]).unwrap(), SIGNED), Ok(()));
    let stranger = jwk(
        P256,
        json!({"x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4", "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}),
    );
    assert_eq!(verify(&set(&[stranger.clone(), named("b")]).unwrap(), SIGNED), Ok(()));
    // But not with any number of them: each costs half a millisecond.
    let many = [vec![stranger.clone(); 7], vec![named("b")]].concat();
    assert_eq!(verify(&set(&many).unwrap(), SIGNED), Ok(()));
    let too_many = [vec![stranger; 8], vec![named("b")]].concat();
    assert_eq!(verify(&set(&too_many).unwrap(), SIGNED), Err(Refusal::SignatureInvalid));
}

#[test]
fn a_key_with_an_algorithm_is_for_that_one_only() {
    let header = |alg: &str| format!("{}.e30.AAAA", BASE64.encode(format!(r#"{{"alg":"{alg}"}}"#)));
    let any = set(&[rsa(2048)]).unwrap();
    let one = set(&[jwk(&rsa(2048).to_string(), json!({"alg": "PS256"}))]).unwrap();
    for alg in ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"] {
        assert_eq!(verify(&any, &header(alg)), Err(Refusal::SignatureInvalid), "{alg}");
        let of_one = if alg == "PS256" { Refusal::SignatureInvalid } else { Refusal::UnknownKey };
        assert_eq!(verify(&one, &header(alg)), Err(of_one), "{alg}");
    }
    for alg in ["HS256", "HS384", "HS512", "ES256", "ES384", "EdDSA"] {
        assert_eq!(verify(&any, &header(alg)), Err(Refusal::UnknownKey), "{alg}");
    }
}

#[test]
fn of_several_keys_with_one_name_each_is_tried() {
    let stranger = jwk(ED25519, json!({"kid": "a"}));
    let other = jwk(
        P256,
        json!({"kid": "a", "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4", "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}),
    );
    let keys = set(&[stranger, other, jwk(P256, json!({"kid": "a"}))]).unwrap();
    assert_eq!(verify(&keys, SIGNED), Ok(()));
}

#[test]
fn nothing_of_a_secret_is_shown() {
    let keys =
        read(&json!({"kty": "oct", "k": BASE64.encode(b"a secret of thirty-two bytes, ok")}).to_string());
    let shown = format!("{keys:?}");
    assert!(shown.contains("Secret") && !shown.contains("97, 32, 115"), "{shown}");
}
