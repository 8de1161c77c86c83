//! The buyer's half: one transaction that pays the request, and a proof that names it, both signed before either is sent.
//!
//! The dollar's owner authorizes the contract to receive the amount (EIP-3009 `ReceiveWithAuthorization`); the nonce binds
//! seller, amount, request and its hash, so nothing of it can be used otherwise. Only contracts that this buyer knows are
//! paid, whatever a request names (section 7.3 of the profile: else a seller could name a thief's).

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_sol_types::{Eip712Domain, SolCall, SolStruct, SolValue, eip712_domain, sol};
use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use groat_core::ports::{Fate, PayRequest, Payer, SignError, Signer, TypedIntent};
use groat_core::{Failure, Fault, Offer, Payment, Receipt};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::mechanism::{PROOF_GRACE_S, PayProofEvm, decimal, find};
use crate::assets::Transfer;
use crate::exact::fate;
use crate::{Chain, account, by_hash};

sol! {
    struct Request {
        address seller;
        uint256 amount;
        string requestId;
        bytes metadata;
    }

    struct Authorization {
        address buyer;
        uint256 validAfter;
        uint256 validBefore;
        bytes signature;
    }

    function payWithAuthorization(address token, Request request, Authorization authorization) external;

    /// EIP-3009.
    struct ReceiveWithAuthorization {
        address from;
        address to;
        uint256 value;
        uint256 validAfter;
        uint256 validBefore;
        bytes32 nonce;
    }
}

/// Gas of the call; the authorization is not on the chain yet when it would be estimated.
const GAS: u64 = 250_000;

/// How far ahead a request may expire.
const LIFETIME_S_MAX: u64 = 3_600;

/// What a request says beyond its offer.
struct Asked<'o> {
    id: &'o str,
    currency: &'o str,
    chain: &'o str,
    nonce: &'o str,
    expires: u64,
    hash: B256,
}

impl<'o> Asked<'o> {
    fn of(offer: &'o Offer) -> Option<Self> {
        let text = |key: &str| offer.extra.get(key).and_then(Value::as_str);
        Some(Self {
            id: text("id")?,
            currency: text("currency")?,
            chain: text("chain")?,
            nonce: text("nonce")?,
            expires: offer.extra.get("expires")?.as_u64()?,
            hash: text("requestHash")?.parse().ok()?,
        })
    }
}

