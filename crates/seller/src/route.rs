//! One priced route: what it sells, for how much, and when the money is taken.

use std::fmt::Display;
use std::future::Future;
use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use groat_core::offer::Ask;
use groat_core::{Amount, Confirmations, Network, Offer, PassTerms, Price, Terms};
use http::Method;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::config::ConfigError;
use crate::gate::{ChallengeCache, PayLayer};
use crate::pay::Shop;
use crate::view::RequestView;

/// When the money is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Settle {
    /// After the handler for methods that change nothing, before it for all others (threat row G15).
    #[default]
    Auto,
    /// Before the handler: for streams, slow handlers, and whatever has side effects. An answer of any status is
    /// charged.
    Before,
    /// After the handler: only a success is charged, and it is buffered.
    After,
    /// After the answer went out: the payment has been verified, and is settled while the buyer has its answer already.
    /// What a payer owes at once is bounded ([`RouteBuilder::unsettled_max`]); above that it is as with `After`.
    Async,
}

impl Settle {
    /// Whether the money comes before the handler.
    pub(crate) fn first(self, method: &Method) -> bool {
        match self {
            Self::Auto => !method.is_safe(),
            Self::Before => true,
            Self::After | Self::Async => false,
        }
    }
}

type PriceFn = Arc<dyn Fn(RequestView) -> BoxFuture<'static, Result<Price, String>> + Send + Sync>;
type PayToFn = Arc<dyn Fn(RequestView) -> BoxFuture<'static, Result<String, String>> + Send + Sync>;

/// How the offers of a route come about.
pub(crate) enum Pricing {
    /// Made once.
    Fixed(Vec<Offer>),
    /// Made for every request, for the challenge and again for the payment.
    Asked { terms: Vec<Terms>, price: Option<PriceFn>, pay_to: Option<PayToFn> },
}

/// A route that is ready to be asked.
pub(crate) struct Route {
    pub(crate) shop: Arc<Shop>,
    pub(crate) pricing: Pricing,
    pub(crate) settle: Settle,
    /// Whether a paid run that was cut off may be repeated, whatever the method: it does what it does once a payment.
    pub(crate) is_repeatable: bool,
    /// What one payer may owe, in the units of each offer.
    pub(crate) unsettled_max: Option<Price>,
    pub(crate) confirmations: Confirmations,
    pub(crate) pass: Option<PassTerms>,
    /// Whether tokens of whoever shares a key with us let a request in.
    pub(crate) foreign_tokens: bool,
    pub(crate) description: String,
    pub(crate) mime_type: String,
    pub(crate) resource: Option<String>,
    pub(crate) extensions: Map<String, Value>,
    pub(crate) cache: ChallengeCache,
}

impl Route {
    /// The offers for this request; the error is for the log, never for the client.
    pub(crate) async fn offers(
        &self,
        view: impl FnOnce() -> RequestView,
    ) -> Result<std::borrow::Cow<'_, [Offer]>, String> {
        let (terms, price, pay_to) = match &self.pricing {
            Pricing::Fixed(offers) => return Ok(offers.into()),
            Pricing::Asked { terms, price, pay_to } => (terms, price, pay_to),
        };
        let view = view();
        let price = match price {
            Some(ask) => Some(self.bounded(|| ask(view.clone())).await?),
            None => None,
        };
        let pay_to = match pay_to {
            Some(ask) => Some(self.bounded(|| ask(view)).await?),
            None => None,
        };
        let mut offers = Vec::with_capacity(terms.len());
        for terms in terms {
            let mut terms = terms.clone();
            if let Some(price) = &price {
                terms.price = Ask::Price(price.clone());
            }
            if let Some(pay_to) = &pay_to {
                terms.pay_to.clone_from(pay_to);
            }
            offers.push(self.shop.offer(&terms).map_err(|error| error.to_string())?);
        }
        Ok(offers.into())
    }

    /// Runs somebody else's function so that it can neither panic here nor take forever (threat row G20).
    async fn bounded<T>(
        &self,
        ask: impl FnOnce() -> BoxFuture<'static, Result<T, String>>,
    ) -> Result<T, String> {
        let limit = std::time::Duration::from_secs(self.shop.limits.price_timeout_s);
        let asked = std::panic::AssertUnwindSafe(async { ask().await }).catch_unwind();
        match tokio::time::timeout(limit, asked).await {
            Err(_) => Err("the price function took too long".to_owned()),
            Ok(Err(_)) => Err("the price function panicked".to_owned()),
            Ok(Ok(answer)) => answer,
        }
    }
}

