//! Keys as JSON (RFC 7517, RFC 7518 section 6, RFC 8037 section 2).

use base64::prelude::{BASE64_URL_SAFE_NO_PAD as BASE64, Engine as _};
use rsa::BigUint;
use serde_json::{Map, Value};

use super::material::Material;
use super::{Key, KeyProblem, KeySet, problem};
use crate::algorithm::Algorithm;
use crate::json;

/// More keys than any issuer has.
const MOST_KEYS: usize = 100;

/// What has been made of one key.
enum Read {
    Key(Box<Key>),
    /// It is for something else, or of a kind that is not known here.
    Skipped(String),
}

pub fn read(text: &str) -> Result<KeySet, KeyProblem> {
    let value = json::read(text.as_bytes());
    let Ok(Value::Object(object)) = value else {
        let why = value.err().map_or_else(String::new, |error| format!(": {error}"));
        return problem(format!("the key is no JSON object{why}"));
    };
    let list = match object.get("keys") {
        None if object.contains_key("kty") => vec![Value::Object(object)],
        None => return problem("the JSON has neither `keys` (a JWKS) nor `kty` (a JWK)"),
        Some(Value::Array(list)) => list.clone(),
        Some(_) => return problem("`keys` has to be a list"),
    };
    if list.len() > MOST_KEYS {
        return problem(format!("there are {} keys; at most {MOST_KEYS} are taken", list.len()));
    }
    let mut set = KeySet { keys: Vec::new(), skipped: Vec::new() };
    for (i, jwk) in list.iter().enumerate() {
        let name = match jwk.get("kid").and_then(Value::as_str) {
            Some(id) => format!("key {} (`{id}`)", i + 1),
            None => format!("key {}", i + 1),
        };
        match read_key(jwk) {
            Ok(Read::Key(key)) => set.keys.push(*key),
            Ok(Read::Skipped(why)) => set.skipped.push(format!("{name} {why}")),
            Err(KeyProblem(what)) => return problem(format!("{name}: {what}")),
        }
    }
    let secret = |key: &Key| matches!(key.material, Material::Secret(_));
    if set.keys.iter().any(secret) && !set.keys.iter().all(secret) {
        return problem(
            "secrets (`oct`) and public keys do not go together: give each a provider of its own",
        );
    }
    if set.keys.is_empty() {
        let skipped = if set.skipped.is_empty() { "there is none".into() } else { set.skipped.join("; ") };
        return problem(format!("no key can be used: {skipped}"));
    }
    Ok(set)
}

fn read_key(jwk: &Value) -> Result<Read, KeyProblem> {
    let Value::Object(jwk) = jwk else { return problem("expected an object") };
    let text = |name: &str| match jwk.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str())),
        Some(_) => problem(format!("`{name}` has to be a string")),
    };
    let skipped = |why: String| Ok(Read::Skipped(why));
    let kind = match text("kty")? {
        Some(kind) => kind,
        None => return problem("`kty` is missing"),
    };
    if text("use")?.is_some_and(|it| it != "sig") {
        return skipped("is not for signatures (`use`)".into());
    }
    match jwk.get("key_ops") {
        None => {}
        Some(Value::Array(operations)) if operations.iter().any(|it| it == "verify") => {}
        Some(Value::Array(_)) => return skipped("is not for verifying (`key_ops`)".into()),
        Some(_) => return problem("`key_ops` has to be a list"),
    }
    if kind != "oct" && jwk.contains_key("d") {
        return problem(
            "this is a private key, which has no business here: leave out `d` and what comes with it",
        );
    }
    let material = match (kind, text("crv")?) {
        ("RSA", _) => rsa(jwk)?,
        ("EC", Some("P-256")) => p256(jwk)?,
        ("EC", Some("P-384")) => p384(jwk)?,
        ("OKP", Some("Ed25519")) => ed25519(jwk)?,
        ("oct", _) => Material::secret(bytes(jwk, "k")?)?,
        (kind, curve) => {
            return skipped(format!("is of a kind that is not known here ({kind} {})", curve.unwrap_or("")));
        }
    };
    let algorithms = match text("alg")? {
        None => material.algorithms(),
        Some(name) => match Algorithm::named(name) {
            Some(it) if material.algorithms().contains(&it) => vec![it],
            Some(it) => return problem(format!("`alg` {it} does not go with such a key")),
            None => return skipped(format!("is for an algorithm that is not known here ({name})")),
        },
    };
    let key = Key { id: text("kid")?.map(str::to_owned), algorithms, material };
    Ok(Read::Key(Box::new(key)))
}

/// A member that is base64url.
fn bytes(jwk: &Map<String, Value>, name: &str) -> Result<Vec<u8>, KeyProblem> {
    let decoded = jwk.get(name).and_then(Value::as_str).and_then(|it| BASE64.decode(it).ok());
    match decoded {
        Some(bytes) if !bytes.is_empty() => Ok(bytes),
        _ => problem(format!("`{name}` has to be base64url without padding")),
    }
}

fn rsa(jwk: &Map<String, Value>) -> Result<Material, KeyProblem> {
    let number = |name| bytes(jwk, name).map(|it| BigUint::from_bytes_be(&it));
    Material::rsa(number("n")?, number("e")?)
}

/// A point on a curve, uncompressed (SEC 1 section 2.3.3). Whether it is on the curve is checked by who takes it.
fn point(jwk: &Map<String, Value>, size: usize) -> Result<Vec<u8>, KeyProblem> {
    let (x, y) = (bytes(jwk, "x")?, bytes(jwk, "y")?);
    if x.len() != size || y.len() != size {
        return problem(format!("`x` and `y` have to be {size} bytes long each"));
    }
    Ok([&[4], x.as_slice(), y.as_slice()].concat())
}

fn p256(jwk: &Map<String, Value>) -> Result<Material, KeyProblem> {
    let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(&point(jwk, 32)?);
    key.map(Material::P256).map_err(|_| KeyProblem("`x` and `y` are no point of P-256".into()))
}

fn p384(jwk: &Map<String, Value>) -> Result<Material, KeyProblem> {
    let key = p384::ecdsa::VerifyingKey::from_sec1_bytes(&point(jwk, 48)?);
    key.map(Material::P384).map_err(|_| KeyProblem("`x` and `y` are no point of P-384".into()))
}

fn ed25519(jwk: &Map<String, Value>) -> Result<Material, KeyProblem> {
    let x = bytes(jwk, "x")?;
    let key = <[u8; 32]>::try_from(x).ok().and_then(|it| ed25519_dalek::VerifyingKey::from_bytes(&it).ok());
    match key {
        Some(key) => Material::ed25519(key),
        None => problem("`x` is no point of Ed25519: expected 32 bytes"),
    }
}
