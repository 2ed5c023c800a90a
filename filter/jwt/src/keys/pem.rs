//! Keys as PEM (RFC 7468).

use rsa::RsaPublicKey;
use rsa::pkcs1::DecodeRsaPublicKey as _;
use rsa::pkcs8::DecodePublicKey as _;

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
        "RSA PUBLIC KEY" => match RsaPublicKey::from_pkcs1_der(&der) {
            Ok(key) => Material::rsa(key)?,
            Err(error) => return problem(format!("this is no RSA public key: {error}")),
        },
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
    if let Ok(key) = RsaPublicKey::from_public_key_der(der) {
        return Material::rsa(key);
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
