//! Keys as PEM: every kind, weak ones, and what people put around them.

use p256::pkcs8::EncodePublicKey as _;
use rsa::pkcs1::EncodeRsaPublicKey as _;
use rsa::pkcs8::LineEnding;
use rsa::{BigUint, RsaPublicKey};

use super::KeySet;
use crate::Algorithm;
use crate::testing::test;

const RSA: [Algorithm; 6] = [
    Algorithm::Rs256,
    Algorithm::Rs384,
    Algorithm::Rs512,
    Algorithm::Ps256,
    Algorithm::Ps384,
    Algorithm::Ps512,
];

/// RFC 8410 section 10.1.
const ED25519: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PUBLIC KEY-----
";

/// An RSA key of so many bits, which nobody has the other half of.
fn rsa(bits: usize) -> RsaPublicKey {
    let modulus = (BigUint::from(1u8) << bits) - BigUint::from(3u8);
    RsaPublicKey::new_with_max_size(modulus, 65537u32.into(), 1 << 20).unwrap()
}

/// The same key in both of its forms.
fn forms(bits: usize) -> [String; 2] {
    let key = rsa(bits);
    [key.to_public_key_pem(LineEnding::LF).unwrap(), key.to_pkcs1_pem(LineEnding::LF).unwrap()]
}

fn p256() -> String {
    let key = p256::ecdsa::SigningKey::from_slice(&[7; 32]).unwrap();
    key.verifying_key().to_public_key_pem(LineEnding::LF).unwrap()
}

fn p384() -> String {
    let key = p384::ecdsa::SigningKey::from_slice(&[7; 48]).unwrap();
    key.verifying_key().to_public_key_pem(LineEnding::LF).unwrap()
}

fn pem(label: &str, der: &[u8]) -> String {
    pem_rfc7468::encode_string(label, LineEnding::LF, der).unwrap()
}

/// The algorithms of the one key that a text has.
fn algorithms(text: &str) -> Vec<Algorithm> {
    let keys = KeySet::read(text).unwrap();
    assert_eq!((keys.keys.len(), keys.skipped().len(), keys.keys[0].id.as_deref()), (1, 0, None));
    keys.keys[0].algorithms.clone()
}

fn problem(text: &str) -> String {
    KeySet::read(text).unwrap_err().to_string()
}

#[test]
fn a_block_says_by_itself_what_kind_of_key_it_is() {
    for bits in [2048, 3072, 4096, 8192] {
        for text in forms(bits) {
            assert_eq!(algorithms(&text), RSA, "{bits}");
        }
    }
    assert_eq!(algorithms(&p256()), [Algorithm::Es256]);
    assert_eq!(algorithms(&p384()), [Algorithm::Es384]);
    assert_eq!(algorithms(ED25519), [Algorithm::EdDsa]);
}

#[test]
fn what_stands_around_a_block_means_nothing() {
    let key = p256();
    for text in [
        key.replace('\n', "\r\n"),
        key.replace('\n', "\n\t    "),
        key.replace('\n', "  \n"),
        format!("\n\n{key}\n\n"),
        format!("Subject: CN=keys\nIssuer: CN=keys\n{key}"),
    ] {
        assert_eq!(algorithms(&text), [Algorithm::Es256], "{text}");
    }
}

#[test]
fn an_rsa_key_is_neither_weak_nor_endless() {
    for text in forms(2047).iter().chain(&forms(1024)).chain(&forms(512)) {
        let said = problem(text);
        assert!(said.contains("bits; at least 2048 are needed (RFC 7518 section 3.3)"), "{said}");
    }
    for text in forms(8193).iter().chain(&forms(16384)) {
        let said = problem(text);
        assert!(said.contains("bits; at most 8192 are taken"), "{said}");
    }
}

#[test]
fn a_point_that_anybody_could_sign_for_is_no_key() {
    let spki = |point: &[u8; 32]| {
        let head = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
        pem("PUBLIC KEY", &[head.as_slice(), point].concat())
    };
    let mut identity = [0; 32];
    identity[0] = 1;
    for point in [[0; 32], identity] {
        assert!(problem(&spki(&point)).starts_with("its point is of small order"), "{point:?}");
    }
}

#[test]
fn a_point_that_is_not_on_its_curve_is_no_key() {
    let (_, der) = pem_rfc7468::decode_vec(p256().as_bytes()).unwrap();
    let mut off = der;
    let last = off.len() - 1;
    off[last] ^= 1;
    assert!(problem(&pem("PUBLIC KEY", &off)).starts_with("this is a public key of a kind"));
}

#[test]
fn der_that_is_cut_or_goes_on_is_no_key() {
    for (label, text) in ["PUBLIC KEY", "RSA PUBLIC KEY"].into_iter().zip(forms(2048)) {
        let (_, der) = pem_rfc7468::decode_vec(text.as_bytes()).unwrap();
        assert_eq!(algorithms(&pem(label, &der)), RSA);
        for other in [&der[..der.len() - 1], &[der.as_slice(), &[0]].concat(), &der[..1], &[]] {
            assert!(KeySet::read(&pem(label, other)).is_err(), "{label}");
        }
    }
}

#[test]
fn a_block_has_no_second_beside_it() {
    let said = problem(&format!("{}{ED25519}", p256()));
    assert!(said.starts_with("there are several PEM blocks"), "{said}");
}
