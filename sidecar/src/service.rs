//! The service: what it answers at which path. It holds nothing of a request when it has answered.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures_util::StreamExt;
use sidecar_api::{ADMIT, BODY_BYTES, ITEMS, Item, OURS, SETTLE, Settle, Settled};
use tracing::Instrument;

use crate::admission::{self, Asked};
use crate::error::Error;
use crate::metrics::{Admission, Metrics, Operation, Settling};
use crate::store::{Failed, Memory, Outcome, Place, Redis, Reserved, Store, Times};
use crate::ticket::{self, Secret};
use crate::tokens;

/// For the whole of a request, its body included.
const DEADLINE: Duration = Duration::from_secs(10);
/// Above this, reading and counting would keep other requests of the thread waiting.
const LONG: usize = 32 << 10;
/// How many settlements of one request are on their way to the store at once.
const AT_ONCE: usize = 64;

/// What the sidecar is to be.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Redis, or else this process's memory.
    pub redis: Option<Place>,
    /// What the keys in Redis begin with.
    pub prefix: String,
    /// After how many seconds a reservation that nobody has settled is given back.
    pub lease_seconds: u64,
    /// What reservations are signed with. None: derived from Redis' URL, or drawn by lot for counters in memory.
    pub secret: Option<Secret>,
    /// How many counters and reservations are held in memory.
    pub most_keys: usize,
    /// How many connections are served at once. Further ones wait until another ends.
    pub connections: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            redis: None,
            prefix: "turnpike".into(),
            lease_seconds: 600,
            secret: None,
            most_keys: 1_000_000,
            connections: 1024,
        }
    }
}

/// The sidecar.
#[derive(Debug)]
pub struct Service {
    store: Store,
    place: Option<Place>,
    secret: Secret,
    times: Times,
    metrics: Metrics,
    connections: usize,
}

impl Service {
    /// Nothing is connected to yet: it may start before Redis.
    ///
    /// # Errors
    /// The system has no randomness.
    pub fn new(settings: Settings) -> Result<Service, String> {
        let Settings { redis: place, prefix, lease_seconds, secret, most_keys, connections } = settings;
        let times = Times::of_lease(lease_seconds);
        let secret = match (secret, &place) {
            (Some(secret), _) => secret,
            // Who knows it, password and all, can change the counters without any ticket.
            (None, Some(place)) => Secret::of(place.url().as_bytes()),
            (None, None) => Secret::random()?,
        };
        let store = match &place {
            Some(place) => Store::Redis(Box::new(Redis::new(place.clone(), &prefix))),
            None => Store::Memory(Memory::new(Arc::new(now), most_keys)),
        };
        Ok(Service { store, place, secret, times, metrics: Metrics::new(), connections })
    }

    /// Where the counters are, as the end of a sentence.
    pub fn counters(&self) -> String {
        match &self.place {
            Some(place) => format!("in {place}"),
            None => "in this process's memory: they are not shared and end with it".into(),
        }
    }

    /// Whether the counters can be asked now.
    ///
    /// # Errors
    /// A sentence that says why not.
    pub async fn ready(&self) -> Result<(), String> {
        self.store.ready().await.map_err(|failed| failed.to_string())
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections
    }

    async fn admit(&self, body: Bytes) -> Result<sidecar_api::Admitted, Error> {
        let times = self.times;
        let asked = if body.len() > LONG {
            tokio::task::spawn_blocking(move || admission::read(&body, times))
                .await
                .map_err(|_| Error::Internal)??
        } else {
            admission::read(&body, times)?
        };
        admission::answer(&asked, &self.reserve(&asked).await?, &self.secret)
    }

    async fn reserve(&self, asked: &Asked) -> Result<Reserved, Error> {
        let begun = Instant::now();
        let reserved = self.store.reserve(&asked.reserve).await;
        self.metrics.store(Operation::reserve, begun.elapsed(), reserved.is_err());
        reserved.map_err(Error::Store)
    }

