//! Recognisers for what everybody has: patterns that find candidates, and checks that tell the real ones.

mod api_key;
mod credit_card;
mod email;
mod iban;
mod ip_address;
mod phone_number;
mod ssn;

use std::ops::Range;

/// Something that is recognised without a pattern of one's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Builtin {
    /// Payment card numbers.
    CreditCard,
    /// Social security numbers of the United States.
    Ssn,
    /// Addresses of electronic mail.
    Email,
    /// Telephone numbers.
    PhoneNumber,
    /// International bank account numbers (ISO 13616).
    Iban,
    /// IPv4 and IPv6 addresses.
    IpAddress,
    /// Keys of well-known services, by their prefixes.
    ApiKey,
}

/// A pattern that finds candidates, and what tells which of them are real.
#[derive(Debug)]
pub struct Candidate {
    /// A regular expression with a longest match. It may take in what stands before and after, where that matters; `()` marks
    /// where the thing itself can begin, so that a stream need not wait for what is only its context.
    pub pattern: &'static str,
    /// Given a match of the pattern: which part of it is the thing itself, if it is one at all.
    pub check: fn(&str) -> Option<Range<usize>>,
}

impl Builtin {
    /// All of them.
    pub const ALL: [Builtin; 7] = [
        Builtin::CreditCard,
        Builtin::Ssn,
        Builtin::Email,
        Builtin::PhoneNumber,
        Builtin::Iban,
        Builtin::IpAddress,
        Builtin::ApiKey,
    ];

    /// The name in policies, logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Builtin::CreditCard => "CREDIT_CARD",
            Builtin::Ssn => "SSN",
            Builtin::Email => "EMAIL",
            Builtin::PhoneNumber => "PHONE_NUMBER",
            Builtin::Iban => "IBAN",
            Builtin::IpAddress => "IP_ADDRESS",
            Builtin::ApiKey => "API_KEY",
        }
    }

    /// What stands in its place, as Presidio names it.
    pub fn placeholder(self) -> &'static str {
        match self {
            Builtin::CreditCard => "<CREDIT_CARD>",
            Builtin::Ssn => "<US_SSN>",
            Builtin::Email => "<EMAIL_ADDRESS>",
            Builtin::PhoneNumber => "<PHONE_NUMBER>",
            Builtin::Iban => "<IBAN_CODE>",
            Builtin::IpAddress => "<IP_ADDRESS>",
            Builtin::ApiKey => "<API_KEY>",
        }
    }

    /// Each is looked for on its own.
    pub fn candidates(self) -> &'static [Candidate] {
        match self {
            Builtin::CreditCard => &credit_card::CANDIDATES,
            Builtin::Ssn => &ssn::CANDIDATES,
            Builtin::Email => &email::CANDIDATES,
            Builtin::PhoneNumber => &phone_number::CANDIDATES,
            Builtin::Iban => &iban::CANDIDATES,
            Builtin::IpAddress => &ip_address::CANDIDATES,
            Builtin::ApiKey => &api_key::CANDIDATES,
        }
    }
}

/// Whether what stands before `rest` is only the beginning of something longer: of a word, of a number, of a fraction,
/// or of parts held together by dashes, as in a UUID. Letters beyond ASCII end it: not all scripts put blanks between
/// words.
fn goes_on(rest: &str) -> bool {
    let mut characters = rest.chars();
    let (next, after) = (characters.next(), characters.next());
    match next {
        Some('.') => after.is_some_and(|c| c.is_ascii_digit()),
        Some('-') => after.is_some_and(|c| c.is_ascii_alphanumeric()),
        Some(next) => next.is_ascii_alphanumeric() || next == '_',
        None => false,
    }
}

/// Whether `rest` begins with a blank and a digit, as the next number of a row does.
fn is_spaced_digit(rest: &str) -> bool {
    rest.strip_prefix(' ').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

#[cfg(test)]
#[path = "testing.rs"]
pub(crate) mod testing;

#[cfg(test)]
#[path = "mod_tests.rs"]
mod tests;
