//! The buyer's half: a transaction of one's own, signed and written down before it is sent.
//!
//! Whom a 402 names is not believed: a service is paid through a payment manager that the buyer knows, at the price that
//! its registry says. The signed bytes lie in the payment, for the journal; sellers are shown only the hash.

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, Signature, U64, U256, eip191_hash_message};
use alloy_sol_types::{SolCall, sol};
use async_trait::async_trait;
use groat_core::payment::ReceiptOutcome;
use groat_core::ports::{Fate, PayRequest, Payer, SignError, Signer, TypedIntent};
use groat_core::{Failure, Fault, Network, Offer, Payment, Reason, Receipt, Refusal};
use serde_json::json;
use tokio::time::{Duration, Instant};

use super::registry::{self, Mute, PaymentManager};
use super::{ByHashEvm, NATIVE, Proof, discard, fate};
use crate::chain::Given;
use crate::rpc::TxReceipt;
use crate::{Chain, account, transaction};

sol! {
    interface Erc20 {
        function transfer(address to, uint256 value) external returns (bool);
    }
}

/// What a buyer allows of payments by transaction.
#[derive(Debug, Clone, Default)]
pub struct Purse {
    /// Payment managers that may be paid through.
    pub managers: Vec<(Network, Address)>,
    /// What one whole coin of a chain counts for, in millionths of a dollar.
    pub coins: Vec<(Network, u64)>,
    /// Whether payees may be paid directly, without a manager.
    pub direct: bool,
}

/// How long a transaction is waited for when it was sent.
const WAIT_MAX: Duration = Duration::from_secs(30);

#[async_trait]
impl Payer for ByHashEvm {
    async fn pay(&self, request: PayRequest<'_>, signer: &dyn Signer) -> Result<Payment, SignError> {
        let offer = request.offer;
        let unpayable = |what: String| SignError::Offer(what);
        let chain = self.chains.iter().find(|chain| *chain.network() == offer.network);
        let chain = chain.ok_or_else(|| {
            unpayable(format!("no node of {} is known: name one with --rpc", offer.network))
        })?;
        let from = account::parse(&signer.account())
            .ok_or_else(|| unpayable("the signer is not an EVM account".to_owned()))?;
        let Planned { to, value, input, sentence } = self.planned(chain, offer).await?;
        let own = Own { chain, from, to, value, input, gas: None, sentence };
        let (hash, raw, nonce) = sign(own, signer).await?;
        nonce.keep();
        Ok(Payment {
            dialect: request.dialect.clone(),
            scheme: offer.scheme.clone(),
            network: offer.network.clone(),
            proof: json!({ "hash": hash, "count": 0, "raw": raw }),
            accepted: None,
            resource: None,
            extensions: Default::default(),
        })
    }

    /// Signs the lines of a request by EIP-191, so that whoever else sees the hash cannot show it.
    async fn prove(
        &self,
        mut payment: Payment,
        lines: &str,
        signer: &dyn Signer,
    ) -> Result<Payment, SignError> {
        let hash = payment.proof.get("hash").and_then(|hash| hash.as_str()).unwrap_or_default();
        let asked: Vec<&str> = lines.lines().skip(1).take(2).collect();
        let intent = TypedIntent {
            sentence: format!(
                "prove that the transaction {hash} was made for the request {}",
                asked.join(" ")
            ),
            typed_data: json!({ "primaryType": "RequestProof", "message": { "lines": lines } }),
            digest: eip191_hash_message(lines).0,
        };
        let signature = alloy_primitives::hex::encode_prefixed(signer.sign(&intent).await?);
        let proof = payment.proof.as_object_mut();
        let proof = proof.ok_or_else(|| SignError::Offer("the payment has no proof".to_owned()))?;
        proof.insert("payer".to_owned(), json!(signer.account()));
        proof.insert("signature".to_owned(), json!(signature));
        Ok(payment)
    }

    /// Sends the transaction and waits until it is in a block.
    async fn publish(&self, payment: &Payment) -> Result<Option<Receipt>, Failure> {
        let chain = self.chains.iter().find(|chain| *chain.network() == payment.network);
        let chain = chain.ok_or_else(|| Fault::unavailable("chain", "no node is set for this payment"))?;
        publish(chain, payment).await
    }

