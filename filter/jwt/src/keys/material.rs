//! The numbers of a key, checked when it is read so that verifying needs to check nothing.

use ed25519_dalek::VerifyingKey as Ed25519Key;
use jwt_compact::AlgorithmSignature;
use jwt_compact::alg::{Ed25519, Es256, Hs256, Hs256Key, Hs384, Hs384Key, Hs512, Hs512Key, Rsa};
use p256::ecdsa::VerifyingKey as P256Key;
use p384::ecdsa::VerifyingKey as P384Key;
use rsa::traits::PublicKeyParts as _;
use rsa::{BigUint, RsaPublicKey};

use super::{KeyProblem, problem};
use crate::algorithm::Algorithm;
use crate::es384::Es384;

/// RFC 7518 section 3.3.
const LEAST_RSA_BITS: usize = 2048;
/// More than that takes long to verify, and nobody has it.
const MOST_RSA_BITS: usize = 8192;

/// The numbers of a key.
pub enum Material {
    Rsa(RsaPublicKey),
    P256(P256Key),
    P384(P384Key),
    Ed25519(Ed25519Key),
    Secret(Vec<u8>),
}

impl Material {
    /// An RSA key that is strong enough, by its modulus and exponent.
    pub fn rsa(n: BigUint, e: BigUint) -> Result<Material, KeyProblem> {
        // The size first: the library has bounds of its own, and says so in other words.
        let bits = n.bits();
        if bits < LEAST_RSA_BITS {
            return problem(format!(
                "its RSA modulus has {bits} bits; at least {LEAST_RSA_BITS} are needed (RFC 7518 section 3.3)"
            ));
        }
        if bits > MOST_RSA_BITS {
            return problem(format!("its RSA modulus has {bits} bits; at most {MOST_RSA_BITS} are taken"));
        }
        match RsaPublicKey::new_with_max_size(n, e, MOST_RSA_BITS) {
            Ok(key) => Ok(Material::Rsa(key)),
            Err(error) => problem(format!("this is no RSA public key: {error}")),
        }
    }

    /// An Ed25519 key that is a point for which signatures mean something.
    pub fn ed25519(key: Ed25519Key) -> Result<Material, KeyProblem> {
        if key.is_weak() {
            return problem("its point is of small order, so that anybody could sign for it");
        }
        Ok(Material::Ed25519(key))
    }

    /// A secret that is as long as the hash of the algorithm at least (RFC 7518 section 3.2).
    pub fn secret(bytes: Vec<u8>) -> Result<Material, KeyProblem> {
        if bytes.len() < 32 {
            return problem(format!("the secret has {} bytes; HS256 needs 32 at least", bytes.len()));
        }
        Ok(Material::Secret(bytes))
    }

    /// The algorithms that such a key can be used with.
    pub fn algorithms(&self) -> Vec<Algorithm> {
        use Algorithm::{Hs256, Hs384, Hs512, Ps256, Ps384, Ps512, Rs256, Rs384, Rs512};
        match self {
            Material::Rsa(_) => vec![Rs256, Rs384, Rs512, Ps256, Ps384, Ps512],
            Material::P256(_) => vec![Algorithm::Es256],
            Material::P384(_) => vec![Algorithm::Es384],
            Material::Ed25519(_) => vec![Algorithm::EdDsa],
            Material::Secret(bytes) => {
                let longest = [(Hs256, 32), (Hs384, 48), (Hs512, 64)].into_iter();
                longest.filter(|(_, least)| bytes.len() >= *least).map(|(it, _)| it).collect()
            }
        }
    }

    /// Whether these bytes are a signature of this text.
    pub fn verifies(&self, algorithm: Algorithm, text: &[u8], signature: &[u8]) -> bool {
        match (self, algorithm) {
            // RFC 8017 section 8.1.2: a signature is as long as the modulus.
            (Material::Rsa(key), it) if signature.len() == key.size() => {
                rsa(it).is_some_and(|it| verify(&it, key, text, signature))
            }
            (Material::P256(key), Algorithm::Es256) => verify(&Es256, key, text, signature),
            (Material::P384(key), Algorithm::Es384) => verify(&Es384, key, text, signature),
            (Material::Ed25519(key), Algorithm::EdDsa) => verify(&Ed25519, key, text, signature),
            (Material::Secret(key), Algorithm::Hs256) => verify(&Hs256, &Hs256Key::new(key), text, signature),
            (Material::Secret(key), Algorithm::Hs384) => verify(&Hs384, &Hs384Key::new(key), text, signature),
            (Material::Secret(key), Algorithm::Hs512) => verify(&Hs512, &Hs512Key::new(key), text, signature),
            _ => false,
        }
    }
}

/// Never shows a secret.
impl std::fmt::Debug for Material {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Material::Rsa(_) => "Rsa",
            Material::P256(_) => "P256",
            Material::P384(_) => "P384",
            Material::Ed25519(_) => "Ed25519",
            Material::Secret(_) => "Secret",
        })
    }
}

fn rsa(algorithm: Algorithm) -> Option<Rsa> {
    match algorithm {
        Algorithm::Rs256 => Some(Rsa::rs256()),
        Algorithm::Rs384 => Some(Rsa::rs384()),
        Algorithm::Rs512 => Some(Rsa::rs512()),
        Algorithm::Ps256 => Some(Rsa::ps256()),
        Algorithm::Ps384 => Some(Rsa::ps384()),
        Algorithm::Ps512 => Some(Rsa::ps512()),
        _ => None,
    }
}

fn verify<A: jwt_compact::Algorithm>(
    algorithm: &A,
    key: &A::VerifyingKey,
    text: &[u8],
    signature: &[u8],
) -> bool {
    // The library's HMAC panics on bytes of another length, so that comes first.
    if A::Signature::LENGTH.is_some_and(|length| length.get() != signature.len()) {
        return false;
    }
    let signature = A::Signature::try_from_slice(signature);
    signature.is_ok_and(|it| algorithm.verify_signature(&it, key, text))
}
