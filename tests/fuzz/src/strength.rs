//! How strong keys are that were taken, read a second time and in another way.

use base64::prelude::{BASE64_URL_SAFE_NO_PAD as BASE64, Engine as _};
use serde_json::Value;

/// The algorithms of RFC 7518 section 3.1 and RFC 8037 that are known.
const ALGORITHMS: [&str; 12] = [
    "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384",
    "EdDSA",
];

/// Keys as JSON, a JWK or a JWKS: each that is for signatures is strong and public, and no secret is among public ones.
pub fn of_json(json: &Value) {
    let list = match json.get("keys") {
        Some(list) => list.as_array().unwrap().clone(),
        None => vec![json.clone()],
    };
    assert!((1..=100).contains(&list.len()));
    let for_signatures = list.iter().filter(|key| {
        let use_ = key.get("use").is_none_or(|it| it == "sig");
        let operations = key.get("key_ops").and_then(Value::as_array);
        use_ && operations.is_none_or(|it| it.contains(&Value::from("verify")))
    });
    let (mut secret, mut public) = (false, false);
    for key in for_signatures {
        let bytes = |name: &str| BASE64.decode(key[name].as_str().unwrap()).unwrap();
        match (key["kty"].as_str().unwrap(), key["crv"].as_str().unwrap_or_default()) {
            ("RSA", _) => modulus(&bytes("n")),
            ("EC", "P-256") => assert_eq!((bytes("x").len(), bytes("y").len()), (32, 32)),
            ("EC", "P-384") => assert_eq!((bytes("x").len(), bytes("y").len()), (48, 48)),
            ("OKP", "Ed25519") => assert_eq!(bytes("x").len(), 32),
            ("oct", _) => assert!(bytes("k").len() >= 32),
            _ => continue,
        }
        let is_secret = key["kty"] == "oct";
        assert!(is_secret || key.get("d").is_none(), "a private key");
        if key.get("alg").is_none_or(|it| ALGORITHMS.contains(&it.as_str().unwrap())) {
            secret |= is_secret;
            public |= !is_secret;
        }
    }
    assert!(secret != public, "either secrets or public keys");
}

/// A key as DER: `SubjectPublicKeyInfo` (RFC 5280 section 4.1) or `RSAPublicKey` (RFC 8017 appendix A.1.1).
pub fn of_der(label: &str, der: &[u8]) {
    const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
    let (whole, rest) = element(der);
    assert!(rest.is_empty());
    if label == "RSA PUBLIC KEY" {
        return modulus(element(whole).0);
    }
    let (algorithm, key) = element(whole);
    let (name, _) = element(algorithm);
    let (bits, _) = element(key);
    if name == RSA {
        modulus(element(element(&bits[1..]).0).0);
    } else {
        // Ed25519, P-256 and P-384, and the latter two with one coordinate only.
        assert!([32, 65, 97, 33, 49].contains(&(bits.len() - 1)), "{}", bits.len());
    }
}

/// The content of the first element of DER, and what follows it.
fn element(der: &[u8]) -> (&[u8], &[u8]) {
    let (length, start) = match usize::from(der[1]) {
        short @ 0..=0x7f => (short, 2),
        long => {
            let end = 2 + (long & 0x7f);
            (der[2..end].iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), end)
        }
    };
    der[start..].split_at(length)
}

/// RFC 7518 section 3.3, and a bound on what verifying costs.
fn modulus(bytes: &[u8]) {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let first = bytes[zeros];
    let bits = (bytes.len() - zeros) * 8 - usize::try_from(first.leading_zeros()).unwrap();
    assert!((2048..=8192).contains(&bits), "an RSA key of {bits} bits");
}
