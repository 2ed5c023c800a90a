//! Signatures that are made here, with private keys that are published or fixed: every algorithm, and the forms of a
//! signature that look alike and are not.

use base64::prelude::{BASE64_URL_SAFE_NO_PAD as BASE64, Engine as _};
use hmac::Mac as _;
use p256::ecdsa::signature::Signer as _;
use p256::elliptic_curve::rand_core::{CryptoRng, Error, RngCore};
use rsa::traits::PublicKeyParts as _;
use rsa::{BigUint, Pkcs1v15Sign, Pss, RsaPrivateKey};
use sha2::{Digest as _, Sha256, Sha384, Sha512};

use super::material::Material;
use crate::Algorithm;
use crate::testing::test;

const TEXT: &[u8] = b"eyJhbGciOiJhIn0.e30";

/// RFC 7515 appendix A.2.1: modulus, private exponent and primes.
const RSA: [&str; 4] = [
    "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ",
    "Eq5xpGnNCivDflJsRQBXHx1hdR1k6Ulwe2JZD50LpXyWPEAeP88vLNO97IjlA7_GQ5sLKMgvfTeXZx9SE-7YwVol2NXOoAJe46sui395IW_GO-pWJ1O0BkTGoVEn2bKVRUCgu-GjBVaYLU6f3l9kJfFNS3E0QbVdxzubSu3Mkqzjkn439X0M_V51gfpRLI9JYanrC4D4qAdGcopV_0ZHHzQlBjudU2QvXt4ehNYTCBr6XCLQUShb1juUO1ZdiYoFaFQT5Tw8bGUl_x_jTj3ccPDVZFD9pIuhLhBOneufuBiB4cS98l2SR_RQyGWSeWjnczT0QU91p1DhOVRuOopznQ",
    "4BzEEOtIpmVdVEZNCqS7baC4crd0pqnRH_5IB3jw3bcxGn6QLvnEtfdUdiYrqBdss1l58BQ3KhooKeQTa9AB0Hw_Py5PJdTJNPY8cQn7ouZ2KKDcmnPGBY5t7yLc1QlQ5xHdwW1VhvKn-nXqhJTBgIPgtldC-KDV5z-y2XDwGUc",
    "uQPEfgmVtjL0Uyyx88GZFF1fOunH3-7cepKmtH4pxhtCoHqpWmT8YAmZxaewHgHAjLYsp1ZSe7zFYHj7C6ul7TjeLQeZD_YwD66t62wDmpe_HlB-TnBA-njbglfIsRLtXlnDzQkv5dTltRJ11BKBBypeeF6689rjcJIDEz9RWdc",
];

/// RFC 8037 appendix A.1.
const ED25519: &str = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A";

/// Bytes without a pattern that are the same in every run: salts, which are nothing that has to be secret.
struct Salts(u64);

impl RngCore for Salts {
    fn next_u32(&mut self) -> u32 {
        (self.next_u64() >> 32) as u32
    }

    fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        bytes.fill_with(|| self.next_u32().to_be_bytes()[0]);
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Error> {
        self.fill_bytes(bytes);
        Ok(())
    }
}

impl CryptoRng for Salts {}

fn rsa() -> (Material, RsaPrivateKey) {
    let [n, d, p, q] = RSA.map(|it| BigUint::from_bytes_be(&BASE64.decode(it).unwrap()));
    let key = RsaPrivateKey::from_components(n, 65537u32.into(), d, vec![p, q]).unwrap();
    key.validate().unwrap();
    (Material::rsa(key.n().clone(), key.e().clone()).unwrap(), key)
}

fn pkcs1(key: &RsaPrivateKey, scheme: Pkcs1v15Sign, digest: &[u8]) -> Vec<u8> {
    key.sign(scheme, digest).unwrap()
}

fn pss(key: &RsaPrivateKey, scheme: Pss, digest: &[u8]) -> Vec<u8> {
    key.sign_with_rng(&mut Salts(1), scheme, digest).unwrap()
}

fn p256() -> (Material, p256::ecdsa::Signature) {
    let key = p256::ecdsa::SigningKey::from_slice(&[7; 32]).unwrap();
    (Material::P256(*key.verifying_key()), key.sign(TEXT))
}

fn ed25519() -> (Material, Vec<u8>) {
    let seed: [u8; 32] = BASE64.decode(ED25519).unwrap().try_into().unwrap();
    let key = ed25519_dalek::SigningKey::from_bytes(&seed);
    (Material::ed25519(key.verifying_key()).unwrap(), key.sign(TEXT).to_bytes().to_vec())
}

/// The signature is one with this algorithm and none with any other, and of nothing else.
fn is_good_for_one_only(key: &Material, algorithm: Algorithm, signature: &[u8]) {
    assert!(key.verifies(algorithm, TEXT, signature), "{algorithm}");
    for other in key.algorithms().into_iter().filter(|it| *it != algorithm) {
        assert!(!key.verifies(other, TEXT, signature), "{algorithm} as {other}");
    }
    assert!(!key.verifies(algorithm, &TEXT[1..], signature), "{algorithm}");
    for at in (0..signature.len()).step_by(7).chain([signature.len() - 1]) {
        let mut changed = signature.to_vec();
        changed[at] ^= 0x10;
        assert!(!key.verifies(algorithm, TEXT, &changed), "{algorithm} at {at}");
    }
}

