//! The buyer: asks for a URL and, when it costs something, pays for it within limits. Once.
//!
//! [`Client`] is one line around reqwest. Whatever is signed is written into a journal first and sent exactly as
//! written; after a lost answer or a crash the same payment is sent again, and never a second one signed. Keys stay
//! in a [`Signer`](groat_core::ports::Signer); [`LocalSigner`] reads them from keystore files.
//!
//! ```no_run
//! # async fn demo(buyer: groat_buyer::Buyer) -> Result<(), groat_buyer::BuyError> {
//! let client = groat_buyer::Client::new(buyer)?;
//! let bought = client.get("https://api.example.com/weather").await?;
//! println!("{} {:?}", bought.response.status(), bought.payment);
//! # Ok(()) }
//! ```

mod client;
mod past;
mod signer;

#[doc(hidden)]
pub use client::fuzzing;
pub use client::{
    Approver, AskView, Bought, BuyError, BuyErrorKind, Buyer, Client, DenyAll, Ending, Options, PaidWith,
    Plan, PlannedOffer, Resumed, SpentToday,
};
pub use signer::{KeyError, LocalSigner, is_published, keystore};
