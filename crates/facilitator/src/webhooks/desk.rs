//! What owners do with their endpoints.

use groat_core::Fault;
use groat_core::books::{
    Aggregate, Delivery, DeliveryEvent, EndpointState, EventKind, Subject, WebhookEndpoint,
    WebhookEndpointEvent, WebhookSecret,
};
use groat_store::{Applied, Entry};

use super::Webhooks;
use super::guard::Denied;
use super::sign::{Key, Scheme};

/// Endpoints of one owner.
const ENDPOINTS_MAX: usize = 16;
/// How often a change is tried again because somebody else has written.
const TRIES_MAX: usize = 8;
/// The longest that an old secret stays good.
pub(crate) const OLD_SECRET_S_MAX: u64 = 7 * 86_400;

/// A new endpoint.
#[derive(Debug, Clone)]
pub struct Wish {
    /// Where to send.
    pub url: String,
    /// What it wants to hear; empty means everything.
    pub types: Vec<EventKind>,
    /// Whether to sign in the shape of Stripe's as well.
    pub stripe: bool,
    /// How to sign.
    pub scheme: Scheme,
}

/// What is to be different; `None` leaves it as it is.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// Where to send.
    pub url: Option<String>,
    /// What it wants to hear.
    pub types: Option<Vec<EventKind>>,
    /// Whether to sign in the shape of Stripe's as well.
    pub stripe: Option<bool>,
    /// Whether it is told nothing.
    pub disabled: Option<bool>,
    /// A new secret; the old one stays good for so many seconds.
    pub rotate: Option<u64>,
}

