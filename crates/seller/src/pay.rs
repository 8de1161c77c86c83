//! What all priced routes of a seller share, and where prices are made of it.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use groat_core::books::OrderKey;
use groat_core::offer::Moment;
use groat_core::ports::{Access, Clock, Facilitator, Mechanism, Random, Store};
use groat_core::{Confirmations, Fault, Network, Offer, Terms, Timestamp};
use groat_store::Journal;
use groat_wire::pass::PassKey;
use groat_wire::shared_token::SharedKey;
use groat_wire::{Dialects, Freshness};
use url::Url;

use crate::canonical::public_origin;
use crate::config::{ConfigError, Cors, Limits, TokenFormat};
use crate::gate::{Credit, Flights, Passes, PayLayer, Presence, Recovered, Sales};
use crate::route::RouteBuilder;

/// A seller: who is paid, where, who settles, and where the book of sales lies. Cloning is cheap.
#[derive(Clone)]
pub struct Pay {
    pub(crate) shop: Arc<Shop>,
}

/// Everything the routes of one seller share.
pub(crate) struct Shop {
    pub(crate) facilitator: Arc<dyn Facilitator>,
    pub(crate) mechanisms: Vec<Arc<dyn Mechanism>>,
    /// Who is asked about claims of access.
    pub(crate) access: Vec<Arc<dyn Access>>,
    pub(crate) sales: Sales,
    pub(crate) flights: Arc<Flights>,
    pub(crate) presence: Option<Presence>,
    pub(crate) passes: Passes,
    pub(crate) credit: Credit,
    /// What orders of tokens go by.
    pub(crate) order_keys: Journal<OrderKey>,
    /// Where passes are sold, if they are.
    pub(crate) token_path: Option<String>,
    pub(crate) dialects: Dialects,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) networks: Vec<Network>,
    pub(crate) pay_to: Option<String>,
    pub(crate) timeout_s: u64,
    pub(crate) confirmations: Confirmations,
    pub(crate) public_url: Option<Url>,
    pub(crate) limits: Limits,
    pub(crate) cors: Cors,
    pub(crate) pass_preflight: bool,
}

impl Shop {
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// What a challenge of these offers is made for, where each is another.
    pub(crate) fn moment(&self, method: &http::Method, offers: &[Offer]) -> Option<Moment> {
        if self.dialects.freshness(offers) == Freshness::Kept {
            return None;
        }
        let mut random = [0; 16];
        // Without randomness there is no request that nobody can guess, so there is none.
        self.random.fill(&mut random).ok()?;
        let method = crate::gate::bought_as(method).to_string();
        Some(Moment { now: self.now(), random, method, preferred: 0 })
    }

    /// This gate among those that share its book.
    pub(crate) fn name(&self) -> Option<String> {
        self.presence.as_ref().map(|presence| presence.name().to_owned())
    }

    /// The offer of the first mechanism that takes the terms.
    pub(crate) fn offer(&self, terms: &Terms) -> Result<Offer, ConfigError> {
        for mechanism in &self.mechanisms {
            match mechanism.offer(terms) {
                Ok(Some(offer)) if mechanism.gives_access(&offer) && self.access(&offer).is_none() => {
                    let problem = "subscribers are let in and nobody can be asked who they are: build with `.access(…)`";
                    return Err(ConfigError::wrong(terms.network.to_string(), problem));
                }
                Ok(Some(offer)) => return Ok(offer),
                Ok(None) => {}
                Err(problem) => return Err(ConfigError::wrong(terms.network.to_string(), problem)),
            }
        }
        let (scheme, network) = (&terms.scheme, &terms.network);
        Err(ConfigError::wrong(
            "network",
            format_args!("nothing here takes `{scheme}` payments on {network}"),
        ))
    }

    /// Who can be asked whether a claim lets a request to this offer in.
    pub(crate) fn access(&self, offer: &Offer) -> Option<&dyn Access> {
        let fits = |one: &&dyn Access| one.scheme() == offer.scheme && one.speaks(&offer.network);
        self.access.iter().map(AsRef::as_ref).find(fits)
    }

    /// The mechanism that made the offer.
    pub(crate) fn mechanism(&self, offer: &Offer) -> Option<&dyn Mechanism> {
        self.mechanisms
            .iter()
            .map(AsRef::as_ref)
            .find(|one| one.scheme() == offer.scheme && one.speaks(&offer.network))
    }
}

impl std::fmt::Debug for Pay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pay")
            .field("networks", &self.shop.networks)
            .field("pay_to", &self.shop.pay_to)
            .finish_non_exhaustive()
    }
}

impl Pay {
    /// Starts to describe a seller.
    pub fn builder() -> PayBuilder {
        PayBuilder::default()
    }

    /// A layer that asks `price` (such as `$0.01`) for every request that passes it.
    ///
    /// # Panics
    /// With a sentence that says what is wrong, when the text is not a price or no network can take it. Like axum's
    /// route panics this happens while the program starts, never while it serves. See [`Pay::try_price`].
    pub fn price(&self, price: &str) -> PayLayer {
        match self.try_price(price) {
            Ok(layer) => layer,
            Err(error) => panic!("pay.price({price:?}): {error}"),
        }
    }

