//! Where a service keeps its books: an SQLite file of its own, or a PostgreSQL database that several share.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Args;
use groat_core::Network;
use groat_core::ports::Store;
use groat_store::{MemoryStore, PostgresStore, SqliteStore};
use toml::Spanned;

use crate::config::Source;
use crate::paths::DataDir;

/// How to name another place than the file in the data directory.
#[derive(Args)]
pub(crate) struct StoreFlag {
    /// Where the book lies: an SQLite file, postgres://user@host/database, or `:memory:` (test networks only)
    #[arg(long = "store", value_name = "FILE|URL", env = "GROAT_STORE", hide_env_values = true)]
    place: Option<String>,
}

/// A place for books. Shown without a password.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Books {
    File(PathBuf),
    Database {
        url: String,
        shown: String,
    },
    /// Forgotten at the end.
    Memory,
}

const IN_MEMORY: &str = ":memory:";

impl Books {
    /// What the command line or the environment says, else the file, else `file_name` in the data directory.
    pub(crate) fn choose(
        flag: &StoreFlag,
        configured: Option<&Spanned<String>>,
        source: Option<&Source>,
        data: &DataDir,
        file_name: &str,
    ) -> anyhow::Result<Self> {
        if let Some(place) = flag.place.as_deref().filter(|place| !place.is_empty()) {
            return Self::parse(place).context("--store or GROAT_STORE");
        }
        match (configured, source) {
            (Some(place), Some(source)) => Self::in_file(source, place),
            _ => Ok(Self::File(data.file(file_name)?)),
        }
    }

    /// Where the configuration says; a file lies beside it unless its path is absolute.
    pub(crate) fn in_file(source: &Source, place: &Spanned<String>) -> anyhow::Result<Self> {
        match Self::parse(place.get_ref()) {
            Ok(Self::File(path)) => Ok(Self::File(source.beside(&path))),
            Ok(other) => Ok(other),
            Err(error) => {
                let mend = "see docs/reference/config.md for the places that a book can have";
                Err(source.wrong(Some(place.span()), &error.to_string(), mend))
            }
        }
    }

    /// A path, or the URL of a database. No message quotes the text, because a password may be in it.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        let scheme = text.split_once("://").map(|(scheme, _)| scheme);
        match scheme {
            None if text == IN_MEMORY => Ok(Self::Memory),
            None if !text.starts_with("postgres:") && !text.starts_with("postgresql:") => {
                Ok(Self::File(PathBuf::from(text)))
            }
            None | Some("postgres" | "postgresql") => {
                Ok(Self::Database { shown: PostgresStore::place(text)?, url: text.to_owned() })
            }
            Some(scheme) => bail!(
                "`{}://` is no kind of store that groat knows: name an SQLite file, or a database as \
                 postgres://user@host/database",
                scheme.escape_debug()
            ),
        }
    }

    /// Whether other instances may work on the same books.
    pub(crate) fn are_shared(&self) -> bool {
        matches!(self, Self::Database { .. })
    }

    /// Opens them. A file is then this process's alone.
    pub(crate) async fn open(&self, networks: &[Network]) -> anyhow::Result<Arc<dyn Store>> {
        if let (Self::Memory, Some(network)) = (self, networks.iter().find(|network| !network.is_testnet())) {
            bail!(
                "a book in memory is for test networks; on {network} name a file or a database with --store"
            );
        }
        Ok(match self {
            Self::Memory => Arc::new(MemoryStore::default()),
            Self::File(path) => Arc::new(SqliteStore::open(path)?),
            Self::Database { url, .. } => Arc::new(PostgresStore::open(url).await?),
        })
    }

    /// Opens what another process works on, for a look and a change under compare-and-set.
    pub(crate) async fn open_beside(&self) -> anyhow::Result<Arc<dyn Store>> {
        Ok(match self {
            Self::Memory => bail!("a book in memory is seen by its process alone: restart that"),
            Self::File(path) if !path.exists() => {
                bail!(
                    "there is no book at {}: name it with --store, or its file with --config",
                    path.display()
                )
            }
            Self::File(path) => Arc::new(SqliteStore::open_shared(path)?),
            Self::Database { url, .. } => Arc::new(PostgresStore::open(url).await?),
        })
    }
}

impl fmt::Display for Books {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(formatter),
            Self::Database { shown, .. } => formatter.write_str(shown),
            Self::Memory => formatter.write_str(IN_MEMORY),
        }
    }
}

impl fmt::Debug for Books {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_book_in_memory_is_for_test_networks() {
        let place = Books::parse(IN_MEMORY).unwrap();
        assert!(place.open(&[Network::eip155(84532)]).await.is_ok());
        let refused = place.open(&[Network::eip155(84532), Network::eip155(8453)]).await.err().unwrap();
        assert!(refused.to_string().contains("eip155:8453"), "{refused}");
    }

    #[test]
    fn a_place_is_a_path_or_a_database_and_shows_no_password() {
        for path in ["gate.db", "/var/lib/groat/gate.db", "odd:name.db"] {
            assert_eq!(Books::parse(path).unwrap(), Books::File(path.into()));
        }
        let database = Books::parse("postgres://ann:secret@localhost/books").unwrap();
        assert!(database.are_shared());
        assert_eq!(database.to_string(), "postgres://ann@localhost:5432/books");
        for (text, part) in [
            ("mysql://ann:secret@localhost/books", "`mysql://` is no kind of store"),
            ("postgres:ann:secret@localhost", "write postgres://"),
            ("postgres://ann:secret@localhost/books?secret=1", "write postgres://"),
            ("postgres://ann:secret@db.example.com/books", "add ?sslmode=require"),
        ] {
            let message = Books::parse(text).unwrap_err().to_string();
            assert!(message.contains(part) && !message.contains("secret"), "{message}");
        }
    }
}
