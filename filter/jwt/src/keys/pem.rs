//! Keys as PEM (RFC 7468).

use rsa::BigUint;
use rsa::pkcs1;
use rsa::pkcs8::{DecodePublicKey as _, SubjectPublicKeyInfoRef};

use super::material::Material;
use super::{Key, KeyProblem, problem};

pub fn read(text: &str) -> Result<Key, KeyProblem> {
    // What stands before the first line, and spaces that YAML has left at the beginning of lines, mean nothing.
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let text = lines.join("\n");
    let text = text.find("-----BEGIN").and_then(|at| text.get(at..)).unwrap_or_default();
    if text.matches("-----BEGIN").count() > 1 {
        return problem("there are several PEM blocks: put one key here, or all of them into a JWKS");
    }
    let (label, der) = match pem_rfc7468::decode_vec(text.as_bytes()) {
        Ok(decoded) => decoded,
        Err(error) => return problem(format!("the PEM block cannot be read: {error}")),
    };
    let material = match label {
        "PUBLIC KEY" => subject_public_key(&der)?,
        "RSA PUBLIC KEY" => rsa_public_key(&der)?,
        "CERTIFICATE" => {
            return problem(
                "this is a certificate: take the public key out of it (`openssl x509 -pubkey -noout`)",
            );
        }
        label if label.contains("PRIVATE KEY") => {
            return problem(
                "this is a private key, which has no business here: put its public key here \
                 (`turnpike token public --key FILE`) and keep the private one with who signs",
            );
        }
        label => return problem(format!("a PEM block `{label}` is no public key")),
    };
    Ok(Key { id: None, algorithms: material.algorithms(), material })
}

/// A key of any kind (RFC 5280 section 4.1, `SubjectPublicKeyInfo`).
fn subject_public_key(der: &[u8]) -> Result<Material, KeyProblem> {
    if let Ok(key) = SubjectPublicKeyInfoRef::try_from(der)
        && key.algorithm == pkcs1::ALGORITHM_ID
        && let Some(numbers) = key.subject_public_key.as_bytes()
    {
        return rsa_public_key(numbers);
    }
    if let Ok(key) = p256::ecdsa::VerifyingKey::from_public_key_der(der) {
        return Ok(Material::P256(key));
    }
    if let Ok(key) = p384::ecdsa::VerifyingKey::from_public_key_der(der) {
        return Ok(Material::P384(key));
    }
    if let Ok(key) = ed25519_dalek::VerifyingKey::from_public_key_der(der) {
        return Material::ed25519(key);
    }
    problem("this is a public key of a kind that is not known here: expected RSA, P-256, P-384 or Ed25519")
}

/// Two numbers (RFC 8017 appendix A.1.1). The library reads no key of more than 4096 bits whole, and does not say why.
fn rsa_public_key(der: &[u8]) -> Result<Material, KeyProblem> {
    match pkcs1::RsaPublicKey::try_from(der) {
        Ok(key) => {
            let number = |it: pkcs1::UintRef<'_>| BigUint::from_bytes_be(it.as_bytes());
            Material::rsa(number(key.modulus), number(key.public_exponent))
        }
        Err(error) => problem(format!("this is no RSA public key: {error}")),
    }
}
