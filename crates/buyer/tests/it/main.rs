//! The client against a seller that behaves as it is told.
#![allow(clippy::unwrap_used, missing_docs)]

mod budget;
mod hostile;
mod kit;
mod once;
