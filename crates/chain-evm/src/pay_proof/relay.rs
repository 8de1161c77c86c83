//! The scheme `x402-pay-relay`: the buyer has signed that the contract may receive the amount (EIP-3009
//! `ReceiveWithAuthorization`), and we send it. Internal to this facilitator: a buyer says it through `POST /v1/payments`.
//!
//! The token takes such an authorization from the contract alone, and the contract settles the request in the same call
//! or not at all. So an authorization is used exactly when the request is paid, and what holds for `exact` holds here: it
//! is signed for one nonce, watched, and judged by the token's own word ([`ExactEvm`]); then the contract's event is asked
//! for as well.
//!
//! The proof as JSON: that of `exact`, and `{request: {id, expires, hash}}`.

use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_sol_types::{SolCall, SolEvent, SolStruct, SolValue, eip712_domain, sol};
use async_trait::async_trait;
use groat_core::books::{Attempt, Mined, Settlement};
use groat_core::key::KeyKind;
use groat_core::payment::DialectId;
use groat_core::ports::{
    Look, Mechanism, Outcome, Place, Plan, RelayOrder, Replacement, Settler, Standing, Token,
};
use groat_core::{
    Amount, Claim, Depth, Failure, Fault, Funds, Network, Offer, Payment, PaymentKey, Reason, Refusal, Terms,
    Timestamp,
};
use serde_json::{Value, json};

use super::mechanism::PayProofEvm;
use super::observe::PaymentSettled;
use super::payer::{Authorization, ReceiveWithAuthorization, Request, payWithAuthorizationCall};
use crate::assets::{self, Asset, Transfer};
use crate::chain::{Chain, question};
use crate::exact::abi::Eip3009;
use crate::exact::proof::{Authorization as Signed, Proof, Signature};
use crate::exact::{self, ExactEvm};
use crate::rpc::Call;
use crate::{account, by_hash};

/// The scheme.
pub(super) const SCHEME: &str = "x402-pay-relay";

sol! {
    function isSettled(address token, address seller, uint256 amount, string requestId) external view returns (bool);
    function symbolOf(address token) external view returns (string);
}

/// Sends what buyers have signed to the contract.
#[derive(Debug, Clone)]
pub struct RelayEvm {
    pay: PayProofEvm,
    exact: ExactEvm,
}

impl RelayEvm {
    /// On the chains and through the contracts of this mechanism.
    pub fn new(pay: PayProofEvm) -> Self {
        let exact = ExactEvm::on(pay.chains.clone());
        Self { pay, exact }
    }
}

/// A payment of the scheme, made of what a buyer has signed.
pub(super) fn payment(order: &RelayOrder, contract: Address) -> Result<Payment, Reason> {
    let seller = account::parse(&order.seller).ok_or(Reason::InvalidRequirements)?;
    let text = |key: &str| order.authorization.get(key).and_then(Value::as_str).ok_or(Reason::InvalidPayload);
    let number = |key: &str| Amount::parse(text(key)?).map_err(|_| Reason::InvalidPayload);
    let hash = B256::from(order.request_hash);
    let proof = json!({
        "authorization": {
            "from": text("buyer")?,
            "to": account::text(contract),
            "value": order.amount.as_u256().to_string(),
            "validAfter": number("validAfter")?.as_u256().to_string(),
            "validBefore": number("validBefore")?.as_u256().to_string(),
            "nonce": nonce(seller, order.amount.as_u256(), &order.id, hash).to_string(),
        },
        "signature": text("signature")?,
        "request": { "id": order.id, "expires": order.expires.0, "hash": hash.to_string() },
    });
    Proof::read(&proof)?;
    Ok(Payment {
        dialect: DialectId::new("want-pay"),
        scheme: SCHEME.to_owned(),
        network: order.network.clone(),
        proof,
        accepted: None,
        resource: None,
        extensions: serde_json::Map::new(),
    })
}

/// The contract's `authorizationNonce`.
fn nonce(seller: Address, amount: U256, id: &str, hash: B256) -> B256 {
    keccak256((seller, amount, keccak256(id.as_bytes()), hash).abi_encode())
}

/// What is sent for one payment.
#[derive(Debug)]
struct Relayed {
    asset: Address,
    seller: Address,
    id: String,
    expires: Timestamp,
    hash: B256,
    proof: Proof,
}

