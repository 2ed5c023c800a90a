use super::super::Builtin::Ssn;
use super::super::testing::{finds, finds_everywhere, passes};
use crate::testing::test;

#[test]
fn separated_numbers_are_found_wherever_they_stand() {
    finds_everywhere(Ssn, &["536-22-8731", "536 22 8731", "536.22.8731", "001-01-0001", "899-99-9998"]);
}

#[test]
fn nine_digits_are_a_number_only_behind_the_words_for_it() {
    const NUMBER: &[&str] = &["536228731"];
    finds(
        Ssn,
        &[
            ("ssn 536228731", NUMBER),
            ("SSN:536228731", NUMBER),
            ("SSN536228731", NUMBER),
            ("my Social Security number is 536228731.", NUMBER),
            ("social_security_number=536228731", NUMBER),
            ("{\"userSsn\": \"536228731\"}", NUMBER),
            ("user_ssn='536228731'", NUMBER),
            ("SSN (Social Security Number) of Jane: 536228731", NUMBER),
            ("SSN 536-22-8731", &["536-22-8731"]),
            ("536228731", &[]),
            ("number 536228731", &[]),
            ("classname 536228731", &[]),
            ("ssn\n536228731", &[]),
            ("ssn of commit a536228731", &[]),
            ("ssn 5362287310", &[]),
            ("ssn 536228731-1", &[]),
            ("ssn 000228731", &[]),
            ("ssn 123456789", &[]),
        ],
    );
}

#[test]
fn what_stands_beside_a_number_does_not_hide_it() {
    const NUMBER: &[&str] = &["536-22-8731"];
    finds(
        Ssn,
        &[
            ("SSN-536-22-8731", NUMBER),
            ("no.536-22-8731", NUMBER),
            ("a,536-22-8731,1", NUMBER),
            ("1 536-22-8731 2", NUMBER),
            ("536-22-8731 536-22-8732", &["536-22-8731", "536-22-8732"]),
            ("536-22-8731,536-22-8732", &["536-22-8731", "536-22-8732"]),
            (" 536 22 8731", &["536 22 8731"]),
        ],
    );
}

#[test]
fn numbers_that_were_never_issued_and_parts_of_longer_ones_are_not_found() {
    passes(
        Ssn,
        &[
            "000-22-8731",
            "666-22-8731",
            "900-22-8731",
            "987-65-4320",
            "536-00-8731",
            "536-22-0000",
            "078-05-1120",
            "219-09-9999",
            "123-45-6789",
            "111-11-1111",
            "536-22 8731",
            "536-22.8731",
            "536-22-87310",
            "1536-22-8731",
            "1-536-22-8731",
            "536-22-8731-1",
            "536-22-8731-a",
            "+536-22-8731",
            "+49 536 22 8731",
            "12 536 22 8731",
            "536 22 8731 12",
            "1.536.22.8731",
            "536.22.8731.1",
            "v536.22.8731",
            "123-45-67890",
            "415-555-2671",
            "555-0123",
        ],
    );
}
