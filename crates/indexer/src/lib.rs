//! An index of AgentXPay's payments: read from a chain, kept in a store, told over HTTP.
//!
//! [`Indexer::poll`] reads what is new in windows of blocks. The events of a window and the place up to which was read lie
//! in the store by one commit, so nothing is lost or told twice whatever dies; on an error the place stays where it is.
//! What a reorganisation takes away is undone first. [`http::router`] answers questions, as the public indexer does.

pub mod http;
mod reader;
mod rows;

pub use reader::{Indexer, IndexerOptions, Polled};
pub use rows::{Page, Query, Stats};