    async fn settle(&self, body: Bytes) -> Result<Settled, Error> {
        let settle: Settle =
            serde_json::from_slice(&body).map_err(|error| Error::Invalid(error.to_string()))?;
        if settle.items.len() > ITEMS {
            return Err(Error::Invalid(format!(
                "items: expected at most {ITEMS}, got {}",
                settle.items.len()
            )));
        }
        let items =
            futures_util::stream::iter(settle.items).map(|item| async move { self.settle_one(&item).await });
        let outcomes: Vec<Result<Settling, Failed>> = items.buffer_unordered(AT_ONCE).collect().await;
        let (mut settled, mut failed) = (Settled::default(), None);
        for outcome in outcomes {
            match outcome.as_ref().copied().unwrap_or(Settling::failed) {
                Settling::settled => settled.settled += 1,
                Settling::known => settled.known += 1,
                Settling::refused => settled.refused += 1,
                Settling::failed => failed = outcome.clone().err().or(failed),
            }
            self.metrics.settle(outcome.unwrap_or(Settling::failed));
        }
        // All of it may be sent again: what was settled is known then.
        failed.map_or(Ok(settled), |failed| Err(Error::Store(failed)))
    }

    async fn settle_one(&self, item: &Item) -> Result<Settling, Failed> {
        let Some(settlement) = ticket::read(&self.secret, &item.reservation, &item.used) else {
            return Ok(Settling::refused);
        };
        let begun = Instant::now();
        let outcome = self.store.settle(&settlement).await;
        self.metrics.store(Operation::settle, begun.elapsed(), outcome.is_err());
        Ok(match outcome? {
            Outcome::Settled => Settling::settled,
            Outcome::Known => Settling::known,
        })
    }
}

/// Everything that it answers.
pub(crate) fn router(service: Arc<Service>) -> Router {
    // A tenth of a second that would otherwise be the first request's.
    std::thread::spawn(tokens::warm);
    Router::new()
        .route(ADMIT, post(admit))
        .route(SETTLE, post(settle))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .fallback(|| async { Error::NotFound })
        .method_not_allowed_fallback(|| async { Error::Method })
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .layer(from_fn(around))
        .with_state(service)
}

async fn admit(State(service): State<Arc<Service>>, body: Result<Bytes, BytesRejection>) -> Response {
    let answer = match read(body) {
        Ok(body) => service.admit(body).await,
        Err(error) => Err(error),
    };
    service.metrics.admit(match &answer {
        Ok(admitted) if admitted.allowed => Admission::allowed,
        Ok(_) => Admission::denied,
        Err(Error::Store(_) | Error::Internal) => Admission::failed,
        Err(_) => Admission::invalid,
    });
    answered(answer)
}

async fn settle(State(service): State<Arc<Service>>, body: Result<Bytes, BytesRejection>) -> Response {
    match read(body) {
        Ok(body) => answered(service.settle(body).await),
        Err(error) => error.into_response(),
    }
}

fn read(body: Result<Bytes, BytesRejection>) -> Result<Bytes, Error> {
    body.map_err(|error| match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Error::TooLarge,
        _ => Error::Invalid("the body broke off".into()),
    })
}

fn answered<T: serde::Serialize>(answer: Result<T, Error>) -> Response {
    match answer.map(|answer| serde_json::to_vec(&answer)) {
        Ok(Ok(body)) => ([(header::CONTENT_TYPE, "application/json")], body).into_response(),
        Ok(Err(_)) => Error::Internal.into_response(),
        Err(error) => {
            tracing::debug!(?error, "not answered");
            error.into_response()
        }
    }
}

async fn ready(State(service): State<Arc<Service>>) -> Response {
    match service.store.ready().await {
        Ok(()) => "ok\n".into_response(),
        Err(failed) => Error::Store(failed).into_response(),
    }
}

async fn metrics(State(service): State<Arc<Service>>) -> Response {
    service.store.observe(&service.metrics);
    let form = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, form)], service.metrics.text()).into_response()
}

/// What holds for every answer: it comes in time, says that it is ours, and what is logged of it names the request's trace.
async fn around(request: Request, next: Next) -> Response {
    let trace = request.headers().get("traceparent").and_then(|trace| trace.to_str().ok()).filter(is_trace);
    let span = tracing::info_span!("request", path = request.uri().path(), traceparent = trace);
    let begun = Instant::now();
    let work = async {
        let answer = tokio::time::timeout(DEADLINE, next.run(request)).await;
        let mut answer = answer.unwrap_or_else(|_| Error::TooSlow.into_response());
        tracing::debug!(status = answer.status().as_u16(), micros = begun.elapsed().as_micros(), "answered");
        answer.headers_mut().insert(HeaderName::from_static(OURS), HeaderValue::from_static("1"));
        answer
    };
    work.instrument(span).await
}

/// Whether it looks like one of the W3C's: nothing else gets into logs.
fn is_trace(text: &&str) -> bool {
    text.len() == 55 && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

/// Milliseconds since 1970.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
