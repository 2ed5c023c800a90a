use super::super::Builtin::Iban;
use super::super::testing::{finds, finds_everywhere, passes};
use super::LENGTHS;
use crate::testing::test;

#[test]
fn account_numbers_are_found_wherever_they_stand() {
    finds_everywhere(
        Iban,
        &[
            "DE89370400440532013000",
            "DE89 3704 0044 0532 0130 00",
            "de89370400440532013000",
            "de89 3704 0044 0532 0130 00",
            "GB29 NWBK 6016 1331 9268 19",
            "FR14 2004 1010 0505 0001 3M02 606",
            "NO93 8601 1117 947",
            "NO9386011117947",
            "BE68 5390 0754 7034",
            "AT61 1904 3002 3457 3201",
            "CH93 0076 2011 6238 5295 7",
            "NL91ABNA0417164300",
            "ES91 2100 0418 4502 0005 1332",
            "IT60 X054 2811 1010 0000 0123 456",
            "MT84 MALT 0110 0001 2345 MTLC AST0 01S",
            "LC55HEMM000100010012001200023015",
            "PL61 1090 1014 0000 0712 1981 2874",
        ],
    );
}

#[test]
fn words_that_follow_are_not_taken_along() {
    finds(
        Iban,
        &[
            ("AT61 1904 3002 3457 3201 this is mine", &["AT61 1904 3002 3457 3201"]),
            ("NO93 8601 1117 947 is", &["NO93 8601 1117 947"]),
            ("DE89370400440532013000 and more", &["DE89370400440532013000"]),
            ("IBAN:DE89370400440532013000/BIC", &["DE89370400440532013000"]),
            ("DE89370400440532013000 NO9386011117947", &["DE89370400440532013000", "NO9386011117947"]),
            ("BE68 5390 0754 7034 BE68 5390 0754 7034", &["BE68 5390 0754 7034", "BE68 5390 0754 7034"]),
        ],
    );
}

#[test]
fn what_has_no_country_length_or_check_digits_is_no_account() {
    passes(
        Iban,
        &[
            "DE88370400440532013000",
            "DE8937040044053201300",
            "DE893704004405320130000",
            "DE89 37040044 0532 0130 00",
            "DE89 3704 0044 0532 013000",
            "DE89-3704-0044-0532-0130-00",
            "XX89370400440532013000",
            "ADE89370400440532013000",
            "DE89370400440532013000_1",
            "no12 words here that could look like",
            "in12 this that them with from have been",
            "US12345678901234567890",
        ],
    );
}

#[test]
fn every_country_has_one_length() {
    let mut countries: Vec<_> = LENGTHS.iter().flat_map(|(_, countries)| countries.split(' ')).collect();
    let all = countries.len();
    countries.sort_unstable();
    countries.dedup();
    assert_eq!(countries.len(), all);
    assert!(LENGTHS.iter().all(|(length, _)| (15..=34).contains(length)));
}
