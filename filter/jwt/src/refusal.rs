//! Why a token is not believed, in Envoy's own words where Envoy has some.

/// Why a token is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// There is none.
    Missing,
    /// There are several.
    Ambiguous,
    /// It is longer than [`MAX_BYTES`](crate::MAX_BYTES).
    TooLong,
    /// It has not the form of the compact serialization (RFC 7515 section 7.1).
    Form,
    /// Its header is no base64url (RFC 4648 section 5, without padding).
    HeaderBase64,
    /// Its header is no JSON object, or has a name twice.
    HeaderJson,
    /// Its header does not name an algorithm.
    AlgorithmMissing,
    /// Its algorithm is none of ours; `none` is no algorithm.
    AlgorithmUnsupported,
    /// Its `kid` is no string.
    KeyIdType,
    /// It asks for something that is not understood here (`crit`, `b64`, a nested token).
    Critical,
    /// It brings its own key, or says where to get one (`jwk`, `jku`, `x5u`, `x5c`).
    EmbeddedKey,
    /// Its claims are no base64url.
    ClaimsBase64,
    /// Its claims are no JSON object, or have a name twice.
    ClaimsJson,
    /// A registered claim is not of its type (RFC 7519 section 4.1).
    ClaimType(&'static str),
    /// Its signature is no base64url.
    SignatureBase64,
    /// Its issuer is another.
    IssuerUnknown,
    /// It is over.
    Expired,
    /// It has not begun.
    NotYetValid,
    /// It has no end.
    ExpiryRequired,
    /// It is for somebody else.
    AudienceNotAllowed,
    /// No key has its `kid` and algorithm.
    UnknownKey,
    /// The signature is not that of the key.
    SignatureInvalid,
}

impl Refusal {
    /// A sentence for the client. Envoy's own where it has one, so that whoever looks for it finds it.
    pub fn message(self) -> &'static str {
        match self {
            Refusal::Missing => "Jwt is missing",
            Refusal::Ambiguous => "Found multiple Jwt tokens",
            Refusal::TooLong => "Jwt is longer than 8192 bytes",
            Refusal::Form => {
                "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections"
            }
            Refusal::HeaderBase64 => "Jwt header is an invalid Base64url encoded",
            Refusal::HeaderJson => "Jwt header is an invalid JSON",
            Refusal::AlgorithmMissing => "Jwt header [alg] field is required and must be a string",
            Refusal::AlgorithmUnsupported => "Jwt header [alg] is not supported",
            Refusal::KeyIdType => "Jwt header [kid] field is not a string",
            Refusal::Critical => "Jwt header asks for an extension that is not supported",
            Refusal::EmbeddedKey => "Jwt header brings a key, and no such key is trusted",
            Refusal::ClaimsBase64 => "Jwt payload is an invalid Base64url encoded",
            Refusal::ClaimsJson => "Jwt payload is an invalid JSON",
            Refusal::ClaimType("iss") => "Jwt payload [iss] field is not a string",
            Refusal::ClaimType("sub") => "Jwt payload [sub] field is not a string",
            Refusal::ClaimType("exp") => "Jwt payload [exp] field is not a positive 64 bit integer",
            Refusal::ClaimType("nbf") => "Jwt payload [nbf] field is not a positive 64 bit integer",
            Refusal::ClaimType(_) => "Jwt payload [aud] field is not a string or string list",
            Refusal::SignatureBase64 => "Jwt signature is an invalid Base64url encoded",
            Refusal::IssuerUnknown => "Jwt issuer is not configured",
            Refusal::Expired => "Jwt is expired",
            Refusal::NotYetValid => "Jwt not yet valid",
            Refusal::ExpiryRequired => "Jwt payload [exp] field is required",
            Refusal::AudienceNotAllowed => "Audiences in Jwt are not allowed",
            Refusal::UnknownKey => "Jwks doesn't have key to match kid or alg from Jwt",
            Refusal::SignatureInvalid => "Jwt verification fails",
        }
    }

    /// The stable name, for programs.
    pub fn code(self) -> &'static str {
        match self {
            Refusal::Missing => "jwt_missing",
            Refusal::Ambiguous => "jwt_ambiguous",
            Refusal::TooLong => "jwt_too_long",
            Refusal::Form
            | Refusal::HeaderBase64
            | Refusal::HeaderJson
            | Refusal::AlgorithmMissing
            | Refusal::KeyIdType
            | Refusal::ClaimsBase64
            | Refusal::ClaimsJson
            | Refusal::ClaimType(_)
            | Refusal::SignatureBase64 => "jwt_malformed",
            Refusal::AlgorithmUnsupported => "jwt_algorithm_unsupported",
            Refusal::Critical => "jwt_extension_unsupported",
            Refusal::EmbeddedKey => "jwt_key_embedded",
            Refusal::IssuerUnknown => "jwt_issuer_unknown",
            Refusal::Expired => "jwt_expired",
            Refusal::NotYetValid => "jwt_not_yet_valid",
            Refusal::ExpiryRequired => "jwt_expiry_required",
            Refusal::AudienceNotAllowed => "jwt_audience_not_allowed",
            Refusal::UnknownKey => "jwt_key_unknown",
            Refusal::SignatureInvalid => "jwt_signature_invalid",
        }
    }
}
