//! What people and models say, and what guards look for in it.

use policy::Plugin;
use serde_json::{Value, json};

/// Twenty patterns: these thirteen, and what is recognised without one.
const PATTERNS: [&str; 13] = [
    r"(?:^|\D)(4[0-9]{3}(?:\ |\-|)[0-9]{4}(?:\ |\-|)[0-9]{4}(?:\ |\-|)[0-9]{4})(?:\D|$)",
    r"(?:^|\D)(5[1-5][0-9]{2}(?:\ |\-|)[0-9]{4}(?:\ |\-|)[0-9]{4}(?:\ |\-|)[0-9]{4})(?:\D|$)",
    r"(?:^|\D)(3[47][0-9]{2}(?:\ |\-|)[0-9]{6}(?:\ |\-|)[0-9]{5})(?:\D|$)",
    r"(?:^|\D)(6(?:011|5[0-9]{2})(?:\ |\-|)[0-9]{4}(?:\ |\-|)[0-9]{4}(?:\ |\-|)[0-9]{4})(?:\D|$)",
    r"\b[0-9]{3}-[0-9]{2}-[0-9]{4}\b",
    r"\b(?:customer|account|ticket)[ -]?(?:no|number|id)?[ .:#]{0,3}[0-9]{6,10}\b",
    r"\bgh[pousr]_[A-Za-z0-9]{36}\b",
    r"\bxox[abprs]-[A-Za-z0-9-]{10,48}\b",
    r"\beyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}",
    r"-----BEGIN (?:RSA |EC |OPENSSH )?PRIVATE KEY-----",
    r"ignore (?:all |any )?(?:of )?(?:the |your )?(?:previous|prior|above) (?:instructions|prompts)",
    r"disregard (?:the |your )?(?:system|developer) (?:prompt|message)",
    r"you are now (?:in )?(?:developer|jailbreak) mode",
];

const BUILTINS: [&str; 7] = ["CREDIT_CARD", "SSN", "EMAIL", "PHONE_NUMBER", "IBAN", "IP_ADDRESS", "API_KEY"];

/// What a guard of prompts or answers says.
pub fn patterns() -> Value {
    let matches = PATTERNS.map(|it| match it.contains(",}") {
        true => json!({"pattern": it, "maxLength": 2048}),
        false => json!({"pattern": it}),
    });
    json!({"patterns": {"matches": matches, "builtins": BUILTINS}})
}

/// The same with the recognisers alone.
pub fn recognisers() -> Value {
    json!({"patterns": {"builtins": BUILTINS}})
}

/// The module's configuration: one route, with a guard.
pub fn configuration(guard: &Value) -> Value {
    let target = json!({"provider": "openai", "credential": "injected"});
    json!({"downstream": {"routes": [{"name": "openai", "guard": guard, "target": target}]}})
}

/// What a configuration is once it has been read.
pub fn policy(configuration: &Value) -> policy::Gateway {
    match Plugin::read(configuration.to_string().as_bytes(), &|_| None).unwrap() {
        Plugin::Downstream(gateway) => gateway,
        Plugin::Upstream(_) => panic!("not downstream"),
    }
}

/// Nothing in it is to be found.
const CLEAN: [&str; 9] = [
    "We moved to the coast in the spring of 1998, when the harbour was still full of fishing boats. ",
    "My grandmother kept bees behind the house and sold the honey at the market on Saturdays. ",
    "Could you summarise the main points of the report, and say which of them matter most? ",
    "The committee agreed that the budget should grow by 3.5 percent over the next two years. ",
    "In most cases it is enough to restart the service and to wait for a minute or so. ",
    "\"Nobody has ever asked me that,\" she said, and looked out of the window for a while. ",
    "Please write a short function that sorts a list of names, and explain how it works.\n",
    "The distance between the two cities is about 420 kilometres, most of it by motorway. ",
    "If the weather holds, we will walk up to the lake (it takes an hour) and have lunch there.\n",
];

/// Something in each of them is to be found.
const PERSONAL: [&str; 5] = [
    "My card is 5105 1051 0510 5100, and it should still be good. ",
    "You can write to jane.doe@mail.example.com at any time. ",
    "Her social security number is 123-45-6789, if they ask. ",
    "Call me at (212) 555-0142 after six. ",
    "The server has been at 203.0.113.77 since last week. ",
];

/// So many bytes of English, with so many things in it that are to be found, evenly spread and the first at once.
pub fn english(bytes: usize, finds: usize) -> String {
    let (mut text, mut clean, mut personal) = (String::new(), CLEAN.iter().cycle(), PERSONAL.iter().cycle());
    let mut put = 0;
    while text.len() < bytes {
        let due = put < finds && put * bytes / finds <= text.len();
        put += usize::from(due);
        text.push_str(if due { personal.next() } else { clean.next() }.unwrap());
    }
    text
}

/// The pieces in which a model says a text.
pub fn pieces(text: &str, bytes: usize) -> Vec<String> {
    text.as_bytes().chunks(bytes).map(|it| String::from_utf8(it.to_vec()).unwrap()).collect()
}
