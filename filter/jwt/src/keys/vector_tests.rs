//! Signatures that others have published, and what is left of them when a bit is changed.

use base64::prelude::{BASE64_URL_SAFE_NO_PAD as BASE64, Engine as _};

use super::KeySet;
use crate::testing::test;
use crate::{Algorithm, Refusal, Token};

/// RFC 7515 appendix A.1: HS256, with line ends in its JSON. RFC 7519 section 3.1 has the same token.
const A1: (&str, &str) = (
    r#"{"kty":"oct","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}"#,
    "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
);

/// RFC 7515 appendix A.2: RS256.
const A2: (&str, &str) = (
    r#"{"kty":"RSA","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ","e":"AQAB"}"#,
    "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
);

/// RFC 7515 appendix A.3: ES256.
const A3: (&str, &str) = (
    r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#,
    "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
);

/// RFC 7520 section 3.4: the key of its examples.
const BILBO: &str = r#"{"kty":"RSA","kid":"bilbo.baggins@hobbiton.example","use":"sig","n":"n4EPtAOCc9AlkeQHPzHStgAbgs7bTZLwUBZdR8_KuKPEHLd4rHVTeT-O-XV2jRojdNhxJWTDvNd7nqQ0VEiZQHz_AJmSCpMaJMRBSFKrKb2wqVwGU_NsYOYL-QtiWN2lbzcEe6XC0dApr5ydQLrHqkHHig3RBordaZ6Aj-oBHqFEHYpPe7Tpe-OfVfHd1E6cS6M1FZcD1NNLYD5lFHpPI9bTwJlsde3uhGqC0ZCuEHg8lhzwOHrtIQbS0FVbb9k3-tVTU4fg_3L_vniUFAKwuCLqKnS2BYwdq_mzSnbLY7h_qixoR7jig3__kRhuaxwUkRz5iaiQkqgc5gHdrNP5zw","e":"AQAB"}"#;

/// RFC 7520 section 4: what its examples sign. It is text, so these are signatures and no tokens.
const DANGEROUS: &str = "SXTigJlzIGEgZGFuZ2Vyb3VzIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAgb250byB0aGUgcm9hZCwgYW5kIGlmIHlvdSBkb24ndCBrZWVwIHlvdXIgZmVldCwgdGhlcmXigJlzIG5vIGtub3dpbmcgd2hlcmUgeW91IG1pZ2h0IGJlIHN3ZXB0IG9mZiB0by4";