impl Relayed {
    fn read(payment: &Payment, offer: &Offer) -> Result<Self, Reason> {
        let request = payment.proof.get("request").ok_or(Reason::InvalidPayload)?;
        let text = |key: &str| request.get(key).and_then(Value::as_str).ok_or(Reason::InvalidPayload);
        Ok(Self {
            asset: account::parse(&offer.asset).ok_or(Reason::InvalidRequirements)?,
            seller: account::parse(&offer.pay_to).ok_or(Reason::InvalidRequirements)?,
            id: text("id")?.to_owned(),
            expires: Timestamp(request.get("expires").and_then(Value::as_u64).ok_or(Reason::InvalidPayload)?),
            hash: by_hash::parse_hash(text("hash")?).ok_or(Reason::InvalidPayload)?,
            proof: Proof::read(&payment.proof)?,
        })
    }

    fn of(settlement: &Settlement) -> Result<Self, Fault> {
        Self::read(&settlement.payment, &settlement.offer)
            .map_err(|_| Fault::garbled("store", "a payment in the book cannot be read"))
    }

    fn call(&self) -> Bytes {
        let Signed { from, value, valid_after, valid_before, .. } = self.proof.authorization;
        let signature = match &self.proof.signature {
            // The token wants 27 or 28.
            Signature::Ecdsa(bytes) => [&bytes.0[..64], &[bytes.v()]].concat().into(),
            other => other.inner(),
        };
        let call = payWithAuthorizationCall {
            token: self.asset,
            request: Request {
                seller: self.seller,
                amount: value,
                requestId: self.id.clone(),
                metadata: (U256::from(self.expires.0), self.hash).abi_encode().into(),
            },
            authorization: Authorization {
                buyer: from,
                validAfter: valid_after,
                validBefore: valid_before,
                signature,
            },
        };
        call.abi_encode().into()
    }

    /// Everything that can be said without the chain. Nothing of the proof that follows from the offer is believed.
    fn check(&self, chain: &Chain, contract: Address, offer: &Offer, now: Timestamp) -> Result<(), Reason> {
        let signed = &self.proof.authorization;
        let limits = chain.limits();
        let amount = offer.amount.as_u256();
        if signed.to != contract {
            return Err(Reason::RecipientMismatch);
        }
        if signed.value != amount || amount.is_zero() {
            return Err(Reason::AmountMismatch);
        }
        if signed.nonce != nonce(self.seller, amount, &self.id, self.hash) {
            return Err(Reason::InvalidPayload);
        }
        let is_ours = |account: Address| chain.keys().iter().any(|key| key.address() == account);
        let unlisted = !limits.pay_to.is_empty() && !limits.pay_to.contains(&self.seller);
        if self.seller.is_zero() || unlisted || is_ours(self.seller) {
            return Err(Reason::PayToNotAllowed);
        }
        if is_ours(signed.from) {
            return Err(Reason::PayerNotAllowed);
        }
        if limits.min_prices.iter().any(|(asset, least)| *asset == self.asset && amount < *least) {
            return Err(Reason::PriceBelowMinimum);
        }
        let soon = now.plus(limits.margin_s);
        if self.expires < soon || signed.valid_before < U256::from(soon.0) {
            return Err(Reason::Expired);
        }
        if signed.valid_after > U256::from(now.0) {
            return Err(Reason::NotYetValid);
        }
        // What is dead with its request can be proved to be dead.
        let latest = self.expires.plus(1).min(now.plus(limits.window_s_max));
        if signed.valid_before > U256::from(latest.0) {
            return Err(Reason::WindowTooLong);
        }
        Ok(())
    }

    /// Whether a key has signed it; what only a contract can say is tried out.
    async fn signed(&self, chain: &Chain, known: &Asset) -> Result<(), Failure> {
        let payer = self.proof.authorization.from;
        let fits = match &self.proof.signature {
            Signature::Ecdsa(bytes) => exact::recover(self.digest(chain, known), bytes) == Some(payer),
            Signature::Contract(_) => false,
            // It would have to be deployed at our expense.
            Signature::Counterfactual { .. } => return Err(Reason::InvalidSignature.into()),
        };
        if fits || chain.wallet_has_code(payer).await? {
            Ok(())
        } else {
            Err(Reason::InvalidSignature.into())
        }
    }

    fn digest(&self, chain: &Chain, known: &Asset) -> B256 {
        let signed = &self.proof.authorization;
        let message = ReceiveWithAuthorization {
            from: signed.from,
            to: signed.to,
            value: signed.value,
            validAfter: signed.valid_after,
            validBefore: signed.valid_before,
            nonce: signed.nonce,
        };
        message.eip712_signing_hash(&eip712_domain! {
            name: known.name.clone(),
            version: known.version.clone(),
            chain_id: chain.chain_id(),
            verifying_contract: known.asset,
        })
    }

