//! The facilitator's half: the proof is the payer's, and the contract's own event says that the request is paid.

use alloy_primitives::{Address, keccak256};
use alloy_sol_types::{SolEvent, sol};
use async_trait::async_trait;
use groat_core::books::{Mined, Settled};
use groat_core::ports::{Mechanism, Observer, Seen};
use groat_core::{Claim, Depth, Failure, Fault, Network, Offer, Payment, Reason, Refusal, Timestamp};

use super::mechanism::{PayProofEvm, Shown, find};
use super::{Signer, verify};
use crate::rpc::Log;
use crate::wallet::accepts;
use crate::{Chain, account, by_hash};

sol! {
    #[derive(Debug)]
    event PaymentSettled(bytes32 indexed requestId, address buyer, address seller, uint256 amount, string currency, uint256 timestamp);
}

/// What this profile says of a payment that is not one.
fn code(code: &str) -> Reason {
    Reason::from_code(code)
}

#[async_trait]
impl Observer for PayProofEvm {
    async fn ready(&self) -> Vec<Network> {
        self.contracts
            .iter()
            .map(|(network, _)| network.clone())
            .filter(|one| self.chain(one).is_some())
            .collect()
    }

    async fn observe(&self, payment: &Payment, offer: &Offer, _now: Timestamp) -> Result<Seen, Failure> {
        let shown = Shown::read(&payment.proof)?;
        let chain = self.chain(&offer.network).ok_or(Reason::InvalidNetwork)?;
        let contract = self.contract(&offer.network).ok_or(Reason::InvalidNetwork)?;
        let payer = signer(chain, &shown).await?;
        let hash = by_hash::parse_hash(shown.claim("tx")).ok_or(Reason::InvalidPayload)?;
        let (receipt, _) = by_hash::find(chain, hash).await?;
        let refuse = |reason: &str| -> Failure {
            Refusal { transaction: Some(hash.to_string()), ..code(reason).into() }.into()
        };
        if !receipt.status.to::<bool>() {
            return Err(refuse("not_settled"));
        }
        let event = settled(&receipt.logs, contract, shown.claim("sub"), payer, offer).map_err(refuse)?;
        if shown.expires.is_some_and(|expires| event.timestamp > alloy_primitives::U256::from(expires.0)) {
            return Err(refuse("not_settled"));
        }
        let (key, valid_until) = self.key(payment, offer)?;
        Ok(Seen {
            claim: Claim {
                key,
                network: offer.network.clone(),
                asset: offer.asset.clone(),
                payer: account::text(event.buyer),
                pay_to: account::text(event.seller),
                amount: groat_core::Amount::from_u256(event.amount),
                valid_from: Timestamp(0),
                valid_until,
                alone: false,
                funds: None,
            },
            settled: Settled {
                transaction: hash.to_string(),
                block: receipt.block_number.to(),
                block_hash: receipt.block_hash.to_string(),
                by_other: true,
            },
        })
    }

    async fn depth(&self, network: &Network, mined: &Mined) -> Result<Depth, Fault> {
        let chain = self.chain(network).ok_or_else(|| Fault::unavailable("chain", "no node is set"))?;
        chain.depth(mined).await
    }

    async fn has(&self, network: &Network, mined: &Mined) -> Result<Option<bool>, Fault> {
        let chain = self.chain(network).ok_or_else(|| Fault::unavailable("chain", "no node is set"))?;
        chain.has(mined).await
    }
}

/// The event that settles a request, among all of a transaction; the error is a code of the profile (threat rows T07, T08).
fn settled(
    logs: &[Log],
    contract: Address,
    request_id: &str,
    payer: Address,
    offer: &Offer,
) -> Result<PaymentSettled, &'static str> {
    let id = keccak256(request_id.as_bytes());
    // By the token, not by what the offer calls it: one that a seller elsewhere has sent us names only the token.
    let symbol = find(&offer.network, &offer.asset).map(|known| known.symbol.as_str());
    let of_contract = logs.iter().filter(|log| log.address == contract);
    let events = of_contract
        .filter_map(|log| PaymentSettled::decode_raw_log(log.topics.iter().copied(), &log.data).ok())
        .filter(|event| event.requestId == id);
    // A transaction may hold several; one that fits is enough, else the first says what is wrong.
    let mut wrong = None;
    for event in events {
        let problem = match () {
            // Whatever somebody else has paid is none of this proof's.
            () if event.buyer != payer => continue,
            () if Some(event.seller) != account::parse(&offer.pay_to) => "wrong_seller",
            () if event.amount != offer.amount.as_u256() => "amount_mismatch",
            () if Some(event.currency.as_str()) != symbol => "claims_mismatch",
            () => return Ok(event),
        };
        wrong = wrong.or(Some(problem));
    }
    Err(wrong.unwrap_or("not_settled"))
}

