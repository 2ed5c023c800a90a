//! The way to the provider as far as the caller goes: stages `route` to `authorize`.

use std::rc::Rc;

use policy::access::Carrier;
use policy::guard::Mode;
use policy::{Route, Unmatched};

use super::{Asked, Effects, Exchange, Patience, Phase, Way};
use crate::access::{self, Caller, Verdict};
use crate::document::Document;
use crate::event::{Arrival, Effect};
use crate::failover::{self, Chosen, Spare};
use crate::guard::{self, About};
use crate::headers::Headers;
use crate::metric::Metric;
use crate::path::{self, Call};
use crate::reply::{Reason, Reply};
use crate::toll::Facts;

/// Longer than the name of any model, in bytes.
const LONGEST_MODEL: usize = 128;

impl Exchange {
    /// Stages `route` to `authorize`: all that the headers decide. Asked again when keys have come, so nothing is done
    /// before everything is decided.
    pub(super) fn arrive(
        &mut self,
        arrival: &Arrival<'_>,
        waited: Option<Patience>,
        effects: &mut Effects,
    ) -> Result<Phase, Reply> {
        let headers = arrival.headers;
        let policy = Rc::clone(&self.policy);
        let path = headers.get(":path").unwrap_or_default();
        let host = headers.get(":authority").unwrap_or_default();
        self.record.began = waited.map_or(arrival.now, |it| it.since);
        let Some((index, route, taken)) = path::find(&policy.routes, arrival.route, host, path) else {
            self.disarm(headers, effects);
            return self.unmatched();
        };
        self.record.route = Some(index);
        let caller = match self.access.authenticate(&route.jwt, headers, arrival.now)? {
            Verdict::Known(caller) => caller,
            Verdict::Wait(patience, otherwise) => {
                let since = waited.map_or(arrival.now, |it| it.since);
                let until = since.saturating_add(patience);
                return if arrival.now < until {
                    Ok(Phase::AwaitKeys(Patience { since, until }))
                } else {
                    Err(otherwise)
                };
            }
        };
        self.note_caller(&caller);
        let method = headers.get(":method").unwrap_or_default();
        let models = access::authorize(route.rbac.as_ref(), &caller, method, path)?;
        let path = access::without_carriers(path, &caller.spent);
        let call = Call::new(method, &path, taken, route.rewrite.as_ref());
        access::allow_path(&models, &call.path)?;
        let forwarded = guard::forwarded(&route.guard, headers);
        let Chosen { chain, skipped } =
            failover::choose(route, &models, arrival.now, arrival.random, arrival.recall)?;
        let (now, random) = (arrival.now, arrival.random);
        let facts = Facts::of(route, &caller, arrival);
        let mut way = Way {
            route: index,
            call,
            models,
            forwarded,
            chain,
            spare: None,
            model: None,
            facts,
            now,
            random,
        };
        let reads = self.reads(route, &way, arrival)?;
        let skipped = skipped.into_iter().map(|backend| Metric::Skipped { route: index, backend });
        effects.extend(skipped.map(Effect::Count));
        self.disarm(headers, effects);
        self.introduce(&caller, effects);
        self.note_asked(&way);
        if way.chain.len() > 1 || self.is_led_away(&way) {
            let mut spare = Spare::of(headers, effects);
            if arrival.end {
                spare.keep(Vec::new(), self.access.ledger());
            }
            way.spare = Some(spare);
        }
        self.prepare(route, &way, headers, effects);
        match reads {
            false => self.admit(way, None, effects),
            true if arrival.end => self.read(way, Vec::new(), effects),
            true => Ok(Phase::AwaitPrompt(way)),
        }
    }

    /// Takes from a client what only we say: who could set these would be taken for us.
    fn disarm(&self, headers: &Headers<'_>, effects: &mut Effects) {
        let internal = headers.names().filter(|name| access::is_internal(name, &self.policy));
        effects.extend(internal.map(|name| Effect::RemoveRequestHeader(name.to_owned())));
    }