    async fn fate(&self, payment: &Payment, _offer: &Offer) -> Result<Fate, Fault> {
        let chain = self.chains.iter().find(|chain| *chain.network() == payment.network);
        let chain = chain.ok_or_else(|| Fault::unavailable("chain", "no node is set for this payment"))?;
        fate(chain, payment).await
    }

    fn discard(&self, payment: &Payment) {
        discard(&self.chains, payment);
    }
}

/// A transaction that a buyer is about to make.
pub(crate) struct Own<'c> {
    pub(crate) chain: &'c Chain,
    pub(crate) from: Address,
    pub(crate) to: Address,
    pub(crate) value: U256,
    pub(crate) input: Bytes,
    /// Gas, where it cannot be estimated.
    pub(crate) gas: Option<u64>,
    /// What the signer is told.
    pub(crate) sentence: String,
}

/// Signs a transaction with the next nonce of its account. Returns its hash, its bytes, and the nonce, which is free again
/// unless it is kept; nothing is sent.
pub(crate) async fn sign<'c>(
    own: Own<'c>,
    signer: &dyn Signer,
) -> Result<(B256, Bytes, Given<'c>), SignError> {
    let Own { chain, from, to, value, input, gas, sentence } = own;
    let unavailable = |fault: Fault| SignError::Unavailable(fault.to_string());
    let gas = match gas {
        Some(gas) => gas,
        None => estimate(chain, from, to, value, &input).await?,
    };
    let fees = chain.fees().await.map_err(unavailable)?;
    let given = chain.give_nonce(from).await.map_err(unavailable)?;
    let unsigned =
        TxEip1559 { value, ..transaction::call(chain.chain_id(), given.nonce(), gas, fees, to, input) };
    let digest = unsigned.signature_hash().0;
    let intent = TypedIntent { sentence, typed_data: readable(&unsigned), digest };
    let signature = signer.sign(&intent).await?;
    let signature = Signature::from_raw(&signature)
        .map_err(|_| SignError::Unavailable("the signer gave no signature of an account".to_owned()))?;
    let envelope = TxEnvelope::Eip1559(unsigned.into_signed(signature));
    Ok((*envelope.tx_hash(), envelope.encoded_2718().into(), given))
}

async fn estimate(
    chain: &Chain,
    from: Address,
    to: Address,
    value: U256,
    input: &Bytes,
) -> Result<u64, SignError> {
    let call = json!({ "from": from, "to": to, "data": input, "value": value });
    let asked = chain.rpc().try_ask::<_, U64>("eth_estimateGas", (call,)).await;
    let gas = asked.map_err(|fault| SignError::Unavailable(fault.to_string()))?;
    let gas =
        gas.map_err(|refusal| SignError::Offer(format!("the chain would refuse it: {}", refusal.message)))?;
    // The state may be another when it is mined.
    Ok(gas.to::<u64>().saturating_add(gas.to::<u64>() / 4))
}

/// Sends the transaction of a payment, `{hash, raw}` of its proof, and waits until it is in a block.
pub(crate) async fn publish(chain: &Chain, payment: &Payment) -> Result<Option<Receipt>, Failure> {
    let Proof { hash, .. } = Proof::read(&payment.proof)?;
    let raw = payment.proof.get("raw").and_then(|raw| raw.as_str()).ok_or(Reason::InvalidPayload)?;
    let deadline = Instant::now() + WAIT_MAX;
    loop {
        let head = chain.newest();
        if let Some(receipt) = chain.rpc().receipt(hash).await? {
            if !receipt.status.to::<bool>() {
                let transaction = Some(hash.to_string());
                return Err(Refusal { transaction, ..Reason::TransactionFailed.into() }.into());
            }
            return Ok(Some(seen(payment, &receipt)));
        }
        // What the node has already is sent again at no cost.
        chain.send(raw).await?;
        if Instant::now() > deadline {
            return Err(Fault::Pending { transaction: Some(hash.to_string()) }.into());
        }
        chain.wait_block(head, Duration::from_secs(1)).await;
    }
}

