//! The scheme `exact` on EVM chains by EIP-3009: the payer signs, we submit, the token moves exactly the price.
//!
//! Verification is check (pure) → look (the chain) → judge (pure). Source: x402 `scheme_exact_evm`, EIP-3009,
//! EIP-712, ERC-1271, ERC-6492.

pub mod abi;
mod check;
pub(crate) mod fate;
#[doc(hidden)]
pub mod fuzzing;
mod judge;
mod look;
pub(crate) mod outcome;
mod payer;
mod plan;
pub mod proof;
mod rider;
mod settle;
pub mod typed_data;

use alloy_primitives::{Address, B256, eip191_hash_message, hex};
pub(crate) use check::{domain, payee_allowed, recover};
use groat_core::key::KeyKind;
use groat_core::offer::{Ask, Currency};
use groat_core::ports::{Mechanism, Token};
use groat_core::{Network, Offer, Payment, PaymentKey, Reason, Terms, Timestamp};
pub(crate) use plan::{plan_call, planned_call};
use serde_json::{Map, Value};
pub(crate) use settle::{EMPTY, can_pay, key_of, sign};

use crate::assets::{self, Asset, Transfer};
use crate::{Chain, account};
use proof::{EcdsaBytes, Proof};

/// The scheme's name on the wire.
pub(crate) const SCHEME: &str = "exact";

/// `exact` on EVM.
#[derive(Debug, Clone, Default)]
pub struct ExactEvm {
    chains: Vec<Chain>,
}

impl ExactEvm {
    /// For sellers and buyers, who need no chain.
    pub fn offline() -> Self {
        Self::default()
    }

    /// For facilitators on these chains.
    pub fn on(chains: Vec<Chain>) -> Self {
        Self { chains }
    }

    pub(crate) fn chains(&self) -> &[Chain] {
        &self.chains
    }
}

impl Mechanism for ExactEvm {
    fn scheme(&self) -> &'static str {
        SCHEME
    }

    fn speaks(&self, network: &Network) -> bool {
        network.chain_id().is_some()
    }

    fn offer(&self, terms: &Terms) -> Result<Option<Offer>, String> {
        if terms.scheme != SCHEME || !self.speaks(&terms.network) {
            return Ok(None);
        }
        let pay_to = account::parse(&terms.pay_to).filter(|account| !account.is_zero()).ok_or_else(|| {
            format!("`{}` is not an account that can be paid: write 0x and 40 hex digits", terms.pay_to)
        })?;
        let (asset, amount, extra, price) = match &terms.price {
            Ask::Price(price) => {
                let known = priced_asset(&terms.network, price.ticker())?;
                let amount = price.to_units(known.decimals).map_err(|error| error.to_string())?;
                let words = format!("${}", amount.to_decimal(known.decimals));
                (known.asset, amount, domain_extra(&known.name, &known.version), Some(words))
            }
            Ask::Units { asset, amount, extra } => {
                let asset =
                    account::parse(asset).ok_or_else(|| format!("`{asset}` is not a token contract"))?;
                let extra = match assets::find(&terms.network, asset) {
                    Some(known) if extra.is_empty() => domain_extra(&known.name, &known.version),
                    _ => extra.clone(),
                };
                if amount.is_zero() {
                    return Err(
                        "a price of zero sells for nothing: leave the route unpriced instead".to_owned()
                    );
                }
                (asset, *amount, extra, None)
            }
        };
        Ok(Some(Offer {
            scheme: SCHEME.to_owned(),
            network: terms.network.clone(),
            asset: account::text(asset),
            amount,
            pay_to: account::text(pay_to),
            timeout_s: terms.timeout_s,
            extra,
            price,
            dialect: None,
            currency: assets::find(&terms.network, asset)
                .map(|known| Currency { symbol: known.symbol.clone(), decimals: known.decimals }),
            verbatim: None,
        }))
    }

    fn key(&self, payment: &Payment, offer: &Offer) -> Result<(PaymentKey, Timestamp), Reason> {
        let asset = account::parse(&offer.asset).ok_or(Reason::InvalidRequirements)?;
        let authorization = Proof::read(&payment.proof)?.authorization;
        let key = replay_key(&offer.network, asset, authorization.from, authorization.nonce);
        Ok((key, Timestamp(typed_data::seconds(authorization.valid_before))))
    }

    fn key_of(
        &self,
        network: &Network,
        asset: &str,
        payer: &str,
        nonce: &str,
    ) -> Result<Option<PaymentKey>, String> {
        if !self.speaks(network) {
            return Ok(None);
        }
        let named = |text: &str, what| {
            let wrong = || {
                format!(
                    "the {what} is no account: write 0x and 40 hex digits, and capitals as EIP-55 has them or none"
                )
            };
            account::parse(text).ok_or_else(wrong)
        };
        let (asset, payer) = (named(asset, "token")?, named(payer, "authorizer")?);
        let digits = nonce.strip_prefix("0x").filter(|digits| digits.len() == 64);
        let nonce = digits.and_then(|digits| digits.parse::<B256>().ok());
        let nonce = nonce.ok_or("the nonce is not 0x and 64 hex digits")?;
        Ok(Some(replay_key(network, asset, payer, nonce)))
    }

    fn same_account(&self, one: &str, other: &str) -> bool {
        account::parse(one).is_some_and(|account| Some(account) == account::parse(other))
    }

    /// EIP-191, by a plain account; `s` is low, so a signature has one form.
    fn has_signed(&self, account: &str, text: &str, signature: &str) -> bool {
        let digits = signature.strip_prefix("0x").filter(|digits| digits.len() == 130);
        let bytes = digits.and_then(|digits| <[u8; 65]>::try_from(hex::decode(digits).ok()?).ok());
        let signer = bytes.and_then(|bytes| recover(eip191_hash_message(text), &EcdsaBytes(bytes)));
        signer.is_some() && signer == account::parse(account)
    }

    fn token(&self, network: &Network, asset: &str) -> Option<Token> {
        let known = assets::find(network, account::parse(asset)?)?;
        Some(Token { symbol: &known.symbol, decimals: known.decimals, unit_usd_micros: Some(Token::DOLLAR) })
    }
}

fn replay_key(network: &Network, asset: Address, payer: Address, nonce: B256) -> PaymentKey {
    let parts: [&[u8]; 3] = [asset.as_slice(), payer.as_slice(), nonce.as_slice()];
    PaymentKey::new(KeyKind::Eip3009, network, &parts)
}

fn priced_asset(network: &Network, ticker: Option<&str>) -> Result<&'static Asset, String> {
    let known = assets::for_price(network, ticker).ok_or_else(|| match ticker {
        Some(ticker) => {
            format!("no token {ticker} is known on {network}: give the price as asset and amount")
        }
        None => format!("no default dollar token is known on {network}: give the price as asset and amount"),
    })?;
    if known.transfer != Transfer::Eip3009 {
        return Err(format!(
            "{} on {network} cannot be moved by EIP-3009: sell it by permit instead",
            known.symbol
        ));
    }
    Ok(known)
}

fn domain_extra(name: &str, version: &str) -> Map<String, Value> {
    [("name", name), ("version", version)]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.into()))
        .collect()
}
