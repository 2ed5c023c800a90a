use crate::testing::{Numbers, answers, masked_whole, prompts, test};
use crate::{Builtin, Purpose, Rule, Rules, What};

fn shown(rules: &Rules, text: &str) -> String {
    let found = rules.find(text, usize::MAX).into_iter();
    found.map(|it| format!("{}:{}", it.rule, &text[it.range])).collect::<Vec<_>>().join(" ")
}

#[test]
fn every_problem_is_named_with_its_rule() {
    let rule = |pattern: &str| Rule {
        name: pattern.into(),
        what: What::Pattern { pattern: pattern.into(), longest: None },
    };
    let wrong = |purpose| {
        let rules = ["(", "fine", "a+", "(?:[a-z]{1000}){1000}"].map(rule).to_vec();
        Rules::compile(rules, purpose).unwrap_err()
    };
    let said = wrong(Purpose::Answers);
    assert_eq!(said.iter().map(|it| it.0).collect::<Vec<_>>(), [0, 2, 3]);
    assert_eq!(said[1].1, "its matches have no longest length, so a stream could be held back for ever");
    assert_eq!(said[2].1, "its automaton would take more than 256 KiB of memory");
    assert_eq!(wrong(Purpose::Prompts).len(), 2);
}

#[test]
fn a_prompt_is_looked_at_in_every_spelling() {
    let rules = prompts(&["credit card", "[0-9]{6}", "café", "größe"]);
    for text in [
        "c\u{200b}redit ca\u{ad}rd",
        "ｃｒｅｄｉｔ　ｃａｒｄ",
        "𝐜𝐫𝐞𝐝𝐢𝐭 𝓬𝓪𝓻𝓭",
        "ⓒⓡⓔⓓⓘⓣ card",
        "cre\u{336}dit car\u{301}d",
        "crédit cärd",
        "\u{441}redit \u{441}\u{430}rd",
        "credit\u{2003}\u{200b} card",
    ] {
        assert_eq!(shown(&rules, &format!("my {text}!")), format!("0:{text}"));
    }
    let tags: String = "credit card".chars().filter_map(|c| char::from_u32(0xe_0000 + c as u32)).collect();
    assert_eq!(shown(&rules, &format!("hello{tags}")), format!("0:{tags}"));
    assert_eq!(shown(&rules, "a ١٢٣٤٥٦ b"), "1:١٢٣٤٥٦");
    assert_eq!(shown(&rules, "cafe\u{301} GRO\u{308}ßE"), "2:cafe\u{301} 3:GRO\u{308}ßE");
    assert_eq!(shown(&rules, "schon größer, 信用卡, кредит"), "3:größe");
}

#[test]
fn a_prompt_without_anything_is_left_alone() {
    let rules = prompts(&["credit card"]);
    assert_eq!(rules.find("What a lovely café\u{301}. 日本語 ﬁn", usize::MAX), []);
    assert_eq!(prompts(&[]).find("anything", usize::MAX), []);
}

#[test]
fn recognisers_and_patterns_go_together() {
    let rules = vec![
        Rule { name: "CREDIT_CARD".into(), what: What::Builtin(Builtin::CreditCard) },
        Rule { name: "x".into(), what: What::Pattern { pattern: "card".into(), longest: None } },
    ];
    let rules = Rules::compile(rules, Purpose::Prompts).unwrap();
    assert_eq!(shown(&rules, "card 5105105105105100"), "1:card 0:5105105105105100");
}

#[test]
fn a_whole_prompt_and_a_whole_answer_have_the_same_finds() {
    let patterns = ["[0-9]{3}-[0-9]{2}", "(?:foo|foobar)baz", "a|ab", r"\bfo\b", "x.{2}y|.x"];
    let (one, other) = (prompts(&patterns), answers(&patterns));
    let mut numbers = Numbers(0xfeed_5eed_dead_5eed);
    for _ in 0..2000 {
        let text = numbers.text(&["a", "b", "foo", "bar", "baz", "x", "y", " ", "-", "123", "45"], 20);
        let found = one.find(&text, usize::MAX);
        assert_eq!(found, other.find(&text, usize::MAX), "{text:?}");
        let mut out = text.clone();
        for it in found.iter().rev() {
            out.replace_range(it.range.clone(), &format!("[{}]", it.rule));
        }
        assert_eq!(out, masked_whole(&other, &[&text]));
    }
}
