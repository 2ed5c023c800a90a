use super::super::Builtin::Email;
use super::super::testing::{finds, finds_everywhere, passes};
use crate::testing::test;

#[test]
fn addresses_are_found_wherever_they_stand() {
    finds_everywhere(
        Email,
        &[
            "user@example.com",
            "USER@EXAMPLE.COM",
            "a@b.co",
            "first.last+tag@sub.example.co.uk",
            "o'brien@example.ie",
            "user_name-1%x@example-site.org",
            "1234567890@163.com",
            "user@xn--mller-kva.example",
            "user@example.xn--p1ai",
            "x@a.b.c.d.e.museum",
            "someone@3com.com",
        ],
    );
}

#[test]
fn an_address_ends_where_its_domain_does() {
    const USER: &[&str] = &["user@example.com"];
    finds(
        Email,
        &[
            ("mailto:user@example.com?subject=x", USER),
            ("to=user@example.com&cc=", USER),
            ("user@example.com...", USER),
            ("user@example.com.", USER),
            ("user@example.com.2", USER),
            ("user@example.com-based", USER),
            ("user@example.com--see there", USER),
            ("user@example.com-", USER),
            ("user@example.com/path", USER),
            ("user@example.com:22", USER),
            ("user@example.com_x", USER),
            ("_user@example.com_", USER),
            ("'user@example.com'", USER),
            ("https://user:secret@example.com/", &["secret@example.com"]),
            ("@user@example.com", USER),
            ("wait...user@example.com", USER),
            (".user@example.com", USER),
            ("user@example.com,user@example.com", &["user@example.com", "user@example.com"]),
            ("<user@example.com>", USER),
            ("邮箱user@example.com。", USER),
            ("jürgen@example.com", &["rgen@example.com"]),
        ],
    );
}

#[test]
fn what_only_has_an_at_sign_is_no_address() {
    let long = format!("{}@example.com", "a".repeat(65));
    passes(
        Email,
        &[
            "user@localhost",
            "foo@bar",
            "@handle",
            "@handle.example.com",
            "a @ b.com",
            "user@",
            "user@.com",
            "user@-example.com",
            "user@example-.com",
            "user@example..com",
            "user.@example.com",
            "user@example.c",
            "user@example.123",
            "user@10.0.0.1",
            "icon@2x.png",
            "logo@example.SVG",
            "getty@tty1.service",
            "package@1.2.3",
            "package@1.2.3-rc.next",
            "this@Reader.nextLine",
            "a@b.T",
            "user@example.averyveryverylongname",
            &long,
        ],
    );
}

#[test]
fn the_longest_local_part_is_still_one() {
    let longest = format!("{}@example.com", "a".repeat(64));
    finds_everywhere(Email, &[&longest]);
}
