//! What a client is told when the gateway answers itself, and how a request ended.

use policy::guard::Format;

/// An answer that did not come from the provider. Its body is JSON in OpenAI's error shape, so that SDKs show it, unless a
/// policy wants it otherwise.
#[derive(Debug, PartialEq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Why; sent as `error.code` and in the header `x-turnpike-reason`.
    pub reason: Reason,
    /// What the client may know, as one sentence.
    pub message: String,
    /// What only the log may know; often nothing.
    pub cause: String,
    /// Headers that go with it.
    pub extra: Vec<(&'static str, String)>,
    /// How the message is sent.
    pub format: Format,
}

/// Why the gateway answered itself. The code of each is stable: it is in bodies, headers, metrics and logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// No route takes this host and path.
    RouteNotFound,
    /// The request did not come through the gateway's own listener.
    NotAdmitted,
    /// There is no token, or none that is good.
    Jwt(jwt::Refusal),
    /// The keys to check tokens with cannot be had.
    KeysUnavailable,
    /// The claims of the caller are not those that the route asks for.
    RbacAccessDenied,
    /// The request names a model that is not the caller's.
    ModelNotAllowed,
    /// The body is not the JSON object that the API takes.
    InvalidJson,
    /// A name stands twice in the body, so that two readers could read two things.
    DuplicateField,
    /// A field that the gateway decides by is not what the API says.
    InvalidField,
    /// The body is longer than the gateway takes.
    BodyTooLarge,
    /// The body is compressed.
    UnsupportedEncoding,
    /// The prompt says what the route's policy does not let pass.
    PromptRejected,
    /// The route looks at prompts, and this one cannot be looked at.
    GuardUnreadable,
    /// Somebody who has to be asked about the prompt or the answer does not answer.
    GuardUnavailable,
    /// A budget is used up.
    BudgetExceeded,
    /// Nobody can say how a budget stands.
    BudgetUnavailable,
    /// Costs are counted, and the model has no price.
    ModelUnpriced,
    /// The answer says what the route's policy does not let pass.
    AnswerRejected,
    /// The route looks at answers, and this one cannot be looked at.
    AnswerUnreadable,
    /// The client took too long to send its request.
    RequestTimeout,
    /// The provider could not be reached, or hung up.
    ProviderUnreachable,
    /// The provider did not answer in time.
    ProviderTimeout,
    /// The provider refused the gateway's key.
    ProviderAuthFailed,
    /// The host gave up for a reason of its own.
    HostError,
}

/// A step of a request's life, in the order in which a request meets them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Which way it goes.
    Route,
    /// Who is calling.
    Authenticate,
    /// What is asked.
    Read,
    /// What the caller may use.
    Authorize,
    /// What the prompt says.
    Guard,
    /// What it costs, and whether the answer is known already.
    Admit,
    /// What the gateway adds.
    Enrich,
    /// What the provider gets.
    Attempt,
    /// What the client gets.
    Answer,
    /// What is remembered.
    Settle,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The provider answered, and the client has it.
    Ok,
    /// The provider answered with an error, and the client has it.
    ProviderError,
    /// The provider ended a stream before its end.
    StreamCut,
    /// The request ended before there was an answer.
    Unanswered,
    /// The client left, or the provider hung up, in the middle of a stream.
    Interrupted,
    /// The gateway answered.
    Replied(Reason),
}

impl Outcome {
    /// The stable name.
    pub fn code(self) -> &'static str {
        match self {
            Outcome::Ok => "ok",
            Outcome::ProviderError => "provider_error",
            Outcome::StreamCut => "stream_cut",
            Outcome::Unanswered => "unanswered",
            Outcome::Interrupted => "interrupted",
            Outcome::Replied(reason) => reason.code(),
        }
    }
}

