//! The settlement response of both x402 versions, which is a [`Receipt`] here (x402 v2 section 5.3, v1 section 5.3).

use groat_core::payment::ReceiptOutcome;
use groat_core::{Amount, Network, Reason, Receipt};
use serde::Serialize;
use serde_json::Value;

use crate::members::Members;
use crate::{Version, WireError};

/// Told when a peer says "failed" and nothing more.
const UNNAMED: &str = "unexpected_settle_error";

/// The message, with members in the order of the official SDKs. `transaction` and `network` are always there:
/// the official client takes an answer without them for garbage.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Message<'a> {
    success: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payer: Option<&'a str>,
    transaction: &'a str,
    network: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<Amount>,
}

impl<'a> Message<'a> {
    /// The receipt in the spelling of `version`, with a sentence for people.
    pub(crate) fn new(version: Version, receipt: &'a Receipt, message: Option<&'a str>) -> Self {
        let error_reason = match &receipt.outcome {
            ReceiptOutcome::Settled => None,
            ReceiptOutcome::Failed(reason) => Some(version.reason(reason)),
            ReceiptOutcome::Pending => Some(Reason::SettlementPending.code()),
        };
        Self {
            success: receipt.is_settled(),
            error_reason,
            error_message: message,
            payer: receipt.payer.as_deref(),
            transaction: receipt.transaction.as_deref().unwrap_or_default(),
            network: version.network(&receipt.network),
            amount: receipt.amount,
        }
    }

    /// As JSON text.
    pub(crate) fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// Reads the message; the second half is the sentence for people.
///
/// `settlement_pending` is pending whether or not a transaction is named: unknown is never failed.
pub(crate) fn read(value: &Value, place: &'static str) -> Result<(Receipt, Option<String>), WireError> {
    let members = Members::of(value, place)?;
    let reason = members.text_or_none("errorReason")?;
    let outcome = match (members.flag("success")?, reason) {
        (true, _) => ReceiptOutcome::Settled,
        (false, Some(code)) if code == Reason::SettlementPending.code() => ReceiptOutcome::Pending,
        (false, code) => ReceiptOutcome::Failed(Version::read_reason(code.unwrap_or(UNNAMED))),
    };
    let network = Network::parse(members.text("network")?)
        .map_err(|_| members.wrong("network", "is not a network that we know"))?;
    let amount = match members.text_or_none("amount")? {
        Some(text) => {
            Some(Amount::parse(text).map_err(|_| members.wrong("amount", "is not a whole number of units"))?)
        }
        None => None,
    };
    let receipt = Receipt {
        outcome,
        network,
        transaction: Some(members.text("transaction")?).filter(|text| !text.is_empty()).map(str::to_owned),
        payer: members.text_or_none("payer")?.filter(|text| !text.is_empty()).map(str::to_owned),
        amount,
        settled_at: None,
    };
    Ok((receipt, members.text_or_none("errorMessage")?.map(str::to_owned)))
}