/// Texts that are signed and are no tokens: a key, an algorithm, a header, what is signed, the signature.
const SIGNATURES: [(&str, Algorithm, &str, &str, &str); 6] = [
    // RFC 7520 section 4.1.
    (
        BILBO,
        Algorithm::Rs256,
        "eyJhbGciOiJSUzI1NiIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9",
        DANGEROUS,
        "MRjdkly7_-oTPTS3AXP41iQIGKa80A0ZmTuV5MEaHoxnW2e5CZ5NlKtainoFmKZopdHM1O2U4mwzJdQx996ivp83xuglII7PNDi84wnB-BDkoBwA78185hX-Es4JIwmDLJK3lfWRa-XtL0RnltuYv746iYTh_qHRD68BNt1uSNCrUCTJDt5aAE6x8wW1Kt9eRo4QPocSadnHXFxnt8Is9UzpERV0ePPQdLuW3IS_de3xyIrDaLGdjluPxUAhb6L2aXic1U12podGU0KLUQSE_oI-ZnmKJ3F4uOZDnd6QZWJushZ41Axf_fcIe8u9ipH84ogoree7vjbU5y18kDquDg",
    ),
    // RFC 7520 section 4.2.
    (
        BILBO,
        Algorithm::Ps384,
        "eyJhbGciOiJQUzM4NCIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9",
        DANGEROUS,
        "cu22eBqkYDKgIlTpzDXGvaFfz6WGoz7fUDcfT0kkOy42miAh2qyBzk1xEsnk2IpN6-tPid6VrklHkqsGqDqHCdP6O8TTB5dDDItllVo6_1OLPpcbUrhiUSMxbbXUvdvWXzg-UD8biiReQFlfz28zGWVsdiNAUf8ZnyPEgVFn442ZdNqiVJRmBqrYRXe8P_ijQ7p8Vdz0TTrxUeT3lm8d9shnr2lfJT8ImUjvAA2Xez2Mlp8cBE5awDzT0qI0n6uiP1aCN_2_jLAeQTlqRHtfa64QQSUmFAAjVKPbByi7xho0uTOcbH510a6GYmJUAfmWjwZ6oD4ifKo8DYM-X72Eaw",
    ),
    // RFC 8037 appendix A.4, with the key of A.2.
    (
        r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#,
        Algorithm::EdDsa,
        "eyJhbGciOiJFZERTQSJ9",
        "RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc",
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
    ),
    // RFC 7520 section 4.4. Section 4.3 is ES512, which is not known here.
    (
        r#"{"kty":"oct","kid":"018c0ae5-4d9b-471b-bfd6-eef314bc7037","use":"sig","alg":"HS256","k":"hJtXIZ2uSN5kbQfbtTNWbpdmhkV8FJG-Onbc6mxCcYg"}"#,
        Algorithm::Hs256,
        "eyJhbGciOiJIUzI1NiIsImtpZCI6IjAxOGMwYWU1LTRkOWItNDcxYi1iZmQ2LWVlZjMxNGJjNzAzNyJ9",
        DANGEROUS,
        "s0h6KThzkfBBBkLspW1h84VsJZFTsPPqMDA7g1Md7p0",
    ),
    // Wycheproof, json_web_signature_test.json, test 1.
    (
        r#"{"kty":"oct","kid":"kid-aes-sign","use":"sig","alg":"HS256","k":"-ebuDNsVZ2iJtoZ-akfXTSCt4UO2cruLCsbWlBinggE"}"#,
        Algorithm::Hs256,
        "eyJhbGciOiJIUzI1NiIsImtpZCI6ImtpZC1hZXMtc2lnbiJ9",
        "Zm9v",
        "TD37p4c_0jmreSrBSDmE0F3mYSPtkZ3WrSyI5wb_KTg",
    ),
    // Test 18 of it.
    (
        WYCHEPROOF_P256,
        Algorithm::Es256,
        "eyJhbGciOiJFUzI1NiIsImtpZCI6ImtpZC1lYy1zaWduIn0",
        "Zm9v",
        "5cA0OHyMP7ezamUd5c9kV-FrGxdx4hbGXOdplQkutrqWrte5P-pAvsE3Ve6xSyU3YDQwUHjVVOtvcrEbbnZ8yA",
    ),
];

/// Wycheproof, json_web_signature_test.json: the key of its group `es256`.
const WYCHEPROOF_P256: &str = r#"{"kty":"EC","crv":"P-256","kid":"kid-ec-sign","use":"sig","alg":"ES256","x":"04N0xi21hshyvBp7I167sbE_bXqyqkAPfefdklMO7wY","y":"UI8exy-C06a7DUnjIdENkxeFtHM4-l_41LqEw9nVgmw"}"#;

fn keys(jwk: &str) -> KeySet {
    KeySet::read(jwk).unwrap()
}

fn verifies(jwk: &str, token: &str) -> Result<(), Refusal> {
    keys(jwk).verify(&Token::parse(token)?)
}

/// The segment with one bit of one byte changed.
fn flipped(segment: &str, at: usize) -> String {
    let mut bytes = BASE64.decode(segment).unwrap();
    bytes[at] ^= 1;
    BASE64.encode(bytes)
}

#[test]
fn published_tokens_are_good() {
    for (key, token) in [A1, A2, A3] {
        assert_eq!(verifies(key, token), Ok(()), "{token}");
    }
}

