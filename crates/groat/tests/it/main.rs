//! The built binary, as others meet it.
#![allow(clippy::unwrap_used, missing_docs)]

mod cli;
mod database;
mod hostile;
mod interop;
mod kill;
mod operator;
mod processes;
mod upstream;
mod world;
