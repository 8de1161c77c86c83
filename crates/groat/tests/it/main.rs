//! The built binary, as others meet it.
#![allow(clippy::unwrap_used, missing_docs)]

mod balances;
mod cli;
mod database;
mod hostile;
mod inspect;
mod interop;
mod kill;
#[cfg(feature = "failpoints")]
mod kills;
mod operator;
mod permits;
mod processes;
mod resume;
mod services;
mod shared;
mod upstream;
mod want_pay;
mod world;
