//! Keys of well-known services, by the prefixes that the services gave them to be found by.
//!
//! What is longer than a match may be is masked as far as the match goes: of a JSON Web Token the header and the
//! beginning of what it says, of a private key its first lines. That makes a token worthless, but not an RSA key, whose
//! primes come last: where keys of that kind matter, refuse what has one instead of masking it.

use super::Candidate;
use std::ops::Range;

/// How a kind of key goes on after its prefix.
struct Kind {
    prefix: &'static str,
    /// The fewest characters behind the prefix.
    fewest: usize,
    /// What those are made of. What may follow is the same for all: letters, digits, dashes, underscores.
    of: fn(u8) -> bool,
}

const fn kind(prefix: &'static str, fewest: usize, of: fn(u8) -> bool) -> Kind {
    Kind { prefix, fewest, of }
}

/// Every prefix here is in the first pattern, and the other way round.
static KINDS: [Kind; 33] = [
    // OpenAI and those who took its form over: DeepSeek, OpenRouter, LiteLLM. Anthropic.
    kind("sk-", 20, is_token),
    kind("sk_live_", 16, is_alphanumeric),
    kind("sk_test_", 16, is_alphanumeric),
    kind("rk_live_", 16, is_alphanumeric),
    kind("rk_test_", 16, is_alphanumeric),
    kind("ghp_", 36, is_alphanumeric),
    kind("gho_", 36, is_alphanumeric),
    kind("ghu_", 36, is_alphanumeric),
    kind("ghs_", 36, is_alphanumeric),
    kind("ghr_", 36, is_alphanumeric),
    kind("github_pat_", 60, is_token),
    kind("glpat-", 20, is_token),
    kind("xoxa-", 20, is_token),
    kind("xoxb-", 20, is_token),
    kind("xoxp-", 20, is_token),
    kind("xoxr-", 20, is_token),
    kind("xoxs-", 20, is_token),
    kind("xapp-", 20, is_token),
    kind("AIza", 35, is_token),
    kind("npm_", 36, is_alphanumeric),
    kind("pypi-AgEIcHlwaS5vcmc", 40, is_token),
    kind("hf_", 34, is_alphanumeric),
    kind("gsk_", 40, is_alphanumeric),
    kind("xai-", 60, is_alphanumeric),
    kind("dop_v1_", 64, is_hex),
    kind("doo_v1_", 64, is_hex),
    kind("shpat_", 32, is_hex),
    kind("shpca_", 32, is_hex),
    kind("shppa_", 32, is_hex),
    kind("shpss_", 32, is_hex),
    kind("r8_", 37, is_alphanumeric),
    kind("pplx-", 40, is_alphanumeric),
    kind("lin_api_", 32, is_alphanumeric),
];

/// A key has at least this many letters and digits in a row; names tied by dashes, as in style sheets, do not.
const FEWEST_IN_A_ROW: usize = 12;
/// No name is that long after such a prefix; what is shorter must have a digit.
const ENOUGH: usize = 32;

pub static CANDIDATES: [Candidate; 4] = [
    Candidate {
        pattern: concat!(
            "(?:\\A|[^0-9A-Za-z])()(?:sk-|[sr]k_(?:live|test)_|gh[opsur]_|github_pat_|glpat-|xox[abprs]-|xapp-|AIza|npm_",
            "|pypi-AgEIcHlwaS5vcmc|hf_|gsk_|xai-|do[op]_v1_|shp(?:at|ca|pa|ss)_|r8_|pplx-|lin_api_)",
            "[0-9A-Za-z_-]{16,256}"
        ),
        check: prefixed,
    },
    // Amazon's ids of keys, Twilio's and SendGrid's keys: of one length only.
    Candidate {
        pattern: concat!(
            "(?:\\A|[^0-9A-Za-z])()(?:A(?:KI|SI|GP|ID|RO)A[0-9A-Z]{16}|SK[0-9a-f]{32}",
            "|SG\\.[0-9A-Za-z_-]{22}\\.[0-9A-Za-z_-]{43})(?s:.?)"
        ),
        check: fixed,
    },
    // JSON Web Tokens: two objects in base64, and if there is room the signature.
    Candidate {
        pattern: "(?:\\A|[^0-9A-Za-z])()eyJ[0-9A-Za-z_-]{8,160}\\.eyJ[0-9A-Za-z_.-]{4,140}",
        check: web_token,
    },
    // The first line of a private key, and what follows it: lines of base64, which in JSON and in settings are often
    // joined by a written `\n`, and the last line if it is near.
    Candidate {
        pattern: "-----BEGIN (?:[A-Z]{2,9} ){0,2}PRIVATE KEY(?: BLOCK)?-----[0-9A-Za-z+/=\\\\\\r\\n:, -]{0,240}",
        check: private_key,
    },
];

