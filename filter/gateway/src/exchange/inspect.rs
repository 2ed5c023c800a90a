//! Stage `guard`, on the way to the provider.

use std::rc::Rc;

use policy::guard::{Mode, OnError, RequestGuard};

use super::{Asked, Effects, Exchange, Phase, Way};
use crate::document::Document;
use crate::edits::Edits;
use crate::event::{Effect, Level, Said};
use crate::guard::{self, About, Finds, Message};
use crate::metric::{Action, Finder, Side};
use crate::reply::{Reason, Reply};

impl Exchange {
    /// What somebody who is asked gets of a prompt.
    pub(super) fn messages(&self, guard: &RequestGuard, document: &Document) -> Result<Vec<Message>, Reply> {
        match guard::of_prompt(document) {
            Ok(messages) => Ok(messages),
            Err(_) if guard.mode == Mode::Monitor => Ok(Vec::new()),
            Err(_) => Err(guard::unreadable("it is nested too deeply")),
        }
    }

    /// Stage `guard`, where patterns are looked for.
    pub(super) fn inspect(
        &mut self,
        way: Way,
        document: Document,
        effects: &mut Effects,
    ) -> Result<Phase, Reply> {
        let policy = Rc::clone(&self.policy);
        let guard = policy.routes.get(way.route).and_then(|route| route.guard.request.as_ref());
        let Some(guard) = guard else { return self.admit(way, Some(document), effects) };
        let document = self.mask(guard, document, effects)?;
        if let Some(moderation) = &guard.moderation {
            let messages = self.messages(guard, &document)?;
            if !messages.is_empty() {
                effects.push(Effect::Call(guard::ask_moderation(moderation, &messages)));
                return Ok(Phase::AwaitVerdict(way, document, Asked::Moderation));
            }
        }
        self.admit(way, Some(document), effects)
    }

    fn mask(
        &mut self,
        guard: &RequestGuard,
        document: Document,
        effects: &mut Effects,
    ) -> Result<Document, Reply> {
        let Some(patterns) = &guard.patterns else { return Ok(document) };
        let mut finds = Finds::default();
        let inspected = guard::inspect(guard, patterns, &document, &mut finds);
        let action = Action::of(guard.mode, patterns.action);
        for rule in finds.rules() {
            self.found(Side::Request, Finder::Rule(*rule), action, effects);
        }
        match inspected {
            Ok(edits) => changed(document, edits, effects),
            // What cannot be looked at is let pass by a guard that only watches.
            Err(_) if guard.mode == Mode::Monitor => Ok(document),
            Err(reply) => Err(reply),
        }
    }

    /// Stage `guard`, when somebody who was asked has answered, or has not.
    pub(super) fn hear(
        &mut self,
        way: Way,
        document: Document,
        asked: Asked,
        answer: Option<Said<'_>>,
        effects: &mut Effects,
    ) -> Result<Phase, Reply> {
        let policy = Rc::clone(&self.policy);
        let guard = policy.routes.get(way.route).and_then(|route| route.guard.request.as_ref());
        let Some(guard) = guard else { return self.admit(way, Some(document), effects) };
        let body = answer.filter(|it| it.status == 200).map(|it| it.body);
        match asked {
            Asked::Webhook(messages) => {
                let verdict = body.and_then(|it| guard::verdict(About::Prompt, messages.len(), it));
                let on_error = guard.webhook.as_ref().map_or(OnError::Deny, |it| it.on_error);
                let document = match verdict {
                    None => {
                        self.unheard(guard.mode, on_error, Finder::Webhook, effects)?;
                        document
                    }
                    Some(guard::Verdict::Pass) => document,
                    Some(guard::Verdict::Mask(texts)) => {
                        let edits = guard::replace(&messages, &texts);
                        let acts = !edits.is_empty();
                        let enforced =
                            acts.then(|| self.acts(guard.mode, Finder::Webhook, Action::Mask, effects));
                        if enforced == Some(true) { changed(document, edits, effects)? } else { document }
                    }
                    Some(guard::Verdict::Reject { body, status }) => {
                        if self.acts(guard.mode, Finder::Webhook, Action::Reject, effects) {
                            return Err(guard::rejected(About::Prompt, &guard.refusal, body, status));
                        }
                        document
                    }
                };
                self.inspect(way, document, effects)
            }
            Asked::Moderation => {
                let on_error = guard.moderation.as_ref().map_or(OnError::Deny, |it| it.on_error);
                match body.and_then(guard::flagged) {
                    None => self.unheard(guard.mode, on_error, Finder::Moderation, effects)?,
                    Some(false) => {}
                    Some(true) => {
                        if self.acts(guard.mode, Finder::Moderation, Action::Reject, effects) {
                            return Err(guard::refuse(&guard.refusal, "moderation"));
                        }
                    }
                }
                self.admit(way, Some(document), effects)
            }
        }
    }

    /// Notes what somebody who was asked about a prompt wants done, and says whether it is to be done.
    fn acts(&mut self, mode: Mode, finder: Finder, action: Action, effects: &mut Effects) -> bool {
        let enforced = mode == Mode::Enforce;
        let action = if enforced { action } else { Action::Monitor };
        self.found(Side::Request, finder, action, effects);
        enforced
    }

    /// Somebody who was asked has not answered: what the policy says.
    pub(super) fn unheard(
        &self,
        mode: Mode,
        on_error: OnError,
        finder: Finder,
        effects: &mut Effects,
    ) -> Result<(), Reply> {
        let who = finder.name(Side::Request, None);
        if mode == Mode::Enforce && on_error == OnError::Deny {
            let message = "this route asks somebody about prompts and answers who does not answer now";
            return Err(
                Reply::new(503, Reason::GuardUnavailable, message).because(&format!("{who} gave no answer"))
            );
        }
        let line = format!("route {}: {who} gave no answer, and the policy lets pass", self.route_name());
        effects.push(Effect::Log(Level::Warn, line));
        self.count_exception(effects);
        Ok(())
    }
}

/// The document after edits that the host is told of as well.
fn changed(document: Document, edits: Edits, effects: &mut Effects) -> Result<Document, Reply> {
    if edits.is_empty() {
        return Ok(document);
    }
    let document = document.edited(&edits)?;
    effects.push(Effect::EditRequestBody(edits));
    Ok(document)
}
