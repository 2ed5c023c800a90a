//! Private keys: made, read, and used to sign.

use base64::prelude::{BASE64_URL_SAFE_NO_PAD as BASE64, Engine as _};
use rand_core::OsRng;
use rsa::RsaPrivateKey;
use rsa::pkcs1::DecodeRsaPrivateKey as _;
use rsa::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, EncodePublicKey as _, LineEnding};
use rsa::signature::{SignatureEncoding as _, Signer as _};
use rsa::traits::PublicKeyParts as _;
use serde_json::{Value, json};

use crate::Failure;
use crate::args::SigningAlgorithm;

const RSA_BITS: usize = 2048;

/// A private key. What it is says what it signs with.
pub enum PrivateKey {
    Rsa(Box<RsaPrivateKey>),
    P256(p256::ecdsa::SigningKey),
    Ed25519(ed25519_dalek::SigningKey),
}

impl PrivateKey {
    /// Makes one.
    pub fn generate(algorithm: SigningAlgorithm) -> Result<PrivateKey, Failure> {
        Ok(match algorithm {
            SigningAlgorithm::Rs256 => {
                let key = RsaPrivateKey::new(&mut OsRng, RSA_BITS).map_err(|error| error.to_string())?;
                PrivateKey::Rsa(Box::new(key))
            }
            SigningAlgorithm::Es256 => PrivateKey::P256(p256::ecdsa::SigningKey::random(&mut OsRng)),
            SigningAlgorithm::EdDsa => PrivateKey::Ed25519(ed25519_dalek::SigningKey::generate(&mut OsRng)),
        })
    }

    /// Reads one from PEM: PKCS#8 of any kind, or PKCS#1.
    pub fn read(text: &str) -> Result<PrivateKey, Failure> {
        // Whoever pastes a key may paste more than the key.
        let text = text.find("-----BEGIN").and_then(|at| text.get(at..)).unwrap_or_default().trim();
        if let Ok(key) = RsaPrivateKey::from_pkcs8_pem(text).or_else(|_| RsaPrivateKey::from_pkcs1_pem(text))
        {
            return Ok(PrivateKey::Rsa(Box::new(key)));
        }
        if let Ok(key) = p256::ecdsa::SigningKey::from_pkcs8_pem(text) {
            return Ok(PrivateKey::P256(key));
        }
        if let Ok(key) = ed25519_dalek::SigningKey::from_pkcs8_pem(text) {
            return Ok(PrivateKey::Ed25519(key));
        }
        Err("this is no private key that can sign here: expected PEM of RSA, P-256 or Ed25519 \
             (`turnpike token keygen` makes one)"
            .into())
    }

    /// The key as PKCS#8 PEM.
    pub fn to_pem(&self) -> Result<String, Failure> {
        let pem = match self {
            PrivateKey::Rsa(key) => key.to_pkcs8_pem(LineEnding::LF),
            PrivateKey::P256(key) => key.to_pkcs8_pem(LineEnding::LF),
            PrivateKey::Ed25519(key) => key.to_pkcs8_pem(LineEnding::LF),
        };
        pem.map(|it| it.to_string()).map_err(|error| error.to_string())
    }

    /// Its public key as PEM.
    pub fn to_public_pem(&self) -> Result<String, Failure> {
        let pem = match self {
            PrivateKey::Rsa(key) => key.to_public_key().to_public_key_pem(LineEnding::LF),
            PrivateKey::P256(key) => key.verifying_key().to_public_key_pem(LineEnding::LF),
            PrivateKey::Ed25519(key) => key.verifying_key().to_public_key_pem(LineEnding::LF),
        };
        pem.map_err(|error| error.to_string())
    }

    /// Its public key as a JWK (RFC 7517).
    pub fn to_jwk(&self, kid: Option<&str>) -> Value {
        let mut jwk = match self {
            PrivateKey::Rsa(key) => {
                let (n, e) = (key.n().to_bytes_be(), key.e().to_bytes_be());
                json!({"kty": "RSA", "n": BASE64.encode(n), "e": BASE64.encode(e)})
            }
            PrivateKey::P256(key) => {
                let point = key.verifying_key().to_encoded_point(false);
                let encode = |it: Option<&_>| it.map(|it: &p256::FieldBytes| BASE64.encode(it));
                json!({"kty": "EC", "crv": "P-256", "x": encode(point.x()), "y": encode(point.y())})
            }
            PrivateKey::Ed25519(key) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": BASE64.encode(key.verifying_key().as_bytes())})
            }
        };
        if let Some(members) = jwk.as_object_mut() {
            members.insert("alg".into(), self.algorithm().into());
            members.insert("use".into(), "sig".into());
            members.extend(kid.map(|kid| ("kid".to_owned(), kid.into())));
        }
        jwk
    }

    /// What it signs with.
    pub fn algorithm(&self) -> &'static str {
        match self {
            PrivateKey::Rsa(_) => "RS256",
            PrivateKey::P256(_) => "ES256",
            PrivateKey::Ed25519(_) => "EdDSA",
        }
    }

    /// A token (RFC 7515 section 7.1) of a header and claims.
    pub fn token(&self, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", BASE64.encode(header), BASE64.encode(claims));
        let text = signed.as_bytes();
        let signature = match self {
            PrivateKey::Rsa(key) => {
                rsa::pkcs1v15::SigningKey::<rsa::sha2::Sha256>::new(key.as_ref().clone()).sign(text).to_vec()
            }
            PrivateKey::P256(key) => {
                let signature: p256::ecdsa::Signature = key.sign(text);
                signature.to_vec()
            }
            PrivateKey::Ed25519(key) => key.sign(text).to_vec(),
        };
        format!("{signed}.{}", BASE64.encode(signature))
    }
}

#[cfg(test)]
mod tests {
    use jwt::{KeySet, Token};

    use super::{PrivateKey, SigningAlgorithm};

    #[test]
    fn what_a_key_signs_its_public_key_verifies_in_every_form() {
        for algorithm in [SigningAlgorithm::Rs256, SigningAlgorithm::Es256, SigningAlgorithm::EdDsa] {
            let made = PrivateKey::generate(algorithm).unwrap();
            let key = PrivateKey::read(&made.to_pem().unwrap()).unwrap();
            let token = key.token(&format!(r#"{{"alg":"{}"}}"#, key.algorithm()), "{}");
            for public in [key.to_public_pem().unwrap(), key.to_jwk(Some("a")).to_string()] {
                let keys = KeySet::read(&public).unwrap();
                assert_eq!(keys.verify(&Token::parse(&token).unwrap()), Ok(()), "{algorithm:?}");
            }
        }
    }

    #[test]
    fn what_is_no_private_key_is_said_to_be_none() {
        let public = PrivateKey::generate(SigningAlgorithm::EdDsa).unwrap().to_public_pem().unwrap();
        for text in ["", "hello", &public] {
            assert!(PrivateKey::read(text).err().unwrap().starts_with("this is no private key"));
        }
    }
}