/// Who signed the proof.
async fn signer(chain: &Chain, shown: &Shown) -> Result<Address, Failure> {
    let bad = |message: String| -> Failure {
        Refusal { message: Some(message), ..code("bad_signature").into() }.into()
    };
    if !shown.says_what_was_signed() {
        return Err(bad("the claims are not those of the token that was signed".to_owned()));
    }
    match verify(&shown.proof(chain.chain_id())) {
        Ok(Signer::Account(account)) => Ok(account),
        Ok(Signer::AskChain(question)) => {
            match accepts(chain, question.account, question.digest, question.signature.clone()).await? {
                true => Ok(question.account),
                // Nobody deploys it for a proof.
                false if question.deploy.is_some() => {
                    Err(bad("the contract in `iss` does not exist, or does not \
                accept the signature: a wallet that has paid is there already"
                        .to_owned()))
                }
                false => Err(bad("the contract in `iss` does not accept the signature".to_owned())),
            }
        }
        Err(error) => Err(bad(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{U256, address};
    use groat_core::offer::Ask;
    use groat_core::{Price, Terms};

    use super::*;

    const CONTRACT: Address = address!("0x1111111111111111111111111111111111111111");
    const SELLER: Address = address!("0x2222222222222222222222222222222222222222");
    const BUYER: Address = address!("0x3333333333333333333333333333333333333333");

    fn offer() -> Offer {
        let network = Network::eip155(84532);
        let terms = Terms {
            scheme: "x402-pay".into(),
            network: network.clone(),
            price: Ask::Price(Price::parse("$0.01").unwrap()),
            pay_to: SELLER.to_string(),
            timeout_s: 300,
        };
        PayProofEvm::knowing(vec![(network, CONTRACT)]).offer(&terms).unwrap().unwrap()
    }

    fn event() -> PaymentSettled {
        PaymentSettled {
            requestId: keccak256("pay_1"),
            buyer: BUYER,
            seller: SELLER,
            amount: U256::from(10_000),
            currency: "USDC".into(),
            timestamp: U256::from(9),
        }
    }

    fn log(address: Address, event: &PaymentSettled) -> Log {
        let data = event.encode_log_data();
        Log { address, topics: data.topics().to_vec(), data: data.data.clone(), transaction_hash: None }
    }

    #[test]
    fn t07_t08_f106_only_the_event_of_the_known_contract_for_this_request_seller_price_and_payer_counts() {
        let judged =
            |logs: &[Log]| settled(logs, CONTRACT, "pay_1", BUYER, &offer()).map(|event| event.timestamp);
        assert_eq!(judged(&[log(CONTRACT, &event())]), Ok(U256::from(9)));
        let sent = Offer { currency: None, ..offer() };
        assert!(settled(&[log(CONTRACT, &event())], CONTRACT, "pay_1", BUYER, &sent).is_ok());
        assert_eq!(judged(&[]), Err("not_settled"));
        assert_eq!(judged(&[log(SELLER, &event())]), Err("not_settled"));
        let wrong = [
            (PaymentSettled { requestId: keccak256("pay_2"), ..event() }, "not_settled"),
            (PaymentSettled { seller: BUYER, ..event() }, "wrong_seller"),
            (PaymentSettled { amount: U256::from(9_999), ..event() }, "amount_mismatch"),
            (PaymentSettled { amount: U256::from(10_001), ..event() }, "amount_mismatch"),
            (PaymentSettled { currency: "USDT".into(), ..event() }, "claims_mismatch"),
            (PaymentSettled { buyer: SELLER, ..event() }, "not_settled"),
        ];
        for (event, code) in wrong {
            assert_eq!(judged(&[log(CONTRACT, &event)]), Err(code));
        }
        // Several in one transaction: one of one unit cannot hide ours.
        let dust = PaymentSettled { amount: U256::from(1), ..event() };
        assert_eq!(judged(&[log(CONTRACT, &dust), log(CONTRACT, &event())]), Ok(U256::from(9)));
    }

    #[test]
    fn t07_claims_beside_a_token_that_says_something_else_are_nobody_s() {
        use base64::Engine as _;
        use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
        let signed =
            serde_json::json!({ "iss": BUYER, "sub": "pay_1", "iat": 1, "aud": ["https://a.example"] });
        let input = |part: &str| format!("e30.{part}");
        let shown = |input: String, claims: serde_json::Value| {
            let proof = serde_json::json!({
                "algorithm": "ES256K", "signingInput": input, "signature": "0x", "claims": claims,
            });
            Shown::read(&proof).unwrap().says_what_was_signed()
        };
        let token = input(&BASE64.encode(signed.to_string()));
        assert!(shown(token.clone(), signed.clone()));
        for (name, other) in [
            ("sub", serde_json::json!("pay_2")),
            ("iat", serde_json::json!(2)),
            ("htm", serde_json::json!("GET")),
            ("aud", serde_json::json!("https://a.example")),
        ] {
            let mut claims = signed.clone();
            claims[name] = other;
            assert!(!shown(token.clone(), claims), "{name}");
        }
        for broken in ["", "e30", "e30.!", "e30.W10"] {
            assert!(!shown(broken.to_owned(), signed.clone()), "{broken}");
        }
    }
}
