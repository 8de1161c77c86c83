//! The client against a seller that behaves as it is told.
#![allow(clippy::unwrap_used, missing_docs)]

mod budget;
mod crash;
mod hostile;
mod kit;
mod limits;
mod once;
mod orders;
mod passes;
mod prescribed;
mod redirects;
mod resume;
mod secrets;
mod stumble;
mod transactions;
mod tricks;