#[test]
fn published_signatures_are_good_and_no_bit_of_them_can_be_changed() {
    for (key, algorithm, header, text, signature) in SIGNATURES {
        let material = &keys(key).keys[0].material;
        let signed = format!("{header}.{text}");
        let bytes = BASE64.decode(signature).unwrap();
        assert!(material.verifies(algorithm, signed.as_bytes(), &bytes), "{algorithm}");
        assert!(!material.verifies(algorithm, format!("{signed}A").as_bytes(), &bytes));
        for at in [0, 1, bytes.len() / 2, bytes.len() - 1] {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(!material.verifies(algorithm, signed.as_bytes(), &changed), "{algorithm} at {at}");
        }
    }
}

#[test]
fn no_bit_of_a_published_token_can_be_changed() {
    for (key, token) in [A1, A2, A3] {
        let segments: Vec<&str> = token.split('.').collect();
        let length = BASE64.decode(segments[2]).unwrap().len();
        for at in [0, 1, length / 2, length - 1] {
            let changed = format!("{}.{}.{}", segments[0], segments[1], flipped(segments[2], at));
            assert_eq!(verifies(key, &changed), Err(Refusal::SignatureInvalid), "{changed}");
        }
        // `joe` to `koe`: still a token, and somebody else's.
        let claims = flipped(segments[1], 8);
        let changed = format!("{}.{claims}.{}", segments[0], segments[2]);
        assert_eq!(verifies(key, &changed), Err(Refusal::SignatureInvalid), "{changed}");
    }
}

#[test]
fn a_signature_is_as_long_as_it_has_to_be() {
    for (key, token) in [A1, A2, A3] {
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let bytes = BASE64.decode(signature).unwrap();
        for other in [
            bytes[1..].to_vec(),
            bytes[..bytes.len() - 1].to_vec(),
            [&[0], bytes.as_slice()].concat(),
            [bytes.as_slice(), &[0]].concat(),
            [bytes.as_slice(), bytes.as_slice()].concat(),
            vec![0; bytes.len()],
            vec![0xff; bytes.len()],
            vec![0],
        ] {
            let changed = format!("{signed}.{}", BASE64.encode(other));
            assert_eq!(verifies(key, &changed), Err(Refusal::SignatureInvalid), "{changed}");
        }
    }
}

