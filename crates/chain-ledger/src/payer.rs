//! The buyer's half: a debit of its own account, signed.

use async_trait::async_trait;
use groat_core::ports::{Mechanism, PayRequest, Payer, SignError, Signer, Token, TypedIntent};
use groat_core::{Network, Offer, Payment, PaymentKey, Reason, Terms, Timestamp};
use serde_json::{Value, json};

use crate::{
    Currency, Debit, Holder, NAMESPACE, PERMIT_TYPE, SCHEME, mechanism, message_digest, statement_text,
};

/// What a holder signs to be told by this service (an origin) what happened to its account: good for a minute, and for nothing else.
pub fn statement_intent(service: &str, account: &str, signed_at: Timestamp) -> TypedIntent {
    let message = json!({ "service": service, "account": account, "signedAt": signed_at });
    TypedIntent {
        sentence: format!("look at the balance of {account} at {service}"),
        typed_data: json!({ "primaryType": "BalanceStatement", "domain": {}, "message": message }),
        digest: message_digest(&statement_text(service, account, signed_at)),
    }
}

/// Pays out of balances at other people's ledgers.
#[derive(Debug, Clone)]
pub struct BalancePayer {
    currencies: Vec<Currency>,
}

impl Default for BalancePayer {
    fn default() -> Self {
        Self::knowing(vec![Currency::USD, Currency::EUR])
    }
}

impl BalancePayer {
    /// Knows these currencies, whatever a seller says of them.
    pub fn knowing(currencies: Vec<Currency>) -> Self {
        Self { currencies }
    }

    fn known(&self, symbol: &str) -> Option<&Currency> {
        self.currencies.iter().find(|currency| currency.symbol == symbol)
    }
}

impl Mechanism for BalancePayer {
    fn scheme(&self) -> &'static str {
        SCHEME
    }

    fn speaks(&self, network: &Network) -> bool {
        network.namespace() == NAMESPACE
    }

    fn offer(&self, _terms: &Terms) -> Result<Option<Offer>, String> {
        Ok(None)
    }

    fn key(&self, payment: &Payment, offer: &Offer) -> Result<(PaymentKey, Timestamp), Reason> {
        mechanism::key(payment, offer)
    }

    fn same_account(&self, one: &str, other: &str) -> bool {
        mechanism::same_account(one, other)
    }

    fn token(&self, _network: &Network, asset: &str) -> Option<Token> {
        self.known(asset).map(Currency::token)
    }
}

#[async_trait]
impl Payer for BalancePayer {
    async fn pay(&self, request: PayRequest<'_>, signer: &dyn Signer) -> Result<Payment, SignError> {
        let offer = request.offer;
        let unpayable = |what: &str| SignError::Offer(what.to_owned());
        let currency = self.known(&offer.asset).ok_or_else(|| unpayable("its currency is not known here"))?;
        // Units are counted alike on both sides, or the sum that is signed is not the sum that was weighed.
        if offer.currency.as_ref().is_some_and(|told| told.decimals != currency.decimals) {
            return Err(unpayable("it counts its currency in other units"));
        }
        let audience = offer.extra.get("audience").and_then(Value::as_str);
        let audience = audience.ok_or_else(|| unpayable("it does not say which payment service takes it"))?;
        let holder = Holder::parse(&signer.account())
            .map_err(|_| unpayable("the signer's account can hold no balance"))?;
        let window_s = offer.timeout_s.clamp(1, request.window_s_max.max(1));
        let amount = offer.amount.to_decimal(currency.decimals);
        let debit = Debit::unsigned(
            holder,
            request.nonce,
            (amount.clone(), currency.symbol),
            request.now.plus(window_s),
            audience,
            &offer.network,
        );
        let text = debit.canonical();
        let message: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        let intent = TypedIntent {
            sentence: format!("pay {amount} {} out of the balance at {audience}", currency.symbol),
            typed_data: json!({ "primaryType": PERMIT_TYPE, "domain": {}, "message": message }),
            digest: message_digest(&text),
        };
        let signature = signer.sign(&intent).await?;
        Ok(Payment {
            dialect: request.dialect.clone(),
            scheme: SCHEME.to_owned(),
            network: offer.network.clone(),
            proof: debit.proof(&signature),
            accepted: None,
            resource: None,
            extensions: Default::default(),
        })
    }
}