    /// Like [`Pay::price`], with the error instead of a panic.
    pub fn try_price(&self, price: &str) -> Result<PayLayer, ConfigError> {
        self.route().price(price).build()
    }

    /// A priced route with details: description, several networks, price functions, settlement order.
    pub fn route(&self) -> RouteBuilder {
        RouteBuilder::new(self.shop.clone())
    }

    /// Finishes sales that a crash left open, as far as that is possible without the buyer: asks the facilitator what
    /// became of each. What stays open is finished by the buyer's resend.
    pub async fn recover(&self) -> Result<Recovered, groat_core::Fault> {
        crate::gate::recover(&self.shop).await
    }

    /// Tells the other instances on the same store that this one lives, and looks after them; to be called before the first
    /// request and every second. Without [`PayBuilder::instance`] it does nothing.
    pub async fn beat(&self) -> Result<(), groat_core::Fault> {
        match &self.shop.presence {
            Some(presence) => presence.beat().await,
            None => Ok(()),
        }
    }

    /// Waits until no payment is in work: the last step of a graceful shutdown (threat row G24).
    pub async fn drained(&self) {
        self.shop.flights.drained().await;
    }

    /// Payments in work now.
    pub fn in_flight(&self) -> usize {
        self.shop.flights.count()
    }
}

/// Builds a [`Pay`].
#[derive(Default)]
pub struct PayBuilder {
    facilitator: Option<Arc<dyn Facilitator>>,
    mechanisms: Vec<Arc<dyn Mechanism>>,
    access: Vec<Arc<dyn Access>>,
    store: Option<Arc<dyn Store>>,
    clock: Option<Arc<dyn Clock>>,
    random: Option<Arc<dyn Random>>,
    dialects: Option<Dialects>,
    networks: Vec<String>,
    pay_to: Option<String>,
    timeout_s: Option<u64>,
    confirmations: Confirmations,
    public_url: Option<String>,
    limits: Limits,
    cors: Cors,
    pass_preflight: bool,
    instance: Option<String>,
    pass_key: Option<PassKey>,
    token_path: Option<String>,
    shared_key: Option<SharedKey>,
    token_format: TokenFormat,
}

impl PayBuilder {
    /// Who verifies and settles. Required.
    #[must_use]
    pub fn facilitator(mut self, facilitator: Arc<dyn Facilitator>) -> Self {
        self.facilitator = Some(facilitator);
        self
    }

    /// Schemes on chain families, the preferred first. At least one.
    #[must_use]
    pub fn mechanisms(mut self, mechanisms: Vec<Arc<dyn Mechanism>>) -> Self {
        self.mechanisms = mechanisms;
        self
    }

    /// Who can be asked whether a request is let in without a payment, for routes whose terms give access in that way. None
    /// by default; such a route is then refused.
    #[must_use]
    pub fn access(mut self, access: Vec<Arc<dyn Access>>) -> Self {
        self.access = access;
        self
    }

    /// Where the book of sales lies. Required.
    #[must_use]
    pub fn store(mut self, store: Arc<dyn Store>) -> Self {
        self.store = Some(store);
        self
    }

    /// The clock; the system's by default.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Where numbers come from that nobody can guess; the system by default.
    #[must_use]
    pub fn random(mut self, random: Arc<dyn Random>) -> Self {
        self.random = Some(random);
        self
    }

    /// The languages spoken; all by default.
    #[must_use]
    pub fn dialects(mut self, dialects: Dialects) -> Self {
        self.dialects = Some(dialects);
        self
    }

    /// A network to be paid on, such as `eip155:84532` or `base-sepolia`; may be called again for more.
    #[must_use]
    pub fn network(mut self, network: &str) -> Self {
        self.networks.push(network.to_owned());
        self
    }

    /// The account to be paid, unless a route says otherwise.
    #[must_use]
    pub fn pay_to(mut self, account: &str) -> Self {
        self.pay_to = Some(account.to_owned());
        self
    }

    /// Seconds that a payment may take, as told to buyers; 60 by default.
    #[must_use]
    pub fn timeout_s(mut self, seconds: u64) -> Self {
        self.timeout_s = Some(seconds);
        self
    }

    /// How deep a payment's block must lie before anything is handed out, unless a route says otherwise; one block by
    /// default. Above that the facilitator must be able to tell the depth: an engine, or another groat.
    #[must_use]
    pub fn confirmations(mut self, confirmations: Confirmations) -> Self {
        self.confirmations = confirmations;
        self
    }

    /// Where buyers reach this server, such as `https://api.example.com` (threat row B11).
    ///
    /// Without it the `Host` field is believed, and only when it names this machine (`localhost`, a loopback address);
    /// any other host is refused with 421.
    #[must_use]
    pub fn public_url(mut self, url: &str) -> Self {
        self.public_url = Some(url.to_owned());
        self
    }

