//! What the gateway is told when the sidecar cannot answer: OpenAI's error shape, with a stable code.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::store::Failed;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Error {
    /// The question is wrong.
    Invalid(String),
    /// The request's id has reserved something else.
    Conflict,
    /// The body is longer than [`sidecar_api::BODY_BYTES`].
    TooLarge,
    /// The question took too long to come, or the answer to be found.
    TooSlow,
    /// The counters cannot be asked.
    Store(Failed),
    /// There is nothing at this path.
    NotFound,
    /// Not with this method.
    Method,
    /// This should not be.
    Internal,
}

impl Error {
    fn parts(&self) -> (StatusCode, &'static str, String) {
        let text = |text: &str| text.to_owned();
        match self {
            Error::Invalid(why) => (StatusCode::BAD_REQUEST, "invalid_request", why.clone()),
            Error::Conflict => {
                (StatusCode::CONFLICT, "request_conflict", text("this request has reserved something else"))
            }
            Error::TooLarge => {
                let message = format!("the body is longer than {} bytes", sidecar_api::BODY_BYTES);
                (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", message)
            }
            Error::TooSlow => (StatusCode::REQUEST_TIMEOUT, "too_slow", text("not done in time")),
            Error::Store(failed) => {
                let (status, code) = match failed {
                    Failed::Away(_) => (StatusCode::SERVICE_UNAVAILABLE, "store_unavailable"),
                    Failed::Silent(_) => (StatusCode::GATEWAY_TIMEOUT, "store_silent"),
                    Failed::Full(_) => (StatusCode::SERVICE_UNAVAILABLE, "store_full"),
                };
                (status, code, failed.to_string())
            }
            Error::NotFound => (StatusCode::NOT_FOUND, "not_found", text("there is nothing at this path")),
            Error::Method => {
                (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", text("this path has another method"))
            }
            Error::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal", text("a bug of the sidecar")),
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let (status, code, message) = self.parts();
        let kind = if status.is_server_error() { "server_error" } else { "invalid_request_error" };
        let message = serde_json::Value::from(message);
        let body =
            format!(r#"{{"error":{{"message":{message},"type":"{kind}","param":null,"code":"{code}"}}}}"#);
        (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
    }
}
