//! What is added to requests: made ready to go into a body.

use super::Report;
use crate::enrich::{DefaultField, Enrich, Prompt};
use crate::written;

/// Fields that hold the prompt, which messages are added to.
const PROMPTS: [&str; 4] = ["messages", "input", "instructions", "prompt"];

impl Report<'_> {
    pub(super) fn enrich(&mut self, at: &str, it: written::Enrich) -> Enrich {
        let adds_messages = !it.prepend.is_empty() || !it.append.is_empty();
        let mut defaults: Vec<DefaultField> = Vec::new();
        for (i, written) in it.defaults.into_iter().enumerate() {
            let at = format!("{at}.defaults[{i}].field");
            if written.field.is_empty() {
                self.refuse(at, "a field needs a name");
            } else if defaults.iter().any(|other| other.field == written.field) {
                self.refuse(at, format!("there are two values for `{}`", written.field));
            } else if adds_messages && PROMPTS.contains(&written.field.as_str()) {
                let what = "messages are added to this field, so it cannot be set as well";
                self.refuse(at, format!("`{}`: {what}", written.field));
            } else {
                let (field, json, overrides) = (written.field, written.value.0, written.overrides);
                defaults.push(DefaultField { field, json, overrides });
            }
        }
        Enrich {
            prepend: self.prompt(&format!("{at}.prepend"), &it.prepend),
            append: self.prompt(&format!("{at}.append"), &it.append),
            defaults,
        }
    }

    fn prompt(&mut self, at: &str, messages: &[written::Message]) -> Prompt {
        for (i, it) in messages.iter().enumerate() {
            if !["system", "developer", "user", "assistant"].contains(&role(it).as_str()) {
                let what = "is no role of a message that can be added, expected system, developer, user or assistant";
                self.refuse(format!("{at}[{i}].role"), format!("`{}` {what}", it.role));
            }
        }
        let instructs = |it: &&written::Message| ["system", "developer"].contains(&role(it).as_str());
        let others: Vec<&written::Message> = messages.iter().filter(|it| !instructs(it)).collect();
        Prompt {
            messages: objects(&messages.iter().collect::<Vec<_>>()),
            others: objects(&others),
            instructions: text(&messages.iter().filter(instructs).collect::<Vec<_>>()),
            text: text(&messages.iter().collect::<Vec<_>>()),
        }
    }
}

fn role(message: &written::Message) -> String {
    message.role.to_ascii_lowercase()
}

fn objects(messages: &[&written::Message]) -> String {
    let object = |it: &&written::Message| {
        let (role, content) =
            (serde_json::Value::from(role(it)), serde_json::Value::from(it.content.as_str()));
        format!("{{\"role\":{role},\"content\":{content}}}")
    };
    messages.iter().map(object).collect::<Vec<_>>().join(",")
}

/// A JSON string without its quotes.
fn text(messages: &[&written::Message]) -> String {
    let texts: Vec<&str> = messages.iter().map(|it| it.content.as_str()).collect();
    let json = serde_json::Value::from(texts.join("\n\n")).to_string();
    json.strip_prefix('"').and_then(|it| it.strip_suffix('"')).unwrap_or_default().to_owned()
}