    /// Bounds on sizes and times.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// A name for this process that no other on the same store has or had. With it and [`Pay::beat`] others take up in a
    /// few seconds what it leaves when it dies, instead of after [`Limits::lease_s`].
    #[must_use]
    pub fn instance(mut self, name: &str) -> Self {
        self.instance = Some(name.to_owned());
        self
    }

    /// The key that signs passes ([`crate::RouteBuilder::pass`]). Without one, passes end with this process and no other
    /// instance takes them.
    #[must_use]
    pub fn pass_key(mut self, key: PassKey) -> Self {
        self.pass_key = Some(key);
        self
    }

    /// A key that is shared with servers of PyPI `x402-mock`, or with whoever else makes or takes its tokens: for
    /// [`PayBuilder::token_format`] and [`crate::RouteBuilder::foreign_tokens`].
    #[must_use]
    pub fn shared_key(mut self, key: SharedKey) -> Self {
        self.shared_key = Some(key);
        self
    }

    /// What the passes that are given look like; JWTs by default. Both kinds of our own are taken, whichever is given. Those of
    /// `x402-mock` need a shared key, and stay in `Authorization` for the server behind.
    #[must_use]
    pub fn token_format(mut self, format: TokenFormat) -> Self {
        self.token_format = format;
        self
    }

    /// Where a [`crate::PaymentService`] sells passes, such as `/token`. Routes that give passes at a fixed price then say so
    /// in their 402.
    #[must_use]
    pub fn token_path(mut self, path: &str) -> Self {
        self.token_path = Some(path.to_owned());
        self
    }

    /// Web pages that may pay.
    #[must_use]
    pub fn cors(mut self, cors: Cors) -> Self {
        self.cors = cors;
        self
    }

    /// Lets CORS preflights through to the handler, unpaid, instead of answering them here. Only for handlers that do
    /// nothing on `OPTIONS`.
    #[must_use]
    pub fn pass_preflight(mut self, pass: bool) -> Self {
        self.pass_preflight = pass;
        self
    }

    /// The seller, or what is missing.
    pub fn build(self) -> Result<Pay, ConfigError> {
        if self.mechanisms.is_empty() {
            return Err(ConfigError::Missing("mechanisms"));
        }
        let parse =
            |name: &String| Network::parse(name).map_err(|error| ConfigError::wrong(name.clone(), error));
        let timeout_s = self.timeout_s.unwrap_or(60);
        if timeout_s == 0 {
            return Err(ConfigError::wrong("timeout_s", "must be at least one second"));
        }
        let is_plain = |path: &str| {
            crate::canonical::path(path).is_ok_and(|plain| plain == path) && !path.ends_with('/')
        };
        if !self.token_path.as_deref().is_none_or(is_plain) {
            return Err(ConfigError::wrong("token_path", "is not a plain path such as `/token`"));
        }
        let store = self.store.ok_or(ConfigError::Missing("store"))?;
        let public_url = self.public_url.as_deref().map(public_origin).transpose()?;
        let key = self.pass_key.map_or_else(PassKey::random, Ok);
        let key = key.map_err(|error| ConfigError::wrong("pass_key", error))?;
        if self.token_format == TokenFormat::X402Mock && self.shared_key.is_none() {
            let problem = "tokens of x402-mock are made with a key that is shared: give it as the shared key";
            return Err(ConfigError::wrong("token_format", problem));
        }
        let shared = self.shared_key.map(|key| (key, self.token_format));
        let issuer = public_url.as_ref().map_or("groat".to_owned(), |url| url.origin().ascii_serialization());
        let shop = Shop {
            presence: self.instance.map(|name| Presence::new(Arc::clone(&store), name)),
            facilitator: self.facilitator.ok_or(ConfigError::Missing("facilitator"))?,
            mechanisms: self.mechanisms,
            credit: Credit::default(),
            access: self.access,
            passes: Passes::new(key, shared, issuer, Arc::clone(&store)),
            token_path: self.token_path,
            order_keys: Journal::new(Arc::clone(&store)),
            sales: Sales::new(store),
            flights: Flights::new(self.limits.in_flight_max),
            dialects: self.dialects.unwrap_or_else(Dialects::standard),
            clock: self.clock.unwrap_or_else(|| Arc::new(system_time)),
            random: self.random.unwrap_or_else(|| Arc::new(system_random)),
            networks: self.networks.iter().map(parse).collect::<Result<_, _>>()?,
            pay_to: self.pay_to,
            timeout_s,
            confirmations: self.confirmations,
            public_url,
            limits: self.limits,
            cors: self.cors,
            pass_preflight: self.pass_preflight,
        };
        Ok(Pay { shop: Arc::new(shop) })
    }
}

fn system_random(bytes: &mut [u8]) -> Result<(), Fault> {
    getrandom::fill(bytes).map_err(|error| Fault::unavailable("randomness", error))
}

fn system_time() -> Timestamp {
    Timestamp(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}
