//! Tokens as a caller brings them: good ones of every algorithm, and bad ones in number.

use std::sync::OnceLock;

use base64::prelude::{BASE64_URL_SAFE_NO_PAD as BASE64, Engine as _};
use hmac::{Hmac, Mac as _};
use rand_core::OsRng;
use rsa::pkcs8::{EncodePublicKey as _, LineEnding};
use rsa::signature::{RandomizedSigner as _, SignatureEncoding as _, Signer as _};
use rsa::traits::PublicKeyParts as _;
use rsa::{RsaPrivateKey, pkcs1v15, pss};
use serde_json::{Value, json};
use sha2::{Sha256, Sha384, Sha512};

/// The claims of the tour's Alice, who may use one model of one provider. Printed over several lines, as
/// many scripts do.
pub const ALICE: &str = r#"{
  "iss": "solo.io",
  "org": "solo.io",
  "sub": "alice",
  "team": "dev",
  "llms": {
    "openai": [
      "gpt-4o-mini"
    ]
  }
}"#;

/// The claims of the tour's Bob.
pub const BOB: &str = r#"{"iss":"solo.io","org":"solo.io","sub":"bob","team":"ops","llms":{"mistralai":["open-mistral-nemo"]}}"#;

/// Every algorithm that the gateway knows with public keys.
pub const ALGORITHMS: [&str; 9] =
    ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];

/// The keys of an issuer, one of each kind. Making them takes a second, so they are made once.
pub struct Issuer {
    rsa: RsaPrivateKey,
    p256: p256::ecdsa::SigningKey,
    p384: p384::ecdsa::SigningKey,
    ed25519: ed25519_dalek::SigningKey,
    secret: Vec<u8>,
}

/// The issuer of these tests.
pub fn issuer() -> &'static Issuer {
    static ISSUER: OnceLock<Issuer> = OnceLock::new();
    ISSUER.get_or_init(Issuer::new)
}

/// Somebody else, whose keys nobody knows.
pub fn impostor() -> &'static Issuer {
    static IMPOSTOR: OnceLock<Issuer> = OnceLock::new();
    IMPOSTOR.get_or_init(Issuer::new)
}

impl Issuer {
    fn new() -> Issuer {
        Issuer {
            rsa: RsaPrivateKey::new(&mut OsRng, 2048).unwrap(),
            p256: p256::ecdsa::SigningKey::random(&mut OsRng),
            p384: p384::ecdsa::SigningKey::random(&mut OsRng),
            ed25519: ed25519_dalek::SigningKey::generate(&mut OsRng),
            secret: (0..64).map(|i| i * 3 + 7).collect(),
        }
    }

    /// The public key for an algorithm, or the secret one where there is no other, as a JWK (RFC 7517, RFC 8037).
    pub fn jwk(&self, algorithm: &str, kid: &str) -> Value {
        let encode = |bytes: &[u8]| BASE64.encode(bytes);
        let mut jwk = match algorithm.get(..2).unwrap() {
            "RS" | "PS" => {
                json!({"kty": "RSA", "n": encode(&self.rsa.n().to_bytes_be()), "e": encode(&self.rsa.e().to_bytes_be())})
            }
            "ES" if algorithm == "ES256" => {
                let point = self.p256.verifying_key().to_encoded_point(false);
                json!({"kty": "EC", "crv": "P-256", "x": encode(point.x().unwrap()), "y": encode(point.y().unwrap())})
            }
            "ES" => {
                let point = self.p384.verifying_key().to_encoded_point(false);
                json!({"kty": "EC", "crv": "P-384", "x": encode(point.x().unwrap()), "y": encode(point.y().unwrap())})
            }
            "Ed" => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": encode(self.ed25519.verifying_key().as_bytes())})
            }
            _ => json!({"kty": "oct", "k": encode(&self.secret)}),
        };
        jwk["alg"] = algorithm.into();
        jwk["kid"] = kid.into();
        jwk
    }

    /// A JWKS with one key.
    pub fn jwks(&self, algorithm: &str, kid: &str) -> String {
        json!({"keys": [self.jwk(algorithm, kid)]}).to_string()
    }

    /// The RSA public key as PEM, as the tour's policy has it.
    pub fn pem(&self) -> String {
        self.rsa.to_public_key().to_public_key_pem(LineEnding::LF).unwrap()
    }

    /// A token of these claims and no `kid`.
    pub fn token(&self, algorithm: &str, claims: &str) -> String {
        self.sign(algorithm, &format!(r#"{{"alg":"{algorithm}","typ":"JWT"}}"#), claims)
    }

    /// A token with this header, signed with this algorithm, whatever the header says.
    pub fn sign(&self, algorithm: &str, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", BASE64.encode(header), BASE64.encode(claims));
        format!("{signed}.{}", BASE64.encode(self.signature(algorithm, signed.as_bytes())))
    }

    fn signature(&self, algorithm: &str, text: &[u8]) -> Vec<u8> {
        let rsa = || self.rsa.clone();
        match algorithm {
            "RS256" => pkcs1v15::SigningKey::<Sha256>::new(rsa()).sign(text).to_vec(),
            "RS384" => pkcs1v15::SigningKey::<Sha384>::new(rsa()).sign(text).to_vec(),
            "RS512" => pkcs1v15::SigningKey::<Sha512>::new(rsa()).sign(text).to_vec(),
            "PS256" => pss::SigningKey::<Sha256>::new(rsa()).sign_with_rng(&mut OsRng, text).to_vec(),
            "PS384" => pss::SigningKey::<Sha384>::new(rsa()).sign_with_rng(&mut OsRng, text).to_vec(),
            "PS512" => pss::SigningKey::<Sha512>::new(rsa()).sign_with_rng(&mut OsRng, text).to_vec(),
            "ES256" => {
                let signature: p256::ecdsa::Signature = self.p256.sign(text);
                signature.to_vec()
            }
            "ES384" => {
                let signature: p384::ecdsa::Signature = self.p384.sign(text);
                signature.to_vec()
            }
            "EdDSA" => self.ed25519.sign(text).to_vec(),
            "HS256" => hs256(&self.secret, text),
            _ => panic!("no algorithm {algorithm}"),
        }
    }
}

/// HMAC with SHA-256, with any key: also with one that is none.
pub fn hs256(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

/// Claims with a member before the others: `with("\"exp\":1", ALICE)`.
pub fn with(member: &str, claims: &str) -> String {
    claims.replacen('{', &format!("{{{member},"), 1)
}

/// The seconds since the Unix epoch.
pub fn now() -> u64 {
    std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs()
}
