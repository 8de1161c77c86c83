//! Where the database is, and how to get a connection to it.

use std::time::Duration;

use rustls_platform_verifier::ConfigVerifierExt;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};
use tokio_postgres::{Client, Config, Connection, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{PostgresError, password};

/// Connecting, with TLS and authentication.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Bytes that the other side does not acknowledge for so long end the connection.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// A database. Its `Debug` output leaves the password out.
#[derive(Clone)]
pub(super) struct Target {
    config: Config,
    tls: Option<MakeRustlsConnect>,
    place: String,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.place)
    }
}

impl Target {
    pub(super) fn parse(url: &str) -> Result<Self, PostgresError> {
        if !(url.starts_with("postgres://") || url.starts_with("postgresql://")) {
            return Err(PostgresError::Url);
        }
        let mut config: Config = url.parse().map_err(|_| PostgresError::Url)?;
        let Some(first) = config.get_hosts().first() else { return Err(PostgresError::Url) };
        let first = name(first);
        // With several hosts, and after a failover, the one that can be written to. A standby may lag behind, so reads go
        // to no other server either: whoever has been answered must be seen.
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        config.connect_timeout(CONNECT_TIMEOUT).tcp_user_timeout(SILENCE_MAX).keepalives_idle(SILENCE_MAX);
        if config.get_application_name().is_none() {
            config.application_name("groat");
        }
        let tls = match config.get_ssl_mode() {
            SslMode::Require => Some(tls()?),
            SslMode::Disable => None,
            _ if config.get_hosts().iter().all(is_local) => {
                config.ssl_mode(SslMode::Disable);
                None
            }
            // "TLS if the other side likes to" is what whoever listens in would choose as well.
            _ => return Err(PostgresError::TlsUnsaid(first)),
        };
        let port = config.get_ports().first().copied().unwrap_or(5432);
        let database = config.get_dbname().or(config.get_user()).unwrap_or_default().to_owned();
        let user = config.get_user().map(|user| format!("{user}@")).unwrap_or_default();
        let place = format!("postgres://{user}{first}:{port}/{database}");
        if config.get_password().is_none()
            && let Some(found) =
                password::find(&first, port, &database, config.get_user().unwrap_or_default())?
        {
            config.password(found);
        }
        Ok(Self { config, tls, place })
    }

    /// The URL without password and options.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    /// A new connection and the task that moves its bytes. It ends with the client, or when it is aborted.
    pub(super) async fn connect(&self) -> Result<(Client, JoinHandle<()>), tokio_postgres::Error> {
        match &self.tls {
            Some(tls) => self.config.connect(tls.clone()).await.map(drive),
            None => self.config.connect(NoTls).await.map(drive),
        }
    }
}

fn drive<S, T>((client, connection): (Client, Connection<S, T>)) -> (Client, JoinHandle<()>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let task = tokio::spawn(async move {
        // Whoever uses the client is told as well, and says what it means for him.
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to the store has ended");
        }
    });
    (client, task)
}

/// Certificates are checked as browsers do: against the machine's roots, and for the host's name.
fn tls() -> Result<MakeRustlsConnect, PostgresError> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = rustls::ClientConfig::with_platform_verifier();
    config.map(MakeRustlsConnect::new).map_err(|error| PostgresError::Tls(error.to_string()))
}

fn name(host: &Host) -> String {
    match host {
        Host::Tcp(name) => name.clone(),
        Host::Unix(folder) => folder.display().to_string(),
    }
}

fn is_local(host: &Host) -> bool {
    match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            let address: Option<std::net::IpAddr> = name.trim_matches(['[', ']']).parse().ok();
            name == "localhost" || address.is_some_and(|address| address.is_loopback())
        }
    }
}

#[cfg(test)]
mod tests;