    /// Looks, and tries the call on the newest block: that says whatever else could be wrong.
    async fn look(&self, chain: &Chain, contract: Address) -> Result<Funds, Failure> {
        let Signed { from, value, nonce, .. } = self.proof.authorization;
        let settled = isSettledCall {
            token: self.asset,
            seller: self.seller,
            amount: value,
            requestId: self.id.clone(),
        };
        let questions = vec![
            question(self.asset, &Eip3009::balanceOfCall { account: from }),
            question(self.asset, &Eip3009::authorizationStateCall { authorizer: from, nonce }),
            question(contract, &symbolOfCall { token: self.asset }),
            question(contract, &settled),
        ];
        let answer = chain.read(questions).await?;
        if answer.value::<String>(2).is_none_or(|symbol| symbol.is_empty()) {
            return Err(Reason::AssetNotAllowed.into());
        }
        match answer.value::<bool>(1) {
            None => return Err(Reason::Eip3009NotSupported.into()),
            Some(true) => return Err(Reason::NonceAlreadyUsed.into()),
            Some(false) => {}
        }
        if answer.value(3) != Some(false) {
            return Err(Reason::from_code("already_settled").into());
        }
        let balance: U256 = answer.value(0).ok_or(Reason::Eip3009NotSupported)?;
        if balance < value {
            return Err(Reason::InsufficientBalance.into());
        }
        let call = Call {
            from: chain.keys().first().map(crate::GasKey::address),
            to: contract,
            input: self.call(),
            gas: Some(alloy_primitives::U64::from(chain.limits().gas_contract_max)),
            price: None,
        };
        if let Err(message) = chain.rpc().call(&call).await? {
            let message = Some(groat_core::reason::printable(&message, 200));
            return Err(Refusal { message, ..Reason::SimulationFailed.into() }.into());
        }
        Ok(Funds { amount: Amount::from_u256(balance), block: answer.facts.number })
    }
}

/// The contract's own event must be there as well (threat rows T07, T08).
async fn confirm(
    chain: &Chain,
    contract: Address,
    relayed: &Relayed,
    outcome: Outcome,
) -> Result<Outcome, Fault> {
    let Outcome::Landed(settled) = &outcome else { return Ok(outcome) };
    let Some(hash) = by_hash::parse_hash(&settled.transaction) else { return Ok(Outcome::Unknown) };
    // Gone again: the next look tells.
    let Some(receipt) = chain.rpc().receipt(hash).await? else { return Ok(Outcome::Unknown) };
    let id = keccak256(relayed.id.as_bytes());
    let signed = &relayed.proof.authorization;
    let is_told = receipt.logs.iter().filter(|log| log.address == contract).any(|log| {
        PaymentSettled::decode_raw_log(log.topics.iter().copied(), &log.data).is_ok_and(|event| {
            event.requestId == id
                && event.buyer == signed.from
                && event.seller == relayed.seller
                && event.amount == signed.value
        })
    });
    Ok(match is_told {
        true => outcome,
        false => Outcome::Failed {
            reason: Reason::TransferEventMismatch,
            transaction: Some(settled.transaction.clone()),
        },
    })
}

impl Mechanism for RelayEvm {
    fn scheme(&self) -> &'static str {
        SCHEME
    }

    fn speaks(&self, network: &Network) -> bool {
        self.pay.contract(network).is_some() && self.pay.chain(network).is_some()
    }

    /// Nobody sells for it: a request is offered, and may be paid so.
    fn offer(&self, _terms: &Terms) -> Result<Option<Offer>, String> {
        Ok(None)
    }

    /// That of the authorization: what the token lets happen once.
    fn key(&self, payment: &Payment, offer: &Offer) -> Result<(PaymentKey, Timestamp), Reason> {
        let asset = account::parse(&offer.asset).ok_or(Reason::InvalidRequirements)?;
        let signed = Proof::read(&payment.proof)?.authorization;
        let parts: [&[u8]; 3] = [asset.as_slice(), signed.from.as_slice(), signed.nonce.as_slice()];
        let until = Timestamp(signed.valid_before.try_into().unwrap_or(u64::MAX));
        Ok((PaymentKey::new(KeyKind::Eip3009, &offer.network, &parts), until))
    }

    fn same_account(&self, one: &str, other: &str) -> bool {
        self.exact.same_account(one, other)
    }

    fn token(&self, network: &Network, asset: &str) -> Option<Token> {
        self.exact.token(network, asset)
    }
}

