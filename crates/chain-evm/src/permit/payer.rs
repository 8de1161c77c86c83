//! The buyer's half: make the permit and have it signed. What the token and Permit2 know of the payer is asked first.

use alloy_primitives::{Address, U256};
use async_trait::async_trait;
use groat_core::ports::{Mechanism, PayRequest, Payer, SignError, Signer, TypedIntent};
use groat_core::{Fault, Offer, Payment};

use super::look::look;
use super::till::PermitToken;
use super::{Permit, PermitEvm, PermitKind, Taking, typed_data};
use crate::account;
use crate::chain::question;
use crate::exact::domain;
use crate::exact::proof::EcdsaBytes;

#[async_trait]
impl Payer for PermitEvm {
    async fn pay(&self, request: PayRequest<'_>, signer: &dyn Signer) -> Result<Payment, SignError> {
        let offer = request.offer;
        let unpayable = |what: &str| SignError::Offer(what.to_owned());
        let unavailable = |fault: Fault| SignError::Unavailable(fault.to_string());
        let Taking { kind, payee, till, asset } = Taking::of(offer)
            .map_err(|_| unpayable("it does not go through the till of the payee that it names"))?;
        let domain = domain(offer).map_err(|reason| SignError::Offer(reason.to_string()))?;
        let owner =
            account::parse(&signer.account()).ok_or_else(|| unpayable("the signer is not an EVM account"))?;
        let chain = self.exact.chain(&offer.network).map_err(|_| {
            SignError::Offer(format!("no node of {} is known: name one with --rpc", offer.network))
        })?;
        let nonce = match kind {
            PermitKind::Permit2 => U256::from_be_bytes(request.nonce),
            PermitKind::Eip2612 => {
                let asked = vec![question(asset, &PermitToken::noncesCall { owner })];
                let answer = chain.read(asked).await.map_err(unavailable)?;
                answer.value(0).ok_or_else(|| unpayable("the token knows no permits (EIP-2612)"))?
            }
        };
        let window_s = offer.timeout_s.clamp(1, request.window_s_max.max(1));
        let mut permit = Permit {
            kind,
            owner,
            spender: till,
            token: asset,
            amount: offer.amount.as_u256(),
            nonce,
            // The deadline is the last second, and the window ends before its own.
            deadline: U256::from(request.now.plus(window_s - 1).0),
            signature: EcdsaBytes([0; 65]),
        };
        let seen = look(chain, till, &permit).await.map_err(unavailable)?;
        if kind == PermitKind::Permit2 && seen.allowance.is_none_or(|allowed| allowed < permit.amount) {
            return Err(SignError::Offer(format!(
                "{} has not allowed Permit2 to move so much of {}: approve it once with a wallet, or pay otherwise",
                account::text(owner),
                offer.asset
            )));
        }
        if kind == PermitKind::Eip2612 && seen.separator != Some(domain.separator()) {
            return Err(unpayable("the token signs with another name or version (EIP-712)"));
        }
        let intent = TypedIntent {
            sentence: self.sentence(offer, payee),
            typed_data: typed_data::permit_typed_data(&permit, &domain),
            digest: typed_data::permit_digest(&permit, &domain).0,
        };
        let signature = signer.sign(&intent).await?;
        let bytes = signature.as_slice().try_into();
        permit.signature =
            EcdsaBytes(bytes.map_err(|_| unpayable("only a plain account can sign a permit"))?);
        Ok(Payment {
            dialect: request.dialect.clone(),
            scheme: offer.scheme.clone(),
            network: offer.network.clone(),
            proof: permit.write(),
            accepted: None,
            resource: None,
            extensions: Default::default(),
        })
    }
}

impl PermitEvm {
    fn sentence(&self, offer: &Offer, payee: Address) -> String {
        let network = offer.network.known().map_or(offer.network.as_str(), |known| known.name);
        let what = match self.token(&offer.network, &offer.asset) {
            Some(token) => format!("{} {}", offer.amount.to_decimal(token.decimals), token.symbol),
            None => format!("{} units of {}", offer.amount, offer.asset),
        };
        format!("pay {what} on {network} to {} by its till {}", account::text(payee), offer.pay_to)
    }
}
