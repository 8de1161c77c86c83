//! Fuzz targets as plain functions: each takes bytes and panics when a promise about them is broken.
//!
//! `cargo test -p groat-fuzz-targets` runs all of them on the committed corpora and on seeded mutations of these;
//! `cargo +nightly fuzz run NAME` searches on with coverage (see `fuzz/README.md`). A target compares with an
//! independent reading of the rule wherever there is one: another library, or a few lines written from the standard.
#![allow(clippy::unwrap_used)]

pub mod agentxpay;
pub mod answers;
pub mod challenge;
pub mod config;
pub mod exact;
pub mod facilitator;
pub mod framing;
pub mod money;
pub mod mpp;
pub mod network;
pub mod pass;
pub mod path;
pub mod payment;
pub mod proof;
pub mod receipts;
pub mod request;
pub mod token_challenge;
pub mod token_order;
pub mod want_pay;

mod json;
pub mod sample;

/// A target.
pub type Target = fn(&[u8]);

/// All targets. Each has a corpus in `fuzz/corpus` and a main in `fuzz/fuzz_targets`, both of its name.
pub const ALL: &[(&str, Target)] = &[
    ("agentxpay", agentxpay::target),
    ("answers", answers::target),
    ("challenge", challenge::target),
    ("config", config::target),
    ("exact", exact::target),
    ("facilitator", facilitator::target),
    ("framing", framing::target),
    ("money", money::target),
    ("mpp", mpp::target),
    ("network", network::target),
    ("pass", pass::target),
    ("path", path::target),
    ("payment", payment::target),
    ("receipts", receipts::target),
    ("token_order", token_order::target),
    ("token_challenge", token_challenge::target),
    ("proof", proof::target),
    ("request", request::target),
    ("want_pay", want_pay::target),
];