#[test]
fn each_rsa_algorithm_is_its_own() {
    let (key, private) = rsa();
    let (a, b, c) = (Sha256::digest(TEXT), Sha384::digest(TEXT), Sha512::digest(TEXT));
    for (algorithm, signature) in [
        (Algorithm::Rs256, pkcs1(&private, Pkcs1v15Sign::new::<Sha256>(), &a)),
        (Algorithm::Rs384, pkcs1(&private, Pkcs1v15Sign::new::<Sha384>(), &b)),
        (Algorithm::Rs512, pkcs1(&private, Pkcs1v15Sign::new::<Sha512>(), &c)),
        (Algorithm::Ps256, pss(&private, Pss::new::<Sha256>(), &a)),
        (Algorithm::Ps384, pss(&private, Pss::new::<Sha384>(), &b)),
        (Algorithm::Ps512, pss(&private, Pss::new::<Sha512>(), &c)),
    ] {
        is_good_for_one_only(&key, algorithm, &signature);
    }
}

#[test]
fn the_salt_of_a_pss_signature_is_as_long_as_its_hash() {
    // RFC 7518 section 3.5.
    let (key, private) = rsa();
    for (length, good) in [(32, true), (0, false), (20, false), (31, false), (33, false), (64, false)] {
        let signature = pss(&private, Pss::new_with_salt::<Sha256>(length), &Sha256::digest(TEXT));
        assert_eq!(key.verifies(Algorithm::Ps256, TEXT, &signature), good, "{length}");
    }
}

#[test]
fn what_is_signed_names_its_hash() {
    // Without the name, as TLS 1.1 had it, a signature is none (RFC 8017 section 8.2.2).
    let (key, private) = rsa();
    let signature = pkcs1(&private, Pkcs1v15Sign::new_unprefixed(), &Sha256::digest(TEXT));
    assert!(!key.verifies(Algorithm::Rs256, TEXT, &signature));
}

#[test]
fn an_rsa_signature_is_a_number_below_the_modulus_in_all_its_bytes() {
    let (key, private) = rsa();
    let signature = pkcs1(&private, Pkcs1v15Sign::new::<Sha256>(), &Sha256::digest(TEXT));
    let number = BigUint::from_bytes_be(&signature);
    for other in [
        (number + private.n()).to_bytes_be(),
        private.n().to_bytes_be(),
        [&[0], signature.as_slice()].concat(),
        [signature.as_slice(), &[0]].concat(),
        signature[..255].to_vec(),
        vec![0; 256],
        [vec![0; 255], vec![1]].concat(),
        Vec::new(),
    ] {
        for algorithm in key.algorithms() {
            assert!(!key.verifies(algorithm, TEXT, &other), "{algorithm} of {} bytes", other.len());
        }
    }
}

#[test]
fn eddsa_is_known_and_a_signature_has_one_form() {
    let (key, signature) = ed25519();
    is_good_for_one_only(&key, Algorithm::EdDsa, &signature);
    // RFC 8032 section 5.1.7: the second half with the order of the group added to it would verify without that check.
    let order = BigUint::from_bytes_le(&[
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ]);
    let mut second = (BigUint::from_bytes_le(&signature[32..]) + order).to_bytes_le();
    second.resize(32, 0);
    let other = [&signature[..32], second.as_slice()].concat();
    assert!(!key.verifies(Algorithm::EdDsa, TEXT, &other));
    assert!(!key.verifies(Algorithm::EdDsa, TEXT, &[signature.as_slice(), &[0]].concat()));
}

#[test]
fn es256_is_two_numbers_of_thirty_two_bytes_and_no_der() {
    let (key, signature) = p256();
    let bytes = signature.to_bytes();
    is_good_for_one_only(&key, Algorithm::Es256, &bytes);
    for other in [
        signature.to_der().as_bytes(),
        // What Envoy's own filter takes.
        &[bytes.as_slice(), &[0]].concat(),
        &[&[0], bytes.as_slice()].concat(),
        &bytes[..63],
        &[&[0; 32], &bytes[32..]].concat(),
        &[&bytes[..32], &[0; 32]].concat(),
        &[0xff; 64],
    ] {
        assert!(!key.verifies(Algorithm::Es256, TEXT, other), "{} bytes", other.len());
    }
}

#[test]
fn either_half_of_the_curve_is_good_for_es256() {
    // RFC 7518 section 3.4 does not ask for the lower one, and what signs tokens does not choose it.
    let (key, signature) = p256();
    let (r, s) = signature.split_scalars();
    let mirrored = p256::ecdsa::Signature::from_scalars(r.to_bytes(), (-*s).to_bytes()).unwrap();
    assert_ne!(mirrored, signature);
    assert!(key.verifies(Algorithm::Es256, TEXT, &mirrored.to_bytes()));
}

#[test]
fn a_secret_is_as_long_as_the_hash_that_it_is_used_with() {
    let secret = [7; 64];
    let hs256 = hmac::Hmac::<Sha256>::new_from_slice(&secret).unwrap().chain_update(TEXT).finalize();
    let hs384 = hmac::Hmac::<Sha384>::new_from_slice(&secret).unwrap().chain_update(TEXT).finalize();
    let hs512 = hmac::Hmac::<Sha512>::new_from_slice(&secret).unwrap().chain_update(TEXT).finalize();
    let key = Material::secret(secret.to_vec()).unwrap();
    is_good_for_one_only(&key, Algorithm::Hs256, &hs256.into_bytes());
    is_good_for_one_only(&key, Algorithm::Hs384, &hs384.into_bytes());
    is_good_for_one_only(&key, Algorithm::Hs512, &hs512.into_bytes());
    let allowed = |length: usize| Material::secret(vec![7; length]).map(|it| it.algorithms().len()).ok();
    assert_eq!([31, 32, 47, 48, 63, 64].map(allowed), [None, Some(1), Some(1), Some(2), Some(2), Some(3)]);
}