#[async_trait]
impl Settler for RelayEvm {
    /// Not told to others: it is no scheme of x402, and its signers are those of `exact`.
    async fn ready(&self) -> Vec<(Network, Vec<String>)> {
        Vec::new()
    }

    async fn verify(&self, payment: &Payment, offer: &Offer, now: Timestamp) -> Result<Claim, Failure> {
        if payment.scheme != SCHEME || offer.scheme != SCHEME || payment.network != offer.network {
            return Err(Reason::InvalidScheme.into());
        }
        let (chain, contract) = self.pay.set_up(&offer.network)?;
        let relayed = Relayed::read(payment, offer)?;
        let payer = account::text(relayed.proof.authorization.from);
        let known = assets::find(&offer.network, relayed.asset);
        let known =
            known.filter(|known| known.transfer == Transfer::Eip3009).ok_or(Reason::AssetNotAllowed)?;
        relayed.check(chain, contract, offer, now).map_err(|reason| Failure::from(reason).by(&payer))?;
        relayed.signed(chain, known).await.map_err(|failure| failure.by(&payer))?;
        let funds = relayed.look(chain, contract).await.map_err(|failure| failure.by(&payer))?;
        let (key, valid_until) = self.key(payment, offer)?;
        Ok(Claim {
            key,
            network: offer.network.clone(),
            asset: account::text(relayed.asset),
            payer,
            pay_to: account::text(relayed.seller),
            amount: Amount::from_u256(relayed.proof.authorization.value),
            valid_from: Timestamp(relayed.proof.authorization.valid_after.try_into().unwrap_or(u64::MAX)),
            valid_until,
            alone: true,
            funds: Some(funds),
        })
    }

    fn signers(&self, network: &Network) -> Vec<String> {
        self.exact.signers(network)
    }

    fn batch_max(&self, _network: &Network) -> usize {
        1
    }

    async fn chain_nonce(&self, network: &Network, signer: &str) -> Result<u64, Fault> {
        self.exact.chain_nonce(network, signer).await
    }

    async fn spent_nonces(&self, network: &Network, signer: &str) -> Result<u64, Fault> {
        self.exact.spent_nonces(network, signer).await
    }

    async fn plan(&self, network: &Network, signer: &str, batch: &[Settlement]) -> Result<Plan, Fault> {
        let (chain, contract) = self.pay.set_up(network)?;
        let key = exact::key_of(chain, signer)?;
        let [settlement] = batch else { return Err(one_each()) };
        let input = Relayed::of(settlement)?.call();
        exact::plan_call(chain, key.address(), contract, input, chain.limits().gas_contract_max).await
    }

    fn prepare(&self, place: Place<'_>, batch: &[Settlement], terms: &Value) -> Result<Attempt, Fault> {
        let (chain, contract) = self.pay.set_up(place.network)?;
        let key = exact::key_of(chain, place.signer)?;
        let [settlement] = batch else { return Err(one_each()) };
        let input = Relayed::of(settlement)?.call();
        let transaction = exact::planned_call(chain, place.nonce, contract, input, terms)?;
        exact::sign(key, transaction, place.now)
    }

    async fn replace(&self, place: Place<'_>, last: &Attempt, with: Replacement) -> Result<Attempt, Fault> {
        self.exact.replace(place, last, with).await
    }

    async fn broadcast(&self, network: &Network, attempt: &Attempt) -> Result<(), Fault> {
        self.exact.broadcast(network, attempt).await
    }

    async fn look(
        &self,
        network: &Network,
        batch: &[Settlement],
        attempts: &[Attempt],
    ) -> Result<Look, Fault> {
        let (chain, contract) = self.pay.set_up(network)?;
        let mut look = self.exact.look(network, batch, attempts).await?;
        let mut outcomes = Vec::with_capacity(batch.len());
        for (settlement, outcome) in batch.iter().zip(look.outcomes) {
            outcomes.push(confirm(chain, contract, &Relayed::of(settlement)?, outcome).await?);
        }
        look.outcomes = outcomes;
        Ok(look)
    }

    async fn standing(&self, network: &Network, mined: &Mined) -> Result<Standing, Fault> {
        self.exact.standing(network, mined).await
    }

    async fn depth(&self, network: &Network, mined: &Mined) -> Result<Depth, Fault> {
        Settler::depth(&self.exact, network, mined).await
    }

    fn head(&self, network: &Network) -> u64 {
        self.exact.head(network)
    }

    async fn wait_block(&self, network: &Network, after: u64, timeout: Duration) -> u64 {
        self.exact.wait_block(network, after, timeout).await
    }
}

fn one_each() -> Fault {
    Fault::garbled("plan", "each of these has a transaction of its own")
}
