//! One connection for all requests of the process: what they ask is pipelined by itself. Each wait has an end.
//!
//! A connection that failed is dropped, and the next who asks makes a new one. What is asked here may be asked twice, so a
//! connection that turns out to be gone is replaced at once.

use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::sentinel::{SentinelClient, SentinelNodeConnectionInfo, SentinelServerType};
use redis::{AsyncConnectionConfig, Client, Cmd, ErrorKind, RedisError, ServerErrorKind, TlsMode, Value};
use tokio::sync::Mutex;

use super::Failed;
use super::breaker::Breaker;
use super::place::{Place, Way};

/// For an answer, and for a connection to one server.
const WAIT: Duration = Duration::from_millis(400);
/// For finding a master or a whole cluster.
const SEARCH: Duration = Duration::from_millis(800);

/// A connection, made when it is needed.
#[derive(Debug)]
pub(super) struct Connection {
    place: Place,
    breaker: Breaker,
    slot: Mutex<Slot>,
}

/// The connection, which one it is, and when and why there last was none.
#[derive(Debug, Default)]
struct Slot {
    link: Option<Link>,
    number: u64,
    failed: Option<(Instant, String)>,
}

#[derive(Clone)]
enum Link {
    Single(MultiplexedConnection),
    Cluster(ClusterConnection),
}

/// A script and what EVALSHA calls it.
#[derive(Debug)]
pub(super) struct Script {
    text: String,
    sha: String,
}

impl Script {
    pub fn new(text: String) -> Script {
        let sha = redis::Script::new(&text).get_hash().to_owned();
        Script { text, sha }
    }
}

impl Connection {
    pub fn new(place: Place) -> Connection {
        // Redis' client takes the process's provider, and none has been chosen in a process that is ours alone.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Connection { place, breaker: Breaker::default(), slot: Mutex::default() }
    }

    pub fn is_open(&self) -> bool {
        self.breaker.is_open()
    }

    /// Runs a script.
    pub async fn eval(&self, script: &Script, keys: &[String], args: &[String]) -> Result<Value, Failed> {
        let command = |name: &str, body: &str| {
            let mut command = redis::cmd(name);
            command.arg(body).arg(keys.len()).arg(keys).arg(args);
            command
        };
        let mut sent = false;
        match self.ask(&command("EVALSHA", &script.sha), &mut sent).await {
            // A server that was restarted, or was told to forget its scripts, learns them again.
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                self.ask(&command("EVAL", &script.text), &mut sent).await
            }
            other => other,
        }
        .map_err(|error| if sent { Failed::Silent(said(&error)) } else { Failed::Away(said(&error)) })
    }

    pub async fn ping(&self) -> Result<(), Failed> {
        let answer = self.ask(&redis::cmd("PING"), &mut false).await;
        answer.map(drop).map_err(|error| Failed::Away(said(&error)))
    }

    /// Asks, unless somebody has just found that it is of no use. Says whether the question has gone out.
    async fn ask(&self, command: &Cmd, sent: &mut bool) -> Result<Value, RedisError> {
        let open = |why| RedisError::from((ErrorKind::Io, "not asked", why));
        self.breaker.may_ask(Instant::now()).map_err(open)?;
        let mut answer = self.once(command, sent).await;
        if answer.as_ref().is_err_and(|error| error.is_connection_dropped()) {
            answer = self.once(command, sent).await;
        }
        match &answer {
            Err(error) if is_its_own_fault(error) => {
                let why = said(error);
                if self.breaker.failed(Instant::now(), why.clone()) {
                    tracing::warn!(why, "{} is away", self.place);
                }
            }
            Ok(_) | Err(_) => {
                if self.breaker.succeeded() {
                    tracing::info!("{} is back", self.place);
                }
            }
        }
        answer
    }

    async fn once(&self, command: &Cmd, sent: &mut bool) -> Result<Value, RedisError> {
        let (link, number) = self.link().await?;
        *sent = true;
        let answer = match link {
            Link::Single(mut link) => command.query_async(&mut link).await,
            Link::Cluster(mut link) => command.query_async(&mut link).await,
        };
        if answer.as_ref().is_err_and(is_its_own_fault) {
            let mut slot = self.slot.lock().await;
            // Another may have replaced it meanwhile.
            if slot.number == number {
                slot.link = None;
            }
        }
        answer
    }

    /// Who finds none makes one, while the others wait. If that fails, it has failed for all who waited.
    async fn link(&self) -> Result<(Link, u64), RedisError> {
        let began = Instant::now();
        let mut slot = self.slot.lock().await;
        if let Some(link) = &slot.link {
            return Ok((link.clone(), slot.number));
        }
        if let Some((_, why)) = slot.failed.as_ref().filter(|(when, _)| *when >= began) {
            return Err(RedisError::from((ErrorKind::Io, "no connection", why.clone())));
        }
        match self.connect().await {
            Ok(link) => {
                slot.link = Some(link.clone());
                slot.number += 1;
                Ok((link, slot.number))
            }
            Err(error) => {
                slot.failed = Some((Instant::now(), said(&error)));
                Err(error)
            }
        }
    }

    async fn connect(&self) -> Result<Link, RedisError> {
        let too_long = |_| RedisError::from((ErrorKind::Io, "no connection in time"));
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(Some(WAIT)).set_response_timeout(Some(WAIT));
        match &self.place.way {
            Way::Single(info) => {
                let client = Client::open((**info).clone())?;
                let link = client.get_multiplexed_async_connection_with_config(&config);
                tokio::time::timeout(WAIT, link).await.map_err(too_long)?.map(Link::Single)
            }
            Way::Cluster(nodes) => {
                let client = ClusterClient::builder(nodes.clone())
                    .connection_timeout(WAIT)
                    .response_timeout(WAIT)
                    .retries(2)
                    .build()?;
                let link = client.get_async_connection();
                tokio::time::timeout(SEARCH, link).await.map_err(too_long)?.map(Link::Cluster)
            }
            Way::Sentinel { sentinels, name, master } => {
                let mut how = SentinelNodeConnectionInfo::default()
                    .set_redis_connection_info(master.redis_settings().clone());
                if matches!(master.addr(), redis::ConnectionAddr::TcpTls { .. }) {
                    how = how.set_tls_mode(TlsMode::Secure);
                }
                let mut client =
                    SentinelClient::build(sentinels.clone(), name, Some(how), SentinelServerType::Master)?;
                let link = client.get_async_connection_with_config(&config);
                tokio::time::timeout(SEARCH, link).await.map_err(too_long)?.map(Link::Single)
            }
        }
    }
}

/// Whether the server or the way to it has failed, and not merely what was asked.
fn is_its_own_fault(error: &RedisError) -> bool {
    use ServerErrorKind::{NoScript, ResponseError};
    !matches!(error.kind(), ErrorKind::Server(NoScript | ResponseError))
}

/// What may be said of an error: no key, no address with a password.
fn said(error: &RedisError) -> String {
    if error.is_timeout() {
        return "no answer in time".into();
    }
    match error.kind() {
        ErrorKind::Io => error.detail().map_or_else(|| error.to_string(), str::to_owned),
        _ => error.code().map_or_else(|| error.category().to_owned(), str::to_owned),
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Link::Single(_) => "Single",
            Link::Cluster(_) => "Cluster",
        })
    }
}
