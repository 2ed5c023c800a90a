//! ECDSA on P-384 with SHA-384 (RFC 7518 section 3.4), in the manner of the library that has the other algorithms.

use std::borrow::Cow;
use std::num::NonZeroUsize;

use jwt_compact::AlgorithmSignature;
use p384::ecdsa::signature::{Signer as _, Verifier as _};
use p384::ecdsa::{SigningKey, VerifyingKey};

/// The algorithm.
#[derive(Debug)]
pub struct Es384;

/// Two numbers of 48 bytes.
#[derive(Debug)]
pub struct Signature(p384::ecdsa::Signature);

impl AlgorithmSignature for Signature {
    const LENGTH: Option<NonZeroUsize> = NonZeroUsize::new(96);

    fn try_from_slice(bytes: &[u8]) -> anyhow::Result<Signature> {
        let signature = p384::ecdsa::Signature::from_slice(bytes);
        signature.map(Signature).map_err(|_| anyhow::anyhow!("this is no signature of P-384"))
    }

    fn as_bytes(&self) -> Cow<'_, [u8]> {
        Cow::Owned(self.0.to_bytes().to_vec())
    }
}

impl jwt_compact::Algorithm for Es384 {
    type SigningKey = SigningKey;
    type VerifyingKey = VerifyingKey;
    type Signature = Signature;

    fn name(&self) -> Cow<'static, str> {
        "ES384".into()
    }

    fn sign(&self, key: &SigningKey, message: &[u8]) -> Signature {
        Signature(key.sign(message))
    }

    fn verify_signature(&self, signature: &Signature, key: &VerifyingKey, message: &[u8]) -> bool {
        key.verify(message, &signature.0).is_ok()
    }
}