/// Where the key begins: the character before it is no letter and no digit.
fn after_context(matched: &str) -> Option<usize> {
    matched.find(|c: char| c.is_ascii_alphanumeric())
}

fn prefixed(matched: &str) -> Option<Range<usize>> {
    let start = after_context(matched)?;
    let key = matched.get(start..)?;
    let is_key = KINDS.iter().any(|kind| {
        key.strip_prefix(kind.prefix)
            .filter(|body| body.get(..kind.fewest).is_some_and(|body| body.bytes().all(kind.of)))
            .is_some_and(|body| is_random(body) && (kind.fewest >= ENOUGH || has_digit(body)))
    });
    is_key.then_some(start..matched.len())
}

fn fixed(matched: &str) -> Option<Range<usize>> {
    let start = after_context(matched)?;
    let key = matched.get(start..)?;
    let length = match key.get(..2)? {
        "SG" => "SG.".len() + 22 + ".".len() + 43,
        "SK" => "SK".len() + 32,
        _ => "AKIA".len() + 16,
    };
    let (key, rest) = key.split_at_checked(length)?;
    let goes_on = rest.starts_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '+' | '/'));
    (!goes_on && is_random(key)).then(|| start..start + length)
}

/// Three parts with dots between them; a fourth is a word of the text.
fn web_token(matched: &str) -> Option<Range<usize>> {
    let start = after_context(matched)?;
    let token = matched.get(start..)?;
    let length = token.match_indices('.').nth(2).map_or(token.len(), |(dot, _)| dot);
    Some(start..start + token.get(..length)?.trim_end_matches('.').len())
}

/// The first line, and what follows it unless that is prose about such lines.
fn private_key(matched: &str) -> Option<Range<usize>> {
    let begin = "-----BEGIN ".len();
    let line = begin + matched.get(begin..)?.find("-----")? + "-----".len();
    let words =
        matched.get(line..)?.split(|c: char| c.is_ascii_whitespace() || c == '\\').filter(|w| !w.is_empty());
    let encoded = words.take(3).any(|word| word.len() >= 16 || word.ends_with(':'));
    Some(0..if encoded { matched.trim_end().len() } else { line })
}

/// Whether it can have been drawn by lot: it has letters and digits in a long row, and not the same few of them as
/// `sk-xxxxxxxxxxxx` has.
fn is_random(key: &str) -> bool {
    let in_a_row = key.split(['-', '_', '.']).map(str::len).max().unwrap_or_default();
    let mut seen = [false; 128];
    for byte in key.bytes() {
        if let Some(seen) = seen.get_mut(usize::from(byte)) {
            *seen = true;
        }
    }
    in_a_row >= FEWEST_IN_A_ROW && seen.iter().filter(|seen| **seen).count() >= 6
}

fn has_digit(key: &str) -> bool {
    key.bytes().any(|b| b.is_ascii_digit())
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

fn is_alphanumeric(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
}

fn is_hex(byte: u8) -> bool {
    byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)
}

#[cfg(test)]
#[path = "api_key_tests.rs"]
mod tests;
