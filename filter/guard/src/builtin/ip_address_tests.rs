use super::super::Builtin::IpAddress;
use super::super::testing::{finds, finds_everywhere, passes};
use crate::testing::test;

#[test]
fn addresses_are_found_wherever_they_stand() {
    finds_everywhere(
        IpAddress,
        &[
            "192.168.1.1",
            "10.0.0.255",
            "8.8.8.8",
            "203.0.113.7",
            "10.0.0.1-10.0.0.9",
            "2001:db8::1",
            "2001:DB8::1",
            "2001:0db8:0000:0000:0000:ff00:0042:8329",
            "2001:db8:1:2:3:4:5:6",
            "fe80::1ff:fe23:4567:890a",
            "fe80::1",
            "::ffff:192.0.2.128",
            "64:ff9b::192.0.2.33",
            "2001:db8:1:2:3:4:192.0.2.33",
            "2001:db8::",
            "1:2::3",
        ],
    );
}

#[test]
fn what_stands_beside_an_address_does_not_hide_it() {
    const FOUR: &[&str] = &["10.0.0.1"];
    const SIX: &[&str] = &["2001:db8::1"];
    finds(
        IpAddress,
        &[
            ("http://10.0.0.1/x", FOUR),
            ("10.0.0.1:8080", FOUR),
            ("10.0.0.1/24", FOUR),
            ("ip=10.0.0.1", FOUR),
            ("ip:10.0.0.1", FOUR),
            ("root@10.0.0.1", FOUR),
            ("10.0.0.1, 10.0.0.2", &["10.0.0.1", "10.0.0.2"]),
            ("10.0.0.1 10.0.0.2", &["10.0.0.1", "10.0.0.2"]),
            ("10.0.0.1,10.0.0.2", &["10.0.0.1", "10.0.0.2"]),
            ("http://[2001:db8::1]:443/", SIX),
            ("2001:db8::1/64", SIX),
            ("2001:db8::1%eth0", SIX),
            ("2001:db8::1: no route", SIX),
            ("ip:2001:db8::1", SIX),
            ("2001:db8::1 2001:db8::2", &["2001:db8::1", "2001:db8::2"]),
        ],
    );
}

#[test]
fn addresses_that_are_the_same_everywhere_are_left() {
    passes(
        IpAddress,
        &[
            "127.0.0.1",
            "127.1.2.3",
            "0.0.0.0",
            "0.1.2.3",
            "255.255.255.0",
            "255.255.255.255",
            "::",
            "::1",
            "[::1]:80",
        ],
    );
}

#[test]
fn versions_times_and_names_in_programs_are_no_addresses() {
    passes(
        IpAddress,
        &[
            "v1.2.3.4",
            "1.2.3.4.5",
            "0.1.2.3.4.5.6",
            "256.1.1.1",
            "1.2.3.256",
            "01.02.03.04",
            "1.2.3",
            "1.2.3.4.tar.gz",
            "nginx-1.2.3.4",
            "1.2.3.4-beta",
            "1.2.3.4-5",
            "Chrome/131.0.0.0",
            "foo==1.2.3.4",
            "foo>=1.2.3.4",
            "1.3.6.1.4.1.311",
            "12:30:45",
            "12:30",
            "10:20:30:40",
            "00:1b:44:11:3a:b7",
            "00:1b:44:ff:fe:11:3a:b7",
            "16:27:ac:a5:76:28:2d:36:63:1b:56:4d:eb:df:a6:48",
            "std::vector",
            "std::dead",
            "a::b",
            "a::b2",
            "::add",
            "abc::def",
            "dead::beef",
            "bf16::E",
            "[::2]",
            "[1::2]",
            "x[10::20]",
            "a:b:c:d",
            "1:2:3:4:5:6:7:8:9",
            "2001:db8::1::2",
            "2001:db8::12345",
            "2001:db8::1g",
            "case a: b",
            "deadbeef: 1",
        ],
    );
}