#[test]
fn a_public_key_is_never_a_secret() {
    // RFC 8725 section 2.1: HS256 with the text of the public key.
    let (key, token) = A2;
    let claims = token.split('.').nth(1).unwrap();
    let signed = format!("{}.{claims}", BASE64.encode(r#"{"alg":"HS256"}"#));
    for secret in [key.as_bytes(), b"", &BASE64.decode("AQAB").unwrap()] {
        let forged = format!("{signed}.{}", BASE64.encode(hs256(secret, signed.as_bytes())));
        assert_eq!(verifies(key, &forged), Err(Refusal::UnknownKey));
    }
    assert_eq!(verifies(A3.0, token), Err(Refusal::UnknownKey), "RS256 with a key of P-256");
    assert_eq!(verifies(A1.0, token), Err(Refusal::UnknownKey), "RS256 with a secret");
}

fn hs256(key: &[u8], text: &[u8]) -> Vec<u8> {
    use hmac::Mac as _;
    let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(key).unwrap();
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

#[test]
fn es384_is_known_though_the_library_does_not_have_it() {
    use p384::ecdsa::signature::Signer as _;
    let private = p384::ecdsa::SigningKey::from_slice(&[7; 48]).unwrap();
    let point = private.verifying_key().to_encoded_point(false);
    let (x, y) = (BASE64.encode(point.x().unwrap()), BASE64.encode(point.y().unwrap()));
    let jwk = format!(r#"{{"kty":"EC","crv":"P-384","x":"{x}","y":"{y}"}}"#);
    let signed = format!("{}.{}", BASE64.encode(r#"{"alg":"ES384"}"#), BASE64.encode(r#"{"sub":"a"}"#));
    let signature: p384::ecdsa::Signature = private.sign(signed.as_bytes());
    let token = |signature: &[u8]| format!("{signed}.{}", BASE64.encode(signature));
    assert_eq!(verifies(&jwk, &token(&signature.to_bytes())), Ok(()));
    let mut changed = signature.to_bytes().to_vec();
    changed[95] ^= 1;
    assert_eq!(verifies(&jwk, &token(&changed)), Err(Refusal::SignatureInvalid));
    assert_eq!(verifies(&jwk, &token(&[0; 96])), Err(Refusal::SignatureInvalid));
    assert_eq!(verifies(&jwk, &token(&changed[..95])), Err(Refusal::SignatureInvalid));
    assert_eq!(verifies(&jwk, &token(signature.to_der().as_bytes())), Err(Refusal::SignatureInvalid), "DER");
}

#[test]
fn es384_is_what_the_standard_of_its_signatures_says() {
    // RFC 6979 appendix A.2.6: the message "sample" with SHA-384. The RFCs of tokens have no example of it.
    let jwk = r#"{"kty":"EC","crv":"P-384","x":"7DpOQVtOGaRWhhgCn0J_pdqai8SukuAuBqrlKGswDGTe-PDqkFWGYGSiVFFUgLwT","y":"gBXZty19VyROqO-awMYhiWcIpZNn-d-59UyoSz8cnbEoiyMcOuDU_nNE_SUzJkcg"}"#;
    let signature = BASE64
        .decode("lO27kqXsuKrUc25WxpGRaz-IFAZmzp-nPWTE6pWtEzyBpkgVLkSs-W423R6A-r5Gme9K6xXxeM6h_kDbJgMTjxMOdAoZYkUmIDtjUdCjqU-jKcFFeG5nnnuCxxo4YorI")
        .unwrap();
    let material = &keys(jwk).keys[0].material;
    assert!(material.verifies(Algorithm::Es384, b"sample", &signature));
    assert!(!material.verifies(Algorithm::Es384, b"simple", &signature));
    for at in 0..96 {
        let mut changed = signature.clone();
        changed[at] ^= 1;
        assert!(!material.verifies(Algorithm::Es384, b"sample", &changed), "at {at}");
    }
}

#[test]
fn published_forgeries_are_refused() {
    // Wycheproof, json_web_signature_test.json, test 31: HS256 with the bytes of the public key.
    let header = "eyJhbGciOiJIUzI1NiIsImtpZCI6ImtpZC1lYy1zaWduIn0";
    let mac = BASE64.decode("TgWtz2FIRukBQ_mA5sgHa0Ybtgn7bl-YBPAi7Z0XdHU").unwrap();
    let material = &keys(WYCHEPROOF_P256).keys[0].material;
    for algorithm in [Algorithm::Hs256, Algorithm::Es256] {
        assert!(!material.verifies(algorithm, format!("{header}.Zm9v").as_bytes(), &mac));
    }
    let token = format!("{header}.e30.TgWtz2FIRukBQ_mA5sgHa0Ybtgn7bl-YBPAi7Z0XdHU");
    assert_eq!(verifies(WYCHEPROOF_P256, &token), Err(Refusal::UnknownKey));
    // Test 32: the token brings the key that it is signed with.
    let embedded = "eyJhbGciOiJFUzI1NiIsImtpZCI6ImtpZC1lYy1zaWduIiwiandrIjp7Imt0eSI6IkVDIiwia2lkIjoia2lkLWVjLXNpZ24iLCJ1c2UiOiJzaWciLCJhbGciOiJFUzI1NiIsIngiOiJNZG5UWkRJaERKYmZBU2RGcWFtY3BPMkNoOUdOS0sybTBNUWxoNDAyU3BvIiwieSI6Ijdhdko0bHFfV3l4LW5MUERCUTJZcHl0dUh5TWlvMDdCVXl2bDNqYUMtMVkiLCJjcnYiOiJQLTI1NiJ9fQ.Zm9v.4jmsollQD8ZxvySzXYnIEYA4fwaZi2ZbC0aI1J4LYmW2Bn31NhKdjms2N6o51Dff5-InWXQF9m45VtTexl6yjg";
    assert_eq!(verifies(WYCHEPROOF_P256, embedded), Err(Refusal::EmbeddedKey));
}