/// What the payer itself has seen of its transaction.
pub(super) fn seen(payment: &Payment, receipt: &TxReceipt) -> Receipt {
    Receipt {
        outcome: ReceiptOutcome::Settled,
        network: payment.network.clone(),
        transaction: Some(receipt.transaction_hash.to_string()),
        payer: receipt.from.map(account::text),
        amount: None,
        settled_at: None,
    }
}

/// What a signer is shown.
fn readable(transaction: &TxEip1559) -> serde_json::Value {
    json!({
        "primaryType": "Transaction",
        "message": {
            "chainId": transaction.chain_id,
            "nonce": transaction.nonce,
            "to": transaction.to,
            "value": transaction.value.to_string(),
            "gas": transaction.gas_limit,
            "maxFeePerGas": transaction.max_fee_per_gas.to_string(),
            "maxPriorityFeePerGas": transaction.max_priority_fee_per_gas.to_string(),
            "input": transaction.input,
        },
    })
}

/// A transaction that pays an offer.
struct Planned {
    to: Address,
    value: U256,
    input: Bytes,
    sentence: String,
}

impl ByHashEvm {
    /// How an offer is paid, when the buyer's own knowledge agrees with it.
    async fn planned(&self, chain: &Chain, offer: &Offer) -> Result<Planned, SignError> {
        let unpayable = |what: String| SignError::Offer(what);
        let pay_to =
            account::parse(&offer.pay_to).ok_or_else(|| unpayable("the payee is no account".to_owned()))?;
        let value = offer.amount.as_u256();
        let service = offer.extra.get("serviceId").and_then(|id| id.as_str()).filter(|id| *id != "0");
        let is_manager = self.purse.managers.contains(&(offer.network.clone(), pay_to));
        let network = offer.network.known().map_or(offer.network.as_str(), |known| known.name);
        match service {
            Some(service) if is_manager && offer.asset == NATIVE => {
                let id: U256 =
                    service.parse().map_err(|_| unpayable("the service has no number".to_owned()))?;
                self.compare_price(chain, pay_to, id, value).await?;
                Ok(Planned {
                    to: pay_to,
                    value,
                    input: PaymentManager::payPerUseCall { serviceId: id }.abi_encode().into(),
                    sentence: format!(
                        "pay {} of the coin of {network} for service {service} through {pay_to}",
                        offer.amount.to_decimal(18)
                    ),
                })
            }
            Some(_) if !self.purse.direct => Err(unpayable(format!(
                "{pay_to} is not a payment manager that this wallet knows: name it with --payment-manager if you trust it"
            ))),
            None if !self.purse.direct => Err(unpayable(
                "the payee wants to be paid directly, which this wallet does not do".to_owned(),
            )),
            _ if offer.asset == NATIVE => Ok(Planned {
                to: pay_to,
                value,
                input: Bytes::new(),
                sentence: format!(
                    "send {} of the coin of {network} to {pay_to}",
                    offer.amount.to_decimal(18)
                ),
            }),
            _ => {
                let token = account::parse(&offer.asset)
                    .ok_or_else(|| unpayable("the token is no contract".to_owned()))?;
                Ok(Planned {
                    to: token,
                    value: U256::ZERO,
                    input: Erc20::transferCall { to: pay_to, value }.abi_encode().into(),
                    sentence: format!("send {} units of {token} on {network} to {pay_to}", offer.amount),
                })
            }
        }
    }

    /// The registry knows the price; a seller who asks for another is not paid.
    async fn compare_price(
        &self,
        chain: &Chain,
        manager: Address,
        service: U256,
        asked: U256,
    ) -> Result<(), SignError> {
        let details = registry::details(chain, manager, service).await.map_err(|mute| match mute {
            Mute::Fault(fault) => SignError::Unavailable(fault.to_string()),
            Mute::Contract(why) => SignError::Offer(format!("{why}, so the service is not known")),
        })?;
        if !details.isActive {
            return Err(SignError::Offer(format!("service {service} is not active in its registry")));
        }
        if details.pricePerCall != asked {
            return Err(SignError::Offer(format!(
                "the seller asks {asked} wei for service {service}, and its registry says {}",
                details.pricePerCall
            )));
        }
        Ok(())
    }
}
