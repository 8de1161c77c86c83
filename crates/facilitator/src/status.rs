//! What `GET /payments/{id}` answers, written and read. The x402 facilitator API has no such question: it is ours.

use groat_core::books::{Settled, SettlementState};
use groat_core::ports::PaymentStatus;
use groat_core::{Amount, Depth, Network, PaymentId, Reason, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

/// The code of a payment that was never held. Only with it a 404 says that no money moved.
pub(crate) const NOT_FOUND: &str = "payment_not_found";

/// The body.
pub(crate) fn write(status: &PaymentStatus) -> Value {
    let mut body = json!({
        "paymentId": status.id,
        "payer": status.payer,
        "payTo": status.pay_to,
        "network": status.network,
        "asset": status.asset,
        "amount": status.amount,
        "validBefore": status.valid_until,
        "gas": status.gas,
        "reverted": status.reverted,
    });
    let (word, transaction) = match &status.state {
        SettlementState::Submitted { transaction, .. } => ("submitted", Some(transaction.clone())),
        SettlementState::Settled(settled) => {
            body["blockNumber"] = settled.block.into();
            body["submittedByOther"] = settled.by_other.into();
            ("settled", Some(settled.transaction.clone()))
        }
        SettlementState::Failed { reason, transaction } => {
            body["errorReason"] = reason.code().into();
            ("failed", transaction.clone())
        }
        SettlementState::Released => ("released", None),
    };
    if let Some(depth) = status.depth {
        body["confirmations"] = depth.confirmations.into();
        body["safe"] = depth.safe.into();
        body["finalized"] = depth.finalized.into();
    }
    body["state"] = word.into();
    body["transaction"] = transaction.map_or(Value::Null, Value::from);
    body
}

/// An answer to the question.
#[derive(Deserialize)]
#[serde(untagged)]
enum Answer {
    Known(Box<Known>),
    Unknown { error: String },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Known {
    payment_id: PaymentId,
    payer: String,
    pay_to: String,
    network: Network,
    asset: String,
    amount: Amount,
    valid_before: Timestamp,
    state: String,
    transaction: Option<String>,
    error_reason: Option<String>,
    block_number: Option<u64>,
    #[serde(default)]
    submitted_by_other: bool,
    #[serde(default)]
    gas: u64,
    #[serde(default)]
    reverted: bool,
    confirmations: Option<u64>,
    #[serde(default)]
    safe: bool,
    #[serde(default)]
    finalized: bool,
}

/// Reads the body; an error says that this facilitator keeps no book that we can read.
pub(crate) fn read(bytes: &[u8]) -> Result<Option<PaymentStatus>, &'static str> {
    let known = match serde_json::from_slice(bytes) {
        Ok(Answer::Known(known)) => known,
        Ok(Answer::Unknown { error }) if error == NOT_FOUND => return Ok(None),
        _ => return Err("it cannot be asked for the state of a payment"),
    };
    let state = match (known.state.as_str(), known.transaction) {
        // Nobody here will sign or send again: the hash is all that is needed.
        ("submitted", Some(transaction)) => SettlementState::Submitted { slot: String::new(), transaction },
        ("settled", Some(transaction)) => SettlementState::Settled(Settled {
            transaction,
            block: known.block_number.unwrap_or_default(),
            block_hash: String::new(),
            by_other: known.submitted_by_other,
        }),
        ("failed", transaction) => {
            let reason = Reason::from_code(known.error_reason.as_deref().unwrap_or("unknown"));
            SettlementState::Failed { reason, transaction }
        }
        ("released", _) => SettlementState::Released,
        _ => return Err("it tells a state of a payment that nobody knows"),
    };
    let (safe, finalized) = (known.safe, known.finalized);
    let depth = known.confirmations.map(|confirmations| Depth { confirmations, safe, finalized });
    Ok(Some(PaymentStatus {
        id: known.payment_id,
        payer: known.payer,
        pay_to: known.pay_to,
        network: known.network,
        asset: known.asset,
        amount: known.amount,
        valid_until: known.valid_before,
        gas: known.gas,
        reverted: known.reverted,
        state,
        depth,
    }))
}

#[cfg(test)]
mod tests {
    use groat_core::PaymentKey;
    use groat_core::key::KeyKind;

    use super::*;

    #[test]
    fn what_is_written_is_read_and_only_our_404_means_never_held() {
        let network = Network::eip155(84532);
        let states = [
            SettlementState::Submitted { slot: String::new(), transaction: "0x0".into() },
            SettlementState::Released,
            SettlementState::Failed { reason: Reason::Expired, transaction: Some("0x1".into()) },
            SettlementState::Settled(Settled {
                transaction: "0x2".into(),
                block: 7,
                block_hash: String::new(),
                by_other: true,
            }),
        ];
        for state in states {
            let status = PaymentStatus {
                id: PaymentKey::new(KeyKind::Eip3009, &network, &[b"n"]).id(),
                payer: "0xa".into(),
                pay_to: "0xb".into(),
                network: network.clone(),
                asset: "0xc".into(),
                amount: Amount::from_units(10_000),
                valid_until: Timestamp(9),
                gas: 79_825,
                reverted: state == SettlementState::Released,
                depth: matches!(state, SettlementState::Settled(_)).then_some(Depth {
                    confirmations: 40,
                    safe: true,
                    finalized: false,
                }),
                state,
            };
            assert_eq!(read(write(&status).to_string().as_bytes()), Ok(Some(status)));
        }
        assert_eq!(read(br#"{"error":"payment_not_found"}"#), Ok(None));
        for other in ["", "<html>", "{}", r#"{"error":"not_found"}"#, r#"{"error":404}"#, "[]"] {
            assert!(read(other.as_bytes()).is_err(), "{other}");
        }
    }
}