#[async_trait]
impl Payer for PayProofEvm {
    async fn pay(&self, request: PayRequest<'_>, signer: &dyn Signer) -> Result<Payment, SignError> {
        let offer = request.offer;
        let unpayable = |what: String| SignError::Offer(what);
        let asked =
            Asked::of(offer).ok_or_else(|| unpayable("the request lacks what is signed".to_owned()))?;
        if asked.expires <= request.now.0 {
            return Err(unpayable("the request has expired: ask again".to_owned()));
        }
        if asked.expires > request.now.plus(LIFETIME_S_MAX).0 {
            // No proof could be good for so long, so the money would buy nothing.
            return Err(unpayable("the request is good for more than an hour, which none may be".to_owned()));
        }
        let network = &offer.network;
        let contract = self.contract(network).ok_or_else(|| {
            unpayable(format!(
                "no contract for payments of requests is known on {network}: name one with --pay-contract"
            ))
        })?;
        let named = offer.extra.get("contract").and_then(Value::as_str);
        if named.is_some_and(|named| account::parse(named) != Some(contract)) {
            return Err(unpayable(format!(
                "the seller names a contract other than {contract}, which this wallet knows"
            )));
        }
        let chain = self.chain(network);
        let chain =
            chain.ok_or_else(|| unpayable(format!("no node of {network} is known: name one with --rpc")))?;
        let known = find(network, &offer.asset).filter(|known| known.transfer == Transfer::Eip3009);
        let known =
            known.ok_or_else(|| unpayable(format!("{} cannot be paid by authorization", offer.asset)))?;
        if asked.currency != known.symbol {
            return Err(unpayable(format!("{} is not {}", known.symbol, asked.currency)));
        }
        if offer.currency.as_ref().is_some_and(|told| told.decimals != known.decimals) {
            return Err(unpayable(format!("{} has {} decimals", known.symbol, known.decimals)));
        }
        let from = account::parse(&signer.account())
            .ok_or_else(|| unpayable("the signer is not an EVM account".to_owned()))?;
        let seller =
            account::parse(&offer.pay_to).ok_or_else(|| unpayable("the payee is no account".to_owned()))?;
        let human = decimal(offer.amount, known.decimals);

        let authorization = authorization(from, contract, seller, offer.amount.as_u256(), &asked);
        let domain = eip712_domain! {
            name: known.name.clone(),
            version: known.version.clone(),
            chain_id: chain.chain_id(),
            verifying_contract: known.asset,
        };
        let intent = TypedIntent {
            sentence: format!("pay {human} {} on {network} to {seller}", known.symbol),
            typed_data: typed_data(&authorization, &domain),
            digest: authorization.eip712_signing_hash(&domain).0,
        };
        let signature = signer.sign(&intent).await?;
        let call = payWithAuthorizationCall {
            token: known.asset,
            request: Request {
                seller,
                amount: offer.amount.as_u256(),
                requestId: asked.id.to_owned(),
                metadata: (U256::from(asked.expires), asked.hash).abi_encode().into(),
            },
            authorization: Authorization {
                buyer: from,
                validAfter: authorization.validAfter,
                validBefore: authorization.validBefore,
                signature: signature.into(),
            },
        };
        let input: Bytes = call.abi_encode().into();
        let sentence = format!("send what was signed, {human} {}, to the contract {contract}", known.symbol);
        let own =
            by_hash::Own { chain, from, to: contract, value: U256::ZERO, input, gas: Some(GAS), sentence };
        let (hash, raw, account_nonce) = by_hash::sign(own, signer).await?;

        let claims = json!({
            "iss": account::text(from),
            "sub": asked.id,
            "amount": human,
            "currency": asked.currency,
            "chain": asked.chain,
            "tx": hash,
            "iat": request.now.0,
            // A payment in the last block is shown after it.
            "exp": asked.expires.saturating_add(PROOF_GRACE_S).min(request.now.plus(LIFETIME_S_MAX).0),
            "nonce": asked.nonce,
        });
        let signing_input = format!(
            "{}.{}",
            BASE64.encode(r#"{"typ":"JWT","alg":"ES256K"}"#),
            BASE64.encode(claims.to_string())
        );
        let intent = TypedIntent {
            sentence: format!("prove to the seller that {hash} pays {human} {}", known.symbol),
            typed_data: json!({ "primaryType": "PaymentProof", "message": claims }),
            digest: Sha256::digest(signing_input.as_bytes()).into(),
        };
        let signature = signer.sign(&intent).await?;
        // 64 bytes (RFC 8812): the account is in the claims.
        let signature = alloy_primitives::hex::encode_prefixed(signature.get(..64).unwrap_or_default());
        account_nonce.keep();
        Ok(Payment {
            dialect: request.dialect.clone(),
            scheme: offer.scheme.clone(),
            network: network.clone(),
            proof: json!({
                "algorithm": "ES256K",
                "signingInput": signing_input,
                "signature": signature,
                "claims": claims,
                "expires": asked.expires,
                "authorization": { "token": known.asset, "from": from, "nonce": authorization.nonce },
                "hash": hash,
                "raw": raw,
            }),
            accepted: None,
            resource: None,
            extensions: Default::default(),
        })
    }

    async fn publish(&self, payment: &Payment) -> Result<Option<Receipt>, Failure> {
        let chain = self.chain(&payment.network);
        let chain = chain.ok_or_else(|| Fault::unavailable("chain", "no node is set for this payment"))?;
        // Late it would cost gas and move nothing.
        if is_late(chain, payment).await? {
            return match fate_of(chain, payment).await? {
                Fate::Paid(own) => Ok(own),
                Fate::Dead(reason) => Err(reason.into()),
                Fate::Open { transaction } => Err(Fault::Pending { transaction }.into()),
            };
        }
        match by_hash::publish(chain, payment).await {
            // Anybody may have brought the authorization to the contract before us, or may still.
            Err(Failure::Refused(refusal))
                if !matches!(authorization_fate(chain, payment).await?, Fate::Dead(_)) =>
            {
                Err(Fault::Pending { transaction: refusal.transaction }.into())
            }
            outcome => outcome,
        }
    }

    /// Our transaction alone does not decide: whoever saw the authorization in it can bring that to the contract too. And when
    /// that is dead, it does not matter whether our transaction gets into a block.
    async fn fate(&self, payment: &Payment, _offer: &Offer) -> Result<Fate, Fault> {
        let chain = self.chain(&payment.network);
        let chain = chain.ok_or_else(|| Fault::unavailable("chain", "no node is set for this payment"))?;
        fate_of(chain, payment).await
    }

    fn discard(&self, payment: &Payment) {
        by_hash::discard(&self.chains, payment);
    }
}

/// Whether no block can take it any more.
async fn is_late(chain: &Chain, payment: &Payment) -> Result<bool, Fault> {
    let expires = payment.proof.get("expires").and_then(Value::as_u64);
    Ok(chain.rpc().head().await?.timestamp.to::<u64>() >= expires.unwrap_or(u64::MAX))
}

async fn fate_of(chain: &Chain, payment: &Payment) -> Result<Fate, Fault> {
    let own = by_hash::fate(chain, payment).await?;
    if matches!(own, Fate::Paid(_)) {
        return Ok(own);
    }
    match (authorization_fate(chain, payment).await?, own) {
        (Fate::Open { .. }, Fate::Open { transaction }) => Ok(Fate::Open { transaction }),
        (fate, _) => Ok(fate),
    }
}

/// What became of the authorization in a payment, whoever brought it to the contract.
async fn authorization_fate(chain: &Chain, payment: &Payment) -> Result<Fate, Fault> {
    let text = |key: &str| payment.proof["authorization"].get(key).and_then(Value::as_str);
    let expires = payment.proof.get("expires").and_then(Value::as_u64);
    let (Some(token), Some(authorizer), Some(nonce), Some(expires)) = (
        text("token").and_then(account::parse),
        text("from").and_then(account::parse),
        text("nonce").and_then(by_hash::parse_hash),
        expires,
    ) else {
        return Ok(Fate::Open { transaction: None });
    };
    fate::fate(chain, token, authorizer, nonce, expires).await
}

/// What the contract may take; the nonce is that of the contract's `authorizationNonce`.
fn authorization(
    from: Address,
    contract: Address,
    seller: Address,
    amount: U256,
    asked: &Asked<'_>,
) -> ReceiveWithAuthorization {
    let bound = (seller, amount, keccak256(asked.id.as_bytes()), asked.hash).abi_encode();
    ReceiveWithAuthorization {
        from,
        to: contract,
        value: amount,
        validAfter: U256::ZERO,
        validBefore: U256::from(asked.expires),
        nonce: keccak256(bound),
    }
}

fn typed_data(authorization: &ReceiveWithAuthorization, domain: &Eip712Domain) -> Value {
    json!({
        "primaryType": "ReceiveWithAuthorization",
        "domain": {
            "name": domain.name,
            "version": domain.version,
            "chainId": domain.chain_id.map(|id| id.to_string()),
            "verifyingContract": domain.verifying_contract,
        },
        "message": {
            "from": authorization.from,
            "to": authorization.to,
            "value": authorization.value.to_string(),
            "validAfter": authorization.validAfter.to_string(),
            "validBefore": authorization.validBefore.to_string(),
            "nonce": authorization.nonce,
        },
    })
}