/// Describes a priced route.
#[must_use = "a route asks for nothing until it is built into a layer"]
pub struct RouteBuilder {
    shop: Arc<Shop>,
    scheme: String,
    price: Option<String>,
    units: Option<Ask>,
    networks: Vec<String>,
    pay_to: Option<String>,
    timeout_s: Option<u64>,
    asks: Vec<Terms>,
    price_fn: Option<PriceFn>,
    pay_to_fn: Option<PayToFn>,
    settle: Settle,
    is_repeatable: bool,
    unsettled_max: Option<String>,
    confirmations: Option<Confirmations>,
    pass: Option<PassTerms>,
    foreign_tokens: bool,
    description: String,
    mime_type: String,
    resource: Option<String>,
    extensions: Map<String, Value>,
}

impl RouteBuilder {
    pub(crate) fn new(shop: Arc<Shop>) -> Self {
        Self {
            shop,
            scheme: "exact".to_owned(),
            price: None,
            units: None,
            networks: Vec::new(),
            pay_to: None,
            timeout_s: None,
            asks: Vec::new(),
            price_fn: None,
            pay_to_fn: None,
            settle: Settle::Auto,
            is_repeatable: false,
            unsettled_max: None,
            confirmations: None,
            pass: None,
            foreign_tokens: false,
            description: String::new(),
            mime_type: String::new(),
            resource: None,
            extensions: Map::new(),
        }
    }

    /// The price, such as `$0.01` or `0.01 USDC`.
    pub fn price(mut self, price: &str) -> Self {
        self.price = Some(price.to_owned());
        self
    }

    /// The price in units of a token; `extra` is what the scheme wants to know of it.
    pub fn units(mut self, asset: &str, amount: Amount, extra: Map<String, Value>) -> Self {
        self.units = Some(Ask::Units { asset: asset.to_owned(), amount, extra });
        self
    }

    /// A price that depends on the request; asked for the challenge and again for the payment, so it must not change
    /// in between for the same request. An error, a panic or a long silence is a 500 and nothing is served.
    pub fn price_fn<F, R, E>(mut self, ask: F) -> Self
    where
        F: Fn(RequestView) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Price, E>> + Send + 'static,
        E: Display,
    {
        self.price_fn = Some(Arc::new(move |view| {
            let asked = ask(view);
            async move { asked.await.map_err(|error| error.to_string()) }.boxed()
        }));
        self
    }

    /// A payee that depends on the request, under the same rules as [`RouteBuilder::price_fn`].
    pub fn pay_to_fn<F, R, E>(mut self, ask: F) -> Self
    where
        F: Fn(RequestView) -> R + Send + Sync + 'static,
        R: Future<Output = Result<String, E>> + Send + 'static,
        E: Display,
    {
        self.pay_to_fn = Some(Arc::new(move |view| {
            let asked = ask(view);
            async move { asked.await.map_err(|error| error.to_string()) }.boxed()
        }));
        self
    }

    /// A network to be paid on instead of the seller's; may be called again for more.
    pub fn network(mut self, network: &str) -> Self {
        self.networks.push(network.to_owned());
        self
    }

    /// The account to be paid on this route.
    pub fn pay_to(mut self, account: &str) -> Self {
        self.pay_to = Some(account.to_owned());
        self
    }

    /// The scheme; `exact` by default.
    pub fn scheme(mut self, scheme: &str) -> Self {
        scheme.clone_into(&mut self.scheme);
        self
    }

    /// Seconds that a payment may take, as told to buyers.
    pub fn timeout_s(mut self, seconds: u64) -> Self {
        self.timeout_s = Some(seconds);
        self
    }

    /// One more way to pay, in full.
    pub fn ask(mut self, terms: Terms) -> Self {
        self.asks.push(terms);
        self
    }

    /// When the money is taken.
    pub fn settle(mut self, settle: Settle) -> Self {
        self.settle = settle;
        self
    }

    /// Lets a paid run that a crash cut off be repeated with whatever method: what it does it does once for each payment.
    pub(crate) fn repeatable(mut self) -> Self {
        self.is_repeatable = true;
        self
    }

    /// How much one payer may owe at once on a route that settles [`Settle::Async`], such as `$0.10`; five times the price
    /// unless this is said.
    pub fn unsettled_max(mut self, price: &str) -> Self {
        self.unsettled_max = Some(price.to_owned());
        self
    }

    /// How deep the payment's block must lie before anything is handed out, instead of what holds for the seller's other
    /// routes. What takes longer than [`crate::Limits::settle_timeout_s`] is told as pending, and served on a resend.
    pub fn confirmations(mut self, confirmations: Confirmations) -> Self {
        self.confirmations = Some(confirmations);
        self
    }

    /// Gives whoever has paid a pass, in `X-Payment-Access-Token`: for a while, and perhaps so many times, a request with
    /// it is let in without a payment. Routes of one seller with the same scope take each other's passes.
    pub fn pass(mut self, terms: PassTerms) -> Self {
        self.pass = Some(terms);
        self
    }

