//! The hosts: what runs on each of them, from its start to its crash.

pub(crate) mod facilitator;
pub(crate) mod gate;
pub(crate) mod node;