    /// Says who is calling, to those who come after, and takes away what the caller has shown for it.
    fn introduce(&self, caller: &Caller, effects: &mut Effects) {
        effects.extend(caller.spent.iter().filter_map(|carrier| match carrier {
            Carrier::Header(header) => Some(Effect::RemoveRequestHeader(header.name.clone())),
            Carrier::Query(_) => None,
        }));
        let headers = caller.headers(&self.policy).into_iter();
        effects.extend(headers.map(|(name, value)| Effect::SetRequestHeader(name.into(), value)));
        effects.extend(caller.published(&self.policy).map(Effect::Publish));
    }

    /// Whether the body has to be seen: to be understood, to know which model it names, or to be looked at by a guard.
    fn reads(&self, route: &Route, way: &Way, arrival: &Arrival<'_>) -> Result<bool, Reply> {
        let headers = arrival.headers;
        let understood = way.call.operation.is_understood();
        let restricted = way.models.are_listed() && !arrival.end;
        let guarded = route.guard.request.as_ref().filter(|it| it.mode == Mode::Enforce && !arrival.end);
        if !understood && guarded.is_some() && !path::holds_text(&way.call.path) {
            return Err(guard::unreadable("what this path does with a body is not known here"));
        }
        if !understood && !restricted && guarded.is_none() {
            return Ok(false);
        }
        if !understood {
            access::readable(headers)?;
        }
        refuse_encoded(headers)?;
        let announced = headers.get("content-length").and_then(|length| length.parse().ok());
        self.within_limit(announced.unwrap_or(0))?;
        Ok(true)
    }

    fn unmatched(&mut self) -> Result<Phase, Reply> {
        match self.policy.unmatched {
            Unmatched::Pass => Ok(Phase::Passing),
            Unmatched::Refuse => {
                Err(Reply::new(404, Reason::RouteNotFound, "no route takes this host and path"))
            }
        }
    }

    pub(super) fn within_limit(&self, bytes: u64) -> Result<(), Reply> {
        let most = self.policy.max_request_bytes;
        if bytes <= most {
            return Ok(());
        }
        Err(Reply::new(413, Reason::BodyTooLarge, format!("the request body is longer than {most} bytes")))
    }

    /// Stages `authorize` to `attempt`: all that the body decides.
    pub(super) fn read(
        &mut self,
        mut way: Way,
        body: Vec<u8>,
        effects: &mut Effects,
    ) -> Result<Phase, Reply> {
        self.within_limit(body.len() as u64)?;
        let document = Document::parse(body)?;
        way.model = document.string("model")?.and_then(|it| fit_for_a_header(&it));
        self.note_asked(&way);
        access::allow_body(&way.models, &document)?;
        let policy = Rc::clone(&self.policy);
        let guard = policy.routes.get(way.route).and_then(|route| route.guard.request.as_ref());
        if let Some((webhook, guard)) = guard.and_then(|it| it.webhook.as_ref().zip(Some(it))) {
            let messages = self.messages(guard, &document)?;
            if !messages.is_empty() {
                let [forwarded, _] = &way.forwarded;
                effects.push(Effect::Call(guard::ask(webhook, About::Prompt, forwarded, &messages)));
                return Ok(Phase::AwaitVerdict(way, document, Asked::Webhook(messages)));
            }
        }
        self.inspect(way, document, effects)
    }
}

/// The name of a model as it may stand in a header.
fn fit_for_a_header(model: &str) -> Option<String> {
    let fits = model.len() <= LONGEST_MODEL && model.bytes().all(|byte| byte.is_ascii_graphic());
    (fits && !model.is_empty()).then(|| model.to_owned())
}

fn refuse_encoded(headers: &Headers<'_>) -> Result<(), Reply> {
    match headers.get("content-encoding") {
        None => Ok(()),
        Some(encoding) if encoding.eq_ignore_ascii_case("identity") => Ok(()),
        Some(_) => {
            let message = "the request body is compressed; send it with no content-encoding";
            Err(Reply::new(415, Reason::UnsupportedEncoding, message))
        }
    }
}
