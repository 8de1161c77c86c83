//! The built binary, as others meet it.
#![allow(clippy::unwrap_used, missing_docs)]

mod cli;
mod database;
mod hostile;
mod interop;
mod kill;
#[cfg(feature = "failpoints")]
mod kills;
mod operator;
mod permits;
mod processes;
mod services;
mod shared;
mod upstream;
mod world;