    /// Takes tokens that somebody else has given, in the format of `x402-mock`, with the key that
    /// [`PayBuilder::shared_key`](crate::PayBuilder::shared_key) names. They say nothing but when they end: such a token opens every
    /// route that takes them, any number of times. Only for routes with a fixed price.
    pub fn foreign_tokens(mut self) -> Self {
        self.foreign_tokens = true;
        self
    }

    /// What the buyer gets, for people.
    pub fn description(mut self, text: &str) -> Self {
        text.clone_into(&mut self.description);
        self
    }

    /// The media type of the answer.
    pub fn mime_type(mut self, text: &str) -> Self {
        text.clone_into(&mut self.mime_type);
        self
    }

    /// The URL that stands for this route in challenges, instead of the one asked for. Payments then buy any request
    /// of the route.
    pub fn resource(mut self, url: &str) -> Self {
        self.resource = Some(url.to_owned());
        self
    }

    /// A protocol extension to advertise.
    pub fn extension(mut self, name: &str, value: Value) -> Self {
        self.extensions.insert(name.to_owned(), value);
        self
    }

    /// The layer, or what is wrong with the description.
    pub fn build(self) -> Result<PayLayer, ConfigError> {
        let terms = self.terms()?;
        if terms.is_empty() {
            return Err(ConfigError::Missing("network"));
        }
        let checked = terms
            .iter()
            .filter(|terms| self.pay_to_fn.is_none() || !terms.pay_to.is_empty())
            .map(|terms| self.shop.offer(terms))
            .collect::<Result<Vec<_>, _>>()?;
        if let Some(problem) = self.pass.as_ref().and_then(|terms| terms.check().err()) {
            return Err(ConfigError::wrong("pass", problem));
        }
        if let Some(url) = &self.resource {
            url::Url::parse(url).map_err(|error| ConfigError::wrong("resource", error))?;
        }
        let pricing = if self.price_fn.is_some() || self.pay_to_fn.is_some() {
            Pricing::Asked { terms, price: self.price_fn, pay_to: self.pay_to_fn }
        } else {
            Pricing::Fixed(checked)
        };
        if self.foreign_tokens
            && (!self.shop.passes.has_shared_key() || matches!(pricing, Pricing::Asked { .. }))
        {
            let problem = "tokens of others need the key that they share with us, and a fixed price";
            return Err(ConfigError::wrong("foreign_tokens", problem));
        }
        let unsettled_max = self.unsettled_max.as_deref().map(Price::parse).transpose();
        Ok(PayLayer::new(Route {
            unsettled_max: unsettled_max.map_err(|error| ConfigError::wrong("unsettled_max", error))?,
            confirmations: self.confirmations.unwrap_or(self.shop.confirmations),
            pass: self.pass,
            foreign_tokens: self.foreign_tokens,
            shop: self.shop,
            pricing,
            settle: self.settle,
            is_repeatable: self.is_repeatable,
            description: self.description,
            mime_type: self.mime_type,
            resource: self.resource,
            extensions: self.extensions,
            cache: ChallengeCache::default(),
        }))
    }

    /// The terms as far as they are known before a request.
    fn terms(&self) -> Result<Vec<Terms>, ConfigError> {
        let price = match (&self.price, &self.units, &self.price_fn) {
            (Some(text), None, None) => {
                Some(Ask::Price(Price::parse(text).map_err(|error| ConfigError::wrong("price", error))?))
            }
            (None, Some(units), None) => Some(units.clone()),
            // A stand-in, so that network and payee are checked before the first request.
            (None, None, Some(_)) => {
                Some(Ask::Price(Price::parse("$1").map_err(|error| ConfigError::wrong("price", error))?))
            }
            (None, None, None) if !self.asks.is_empty() => None,
            (None, None, None) => return Err(ConfigError::Missing("price")),
            _ => return Err(ConfigError::wrong("price", "set only one of price, units and price_fn")),
        };
        let mut terms = Vec::new();
        if let Some(price) = price {
            for network in self.networks()? {
                let pay_to = self.pay_to.clone().or_else(|| self.shop.pay_to.clone());
                let pay_to = match (pay_to, &self.pay_to_fn) {
                    (Some(pay_to), _) => pay_to,
                    (None, Some(_)) => String::new(),
                    (None, None) => return Err(ConfigError::Missing("pay_to")),
                };
                terms.push(Terms {
                    scheme: self.scheme.clone(),
                    network,
                    price: price.clone(),
                    pay_to,
                    timeout_s: self.timeout_s.unwrap_or(self.shop.timeout_s),
                });
            }
        }
        terms.extend(self.asks.iter().cloned());
        Ok(terms)
    }

    fn networks(&self) -> Result<Vec<Network>, ConfigError> {
        if self.networks.is_empty() {
            return Ok(self.shop.networks.clone());
        }
        self.networks
            .iter()
            .map(|name| Network::parse(name).map_err(|error| ConfigError::wrong(name.clone(), error)))
            .collect()
    }
}