impl Reason {
    /// The stable name.
    pub fn code(self) -> &'static str {
        match self {
            Reason::RouteNotFound => "route_not_found",
            Reason::NotAdmitted => "not_admitted",
            Reason::Jwt(refusal) => refusal.code(),
            Reason::KeysUnavailable => "jwks_unavailable",
            Reason::RbacAccessDenied => "rbac_access_denied",
            Reason::ModelNotAllowed => "model_not_allowed",
            Reason::InvalidJson => "invalid_json",
            Reason::DuplicateField => "duplicate_field",
            Reason::InvalidField => "invalid_field",
            Reason::BodyTooLarge => "body_too_large",
            Reason::UnsupportedEncoding => "unsupported_content_encoding",
            Reason::PromptRejected => "prompt_rejected",
            Reason::GuardUnreadable => "guard_unreadable",
            Reason::GuardUnavailable => "guard_unavailable",
            Reason::BudgetExceeded => "budget_exceeded",
            Reason::BudgetUnavailable => "budget_unavailable",
            Reason::ModelUnpriced => "model_unpriced",
            Reason::AnswerRejected => "answer_rejected",
            Reason::AnswerUnreadable => "answer_unreadable",
            Reason::RequestTimeout => "request_timeout",
            Reason::ProviderUnreachable => "provider_unreachable",
            Reason::ProviderTimeout => "provider_timeout",
            Reason::ProviderAuthFailed => "provider_auth_failed",
            Reason::HostError => "host_error",
        }
    }

    /// The step that gives this reason.
    pub fn stage(self) -> Stage {
        match self {
            Reason::RouteNotFound => Stage::Route,
            Reason::Jwt(_) | Reason::KeysUnavailable => Stage::Authenticate,
            Reason::RbacAccessDenied | Reason::ModelNotAllowed => Stage::Authorize,
            Reason::InvalidJson
            | Reason::DuplicateField
            | Reason::InvalidField
            | Reason::BodyTooLarge
            | Reason::UnsupportedEncoding
            | Reason::RequestTimeout => Stage::Read,
            Reason::PromptRejected | Reason::GuardUnreadable | Reason::GuardUnavailable => Stage::Guard,
            Reason::BudgetExceeded | Reason::BudgetUnavailable | Reason::ModelUnpriced => Stage::Admit,
            Reason::NotAdmitted => Stage::Attempt,
            Reason::AnswerRejected
            | Reason::AnswerUnreadable
            | Reason::ProviderUnreachable
            | Reason::ProviderTimeout
            | Reason::ProviderAuthFailed
            | Reason::HostError => Stage::Answer,
        }
    }
}

impl Reply {
    /// An answer of the gateway's own.
    pub fn new(status: u16, reason: Reason, message: impl Into<String>) -> Reply {
        Reply {
            status,
            reason,
            message: message.into(),
            cause: String::new(),
            extra: Vec::new(),
            format: Format::Openai,
        }
    }

    /// With what the client is asked for (RFC 9110 section 11.6.1).
    pub fn challenging(mut self, challenge: String) -> Reply {
        self.extra.push(("www-authenticate", challenge));
        self
    }

    /// With more headers.
    pub fn with(mut self, extra: Vec<(&'static str, String)>) -> Reply {
        self.extra = extra;
        self
    }

    /// With the message sent in this form.
    pub fn formatted(mut self, format: Format) -> Reply {
        self.format = format;
        self
    }

    /// With what only the log may know.
    pub fn because(mut self, cause: &str) -> Reply {
        self.cause = cause.to_owned();
        self
    }

    /// The headers.
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        let own = [
            ("content-type", self.media_type().to_owned()),
            ("x-turnpike-reason", self.reason.code().to_owned()),
        ];
        own.into_iter().chain(self.extra.iter().cloned()).collect()
    }

    fn media_type(&self) -> &'static str {
        let json = || serde_json::from_str::<serde::de::IgnoredAny>(&self.message).is_ok();
        match self.format {
            Format::Raw if !json() => "text/plain; charset=utf-8",
            Format::Raw | Format::Openai => "application/json",
        }
    }

    /// The body: an error object as the OpenAI API shapes it, or the message alone.
    pub fn body(&self) -> Vec<u8> {
        match self.format {
            Format::Openai => error_object(&self.message, self.kind(), self.reason.code()),
            Format::Raw => self.message.clone().into_bytes(),
        }
    }

    /// The `type` that OpenAI's SDKs know for such a status.
    fn kind(&self) -> &'static str {
        match self.status {
            429 => "rate_limit_error",
            400..=499 => "invalid_request_error",
            _ => "server_error",
        }
    }
}

/// `{"error": …}` as the OpenAI API shapes it.
pub fn error_object(message: &str, kind: &str, code: &str) -> Vec<u8> {
    let message = serde_json::Value::from(message);
    format!(r#"{{"error":{{"message":{message},"type":"{kind}","param":null,"code":"{code}"}}}}"#)
        .into_bytes()
}