/// A page of deliveries.
#[derive(Debug, Clone)]
pub struct Page {
    /// In the order of the outbox, tests last.
    pub deliveries: Vec<Delivery>,
    /// Where the next page begins; none at the end.
    pub next: Option<String>,
}

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// There is none, or it is somebody else's.
    #[error("there is no such endpoint or delivery")]
    NotFound,
    /// Nothing may be sent there.
    #[error("the URL is not allowed: {0}")]
    Url(#[from] Denied),
    /// The signature in the shape of Stripe's needs a shared secret.
    #[error("compat = stripe needs signature = v1")]
    Compat,
    /// Somebody has enough of them.
    #[error("there are 16 endpoints already: remove one first")]
    TooMany,
    /// It is told nothing.
    #[error("the endpoint is disabled: enable it first")]
    Disabled,
    /// One at a time.
    #[error("a test is under way already: wait until it was delivered")]
    Testing,
    /// It cannot be sent again.
    #[error("the delivery was cancelled, because its endpoint was removed")]
    Cancelled,
    /// The book does not answer.
    #[error(transparent)]
    Store(#[from] Fault),
}

impl Webhooks {
    /// Makes an endpoint, which hears of everything that is written from now on. With it comes its secret, or what
    /// receivers check with.
    pub async fn create(&self, owner: &str, wish: Wish) -> Result<(WebhookEndpoint, String), WebhookError> {
        self.0.guard.url(&wish.url)?;
        if wish.stripe && wish.scheme != Scheme::V1 {
            return Err(WebhookError::Compat);
        }
        let _making = self.0.making.lock().await;
        let mine = self.every_endpoint().await?.into_iter().filter(|entry| entry.record.owner == owner);
        if mine.count() >= ENDPOINTS_MAX {
            return Err(WebhookError::TooMany);
        }
        // First, so that nothing falls between the newest event and the first that is written for it.
        self.0.bell.want_every(true);
        let (secret, now) = (wish.scheme.secret(self.0.random.as_ref())?, self.now());
        let endpoint = WebhookEndpoint {
            id: format!("we_{}", self.random_hex()?),
            owner: owner.to_owned(),
            url: wish.url,
            types: wish.types,
            stripe: wish.stripe,
            secrets: vec![WebhookSecret { text: secret.clone(), ends_at: None }],
            made_at: now,
            cursor: self.newest().await?,
            state: EndpointState::Enabled,
        };
        let made = self.0.endpoints.create(endpoint).await?;
        let made = made.ok_or_else(|| Fault::unavailable("store", "an id was given out twice"))?;
        self.0.bell.ring();
        Ok((made.record, shown(secret)))
    }

    /// The endpoints of an owner.
    pub async fn list(&self, owner: &str) -> Result<Vec<WebhookEndpoint>, WebhookError> {
        let all = self.every_endpoint().await?.into_iter().map(|entry| entry.record);
        Ok(all.filter(|endpoint| endpoint.owner == owner).collect())
    }

    /// One of them.
    pub async fn find(&self, owner: &str, id: &str) -> Result<WebhookEndpoint, WebhookError> {
        Ok(self.mine(owner, id).await?.record)
    }

    /// Changes one of them, all or nothing. A new secret comes with it.
    pub async fn change(
        &self,
        owner: &str,
        id: &str,
        change: Change,
    ) -> Result<(WebhookEndpoint, Option<String>), WebhookError> {
        if let Some(url) = &change.url {
            self.0.guard.url(url)?;
        }
        for _ in 0..TRIES_MAX {
            let entry = self.mine(owner, id).await?;
            let (events, secret) = self.events(&entry.record, &change)?;
            let now = self.now();
            let next = events.into_iter().try_fold(entry.record.clone(), |at, event| at.apply(event, now));
            let next = next.ok_or(WebhookError::NotFound)?;
            if self.0.endpoints.commit(vec![self.0.endpoints.stage(&entry, &next)]).await? {
                self.0.bell.ring();
                return Ok((next, secret.map(shown)));
            }
        }
        Err(Fault::unavailable("store", "too many write at once").into())
    }

    fn events(
        &self,
        endpoint: &WebhookEndpoint,
        change: &Change,
    ) -> Result<(Vec<WebhookEndpointEvent>, Option<String>), WebhookError> {
        use WebhookEndpointEvent as E;
        let scheme = scheme(endpoint);
        let Change { url, types, stripe, disabled, rotate } = change.clone();
        let stripe = stripe.unwrap_or(endpoint.stripe);
        if stripe && scheme != Scheme::V1 {
            return Err(WebhookError::Compat);
        }
        let mut events = vec![E::Change {
            url: url.unwrap_or_else(|| endpoint.url.clone()),
            types: types.unwrap_or_else(|| endpoint.types.clone()),
            stripe,
        }];
        match (disabled, &endpoint.state) {
            (Some(true), EndpointState::Enabled) => events.push(E::Disable("by its owner".to_owned())),
            (Some(false), EndpointState::Disabled { .. }) => events.push(E::Enable),
            _ => {}
        }
        let Some(seconds) = rotate else { return Ok((events, None)) };
        let text = scheme.secret(self.0.random.as_ref())?;
        let old_ends_at = self.now().plus(seconds.min(OLD_SECRET_S_MAX));
        events.push(E::Rotate { text: text.clone(), old_ends_at });
        Ok((events, Some(text)))
    }

    /// Removes one for good. What is on its way to it is cancelled by the worker.
    pub async fn remove(&self, owner: &str, id: &str) -> Result<(), WebhookError> {
        for _ in 0..TRIES_MAX {
            let entry = self.mine(owner, id).await?;
            if let Applied::Done(_) =
                self.0.endpoints.apply(entry, WebhookEndpointEvent::Remove, self.now()).await?
            {
                self.survey().await?;
                self.0.bell.ring();
                return Ok(());
            }
        }
        Err(Fault::unavailable("store", "too many write at once").into())
    }

    /// Sends a message that means nothing, to see whether it arrives.
    pub async fn test(&self, owner: &str, id: &str) -> Result<Delivery, WebhookError> {
        let endpoint = self.enabled(owner, id).await?;
        let open = self.0.deliveries.scan_open(Some(&Delivery::tests_of(id)), 1).await?;
        if open.iter().any(|entry| entry.record.endpoint == id) {
            return Err(WebhookError::Testing);
        }
        // In the order in which they were asked for.
        let text = format!("{:011}{}", self.now().0, &self.random_hex()?[..8]);
        let delivery = Delivery::new(&endpoint.id, Subject::Test(text), self.now());
        let made = self.0.deliveries.create(delivery).await?;
        let made = made.ok_or_else(|| Fault::unavailable("store", "an id was given out twice"))?;
        self.ask(&made.record);
        Ok(made.record)
    }

    /// What one of them was sent, page by page; `after` is the `next` of the last.
    pub async fn deliveries(
        &self,
        owner: &str,
        id: &str,
        after: Option<&str>,
        count_max: usize,
    ) -> Result<Page, WebhookError> {
        self.mine(owner, id).await?;
        let after = match after {
            Some(after) => Delivery::key_of_id(id, after).ok_or(WebhookError::NotFound)?,
            None => Delivery::all_of(id),
        };
        let page = self.0.deliveries.scan_all(Some(&after), count_max).await?;
        let is_full = page.len() == count_max;
        let deliveries: Vec<_> = page
            .into_iter()
            .map(|entry| entry.record)
            .take_while(|delivery| delivery.endpoint == id)
            .collect();
        let next = deliveries.last().filter(|_| is_full && deliveries.len() == count_max).map(Delivery::id);
        Ok(Page { deliveries, next })
    }

    /// Sends one of them once more, from the first try on and with the same id.
    pub async fn redeliver(&self, owner: &str, id: &str, delivery: &str) -> Result<Delivery, WebhookError> {
        self.enabled(owner, id).await?;
        let key = Delivery::key_of_id(id, delivery).ok_or(WebhookError::NotFound)?;
        for _ in 0..TRIES_MAX {
            let entry = self.0.deliveries.load(&key).await?.ok_or(WebhookError::NotFound)?;
            match self.0.deliveries.apply(entry, DeliveryEvent::Redeliver, self.now()).await? {
                Applied::Done(entry) => {
                    self.ask(&entry.record);
                    return Ok(entry.record);
                }
                Applied::Impossible(_) => return Err(WebhookError::Cancelled),
                Applied::Stale => {}
            }
        }
        Err(Fault::unavailable("store", "too many write at once").into())
    }

    async fn mine(&self, owner: &str, id: &str) -> Result<Entry<WebhookEndpoint>, WebhookError> {
        if !WebhookEndpoint::is_id(id) {
            return Err(WebhookError::NotFound);
        }
        let entry = self.0.endpoints.load(id).await?;
        entry
            .filter(|entry| entry.record.owner == owner && !entry.record.is_final())
            .ok_or(WebhookError::NotFound)
    }

    async fn enabled(&self, owner: &str, id: &str) -> Result<WebhookEndpoint, WebhookError> {
        let endpoint = self.mine(owner, id).await?.record;
        if endpoint.state == EndpointState::Enabled { Ok(endpoint) } else { Err(WebhookError::Disabled) }
    }

    fn random_hex(&self) -> Result<String, Fault> {
        let mut bytes = [0; 16];
        self.0.random.fill(&mut bytes)?;
        Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

/// How an endpoint is signed for.
pub(crate) fn scheme(endpoint: &WebhookEndpoint) -> Scheme {
    endpoint.secrets.last().map_or(Scheme::V1, |secret| Scheme::of(&secret.text))
}

/// What receivers check with, where that is no secret.
pub(crate) fn public_keys(endpoint: &WebhookEndpoint) -> Vec<String> {
    endpoint.secrets.iter().filter_map(|secret| Key::of(&secret.text).ok()?.public()).collect()
}

/// What a receiver needs: the secret, or the public key.
fn shown(secret: String) -> String {
    Key::of(&secret).ok().and_then(|key| key.public()).unwrap_or(secret)
}
