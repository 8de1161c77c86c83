//! What an answer to a paid request means. The seller's word is believed only where that costs nothing.

use std::time::Duration;

use groat_core::payment::ReceiptOutcome;
use groat_core::reason::printable;
use groat_core::{Reason, Receipt};
use http::StatusCode;
use http::header::RETRY_AFTER;
use reqwest::Response;

use super::Client;
use super::exchange::Broken;

/// What became of one sending of a payment.
pub(super) enum Verdict {
    /// Served.
    Bought(Option<Receipt>, Box<Response>),
    /// Not known: the same may be sent again after a while, or not at all by itself.
    Unknown { transaction: Option<String>, again_after: Option<Duration> },
    /// The seller says no. Its word releases nothing (threat rows Y12, Y17).
    Refused { reason: Reason, status: u16, message: String },
}

/// The longest that a seller can make us wait at once.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// Most of a refusal's body that is shown.
const MESSAGE_CHARS_MAX: usize = 300;

impl Client {
    pub(super) async fn judge(&self, answer: Result<Response, Broken>) -> Verdict {
        let after = self.buyer.options.resend_after;
        let Ok(response) = answer else {
            return Verdict::Unknown { transaction: None, again_after: Some(after) };
        };
        // An unreadable receipt is no receipt; the status then speaks alone.
        let receipt = self.buyer.dialects.read_receipt(response.headers()).ok().flatten();
        let status = response.status();
        // Whoever asks for money again has not served, whatever its receipt says.
        let is_402 = status == StatusCode::PAYMENT_REQUIRED;
        match receipt {
            receipt if status.is_success() => Verdict::Bought(receipt, Box::new(response)),
            Some(receipt) if receipt.is_settled() && !is_402 => {
                Verdict::Bought(Some(receipt), Box::new(response))
            }
            Some(Receipt { outcome: ReceiptOutcome::Pending, transaction, .. }) => {
                let transaction = transaction.map(|text| printable(&text, 100));
                Verdict::Unknown { transaction, again_after: Some(wait(&response).unwrap_or(after)) }
            }
            Some(Receipt { outcome: ReceiptOutcome::Failed(reason), .. }) => {
                self.refused(Some(reason), response).await
            }
            _ if is_temporary(status) => {
                Verdict::Unknown { transaction: None, again_after: Some(wait(&response).unwrap_or(after)) }
            }
            // It broke while serving: once more could run it twice, and the outcome is not known.
            _ if status.is_server_error() => Verdict::Unknown { transaction: None, again_after: None },
            _ => self.refused(None, response).await,
        }
    }

    async fn refused(&self, reason: Option<Reason>, response: Response) -> Verdict {
        let status = response.status();
        let (reason, message) = match self.read(response).await {
            Ok((parts, body)) => {
                let challenge = || self.buyer.dialects.read_challenge(&parts.headers, &body).ok().flatten();
                let told = || challenge().map(|(_, challenge)| challenge.error).filter(|it| !it.is_empty());
                let reason = reason.or_else(|| told().map(|code| Reason::from_code(&code)));
                // A challenge repeats what is known already.
                let text = if reason.is_none() { String::from_utf8_lossy(&body) } else { "".into() };
                (reason, printable(text.trim(), MESSAGE_CHARS_MAX))
            }
            Err(_) => (reason, String::new()),
        };
        let reason = reason
            .unwrap_or_else(|| Reason::from_code(status.canonical_reason().unwrap_or("no reason given")));
        Verdict::Refused { reason, status: status.as_u16(), message }
    }
}

/// Whether the status says that the same request may fare better later.
fn is_temporary(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 409 | 425 | 429 | 502 | 503 | 504)
}

/// What the seller says about when to come again; dates count as not said.
fn wait(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(WAIT_MAX))
}
