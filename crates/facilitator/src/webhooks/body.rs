//! What a receiver reads: `{"type", "timestamp", "data"}`, at most 20 KB.

use std::sync::Arc;

use groat_core::Amount;
use groat_core::books::{Delivery, EventKind, PaymentEvent};
use groat_core::ports::{Mechanism, Token};
use groat_core::reason::printable;
use serde_json::{Value, json};

/// Longest text in it, which keeps all of it below 20 KB. What we write ourselves is far shorter.
const TEXT_CHARS_MAX: usize = 256;
/// What is sent to try an endpoint.
pub const TEST: &str = "endpoint.test";

/// The word for an event in a webhook.
pub(crate) fn word(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Settled => "payment.settled",
        EventKind::Reverted => "payment.reorged",
    }
}

/// The event of a word.
pub(crate) fn kind(word_of: &str) -> Option<EventKind> {
    [EventKind::Settled, EventKind::Reverted].into_iter().find(|kind| word(*kind) == word_of)
}

/// The body of a test.
pub(super) fn test(delivery: &Delivery) -> String {
    let data = json!({ "endpointId": delivery.endpoint });
    json!({ "type": TEST, "timestamp": delivery.made_at.rfc3339(), "data": data }).to_string()
}

/// The body for an event, the same whenever it is asked for.
pub(super) fn event(event: &PaymentEvent, mechanisms: &[Arc<dyn Mechanism>]) -> String {
    let mut speaking = mechanisms.iter().filter(|mechanism| mechanism.speaks(&event.network));
    let token = speaking.find_map(|mechanism| mechanism.token(&event.network, &event.asset));
    let text = |text: &str| printable(text, TEXT_CHARS_MAX);
    let mut data = json!({
        "sequence": event.number.to_string(),
        "paymentId": event.payment,
        "chain": event.network,
        "tx": event.transaction.as_deref().map(text),
        "buyer": text(&event.payer),
        "seller": text(&event.pay_to),
        "amountBase": event.amount,
        "token": text(&event.asset),
    });
    if let Some(Token { symbol, decimals, .. }) = token {
        data["amount"] = whole(event.amount, decimals).into();
        data["currency"] = symbol.into();
    }
    if let Some(request) = &event.request {
        data["requestId"] = text(request).into();
    }
    match event.kind {
        EventKind::Settled => {
            data["blockNumber"] = event.block.into();
            data["settledAt"] = event.at.rfc3339().into();
        }
        EventKind::Reverted => {
            data["final"] = event.reason.is_some().into();
            data["reason"] = event.reason.as_ref().map_or(Value::Null, |reason| text(reason.code()).into());
        }
    }
    json!({ "type": word(event.kind), "timestamp": event.at.rfc3339(), "data": data }).to_string()
}

/// Whole units, with as many decimals as are needed.
fn whole(amount: Amount, decimals: u8) -> String {
    let digits = format!("{:0>width$}", amount.to_string(), width = usize::from(decimals) + 1);
    let (whole, part) = digits.split_at(digits.len() - usize::from(decimals));
    match part.trim_end_matches('0') {
        "" => whole.to_owned(),
        part => format!("{whole}.{part}"),
    }
}

#[cfg(test)]
mod tests {
    use groat_core::key::KeyKind;
    use groat_core::{Network, PaymentKey, Reason, Timestamp};

    use super::*;

    fn of(kind: EventKind, text: &str, reason: Option<Reason>) -> PaymentEvent {
        let network = Network::eip155(84532);
        PaymentEvent {
            number: 42,
            kind,
            at: Timestamp(1_800_000_000),
            payment: PaymentKey::new(KeyKind::Eip3009, &network, &[b"x"]).id(),
            network,
            asset: text.into(),
            payer: text.into(),
            pay_to: text.into(),
            amount: Amount::from_units(10_000),
            transaction: Some(text.into()),
            request: None,
            block: Some(7),
            reason,
        }
    }

    #[test]
    fn an_amount_is_also_written_in_whole_units() {
        for (units, decimals, text) in [
            (10_000, 6, "0.01"),
            (1, 6, "0.000001"),
            (1_000_000, 6, "1"),
            (12_345_678, 6, "12.345678"),
            (0, 6, "0"),
            (5, 0, "5"),
            (120, 2, "1.2"),
        ] {
            assert_eq!(whole(Amount::from_units(units), decimals), text);
        }
    }

    #[test]
    fn whatever_stands_in_an_event_its_body_is_short() {
        for (kind, reason) in [(EventKind::Settled, None), (EventKind::Reverted, Some(Reason::Expired))] {
            let long = "\u{1f600}\"\\\u{7}".repeat(100_000);
            let body = event(&of(kind, &long, reason), &[]);
            assert!(body.len() <= 20_000, "{}", body.len());
            let read: Value = serde_json::from_str(&body).unwrap();
            assert_eq!(read["timestamp"], "2027-01-15T08:00:00Z");
        }
    }

    #[test]
    fn a_payment_that_came_undone_says_whether_for_good() {
        let read = |reason| -> Value {
            serde_json::from_str(&event(&of(EventKind::Reverted, "0x1", reason), &[])).unwrap()
        };
        let (perhaps, never) = (read(None), read(Some(Reason::Expired)));
        assert_eq!((&perhaps["type"], &perhaps["data"]["final"]), (&"payment.reorged".into(), &false.into()));
        assert_eq!(never["data"]["final"], true);
        assert_eq!(never["data"]["reason"], Reason::Expired.code());
        assert_eq!(never["data"].get("settledAt"), None);
    }
}
