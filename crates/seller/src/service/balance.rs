//! Balances over HTTP: what is there, how it gets more, and what is given back.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use groat_core::books::Side;
use groat_core::ports::{BalanceError, Balances, Clock, StatementAsk};
use groat_core::{PaymentId, Price, Timestamp};
use groat_failpoints::reach;
use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{Request, Response, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tower::{Layer, ServiceExt};

use super::{PaymentService, asked};
use crate::canonical;
use crate::config::ConfigError;
use crate::gate::{self, PayLayer, Reply};
use crate::paid::Paid;
use crate::route::{RouteBuilder, Settle};

/// When a statement was asked for, in seconds; signed.
const TIMESTAMP: &str = "x-balance-timestamp";
/// By whom.
const SIGNATURE: &str = "x-balance-signature";
const LINES: usize = 50;
const REFUND_SIZE_BYTES_MAX: usize = 4 * 1024;
/// How often a balance that was paid for is added again while the store is away, and how long between.
const TRIES_MAX: u32 = 5;
const PAUSE: Duration = Duration::from_millis(200);

/// Balances, and the priced route that adds to them.
#[derive(Clone)]
pub(super) struct Till {
    pub(super) balances: Arc<dyn Balances>,
    clock: Arc<dyn Clock>,
    max: Price,
    layer: PayLayer,
}

impl Till {
    /// A till where payments of up to `max` add to balances.
    fn new(
        shop: &Arc<crate::pay::Shop>,
        balances: Arc<dyn Balances>,
        max: &str,
    ) -> Result<Self, ConfigError> {
        let wrong = |error| ConfigError::wrong("the largest top-up", error);
        let max = Price::parse(max).map_err(|error| wrong(error.to_string()))?;
        let (known, most) = (Arc::clone(&balances), max.clone());
        let layer = RouteBuilder::new(Arc::clone(shop))
            .price_fn(move |view| {
                let asked = Wish::of(view.path(), view.query());
                let checked = asked.and_then(|wish| wish.check(known.as_ref(), &most));
                async move { checked.map(|wish| wish.price) }
            })
            .settle(Settle::Before)
            .repeatable()
            .description("Adds to a balance")
            .build()?;
        Ok(Self { balances, clock: Arc::clone(&shop.clock), max, layer })
    }

    /// Adds what was paid for. The money has moved: what does not work now is tried again.
    async fn add(self, request: Request<Body>) -> Response<Body> {
        let (parts, _) = request.into_parts();
        let paid = parts.extensions.get::<Paid>().filter(|paid| !paid.by_pass);
        let wish = Wish::of(parts.uri.path(), parts.uri.query());
        let (Some(paid), Ok(wish)) = (paid, wish) else {
            let message = "only a payment adds to a balance";
            return Reply::error(StatusCode::BAD_REQUEST, "not_paid", message).response();
        };
        reach("KP22");
        let mut tries = 1;
        loop {
            let now = self.clock.now();
            match self.balances.top_up(&wish.account, &wish.price, paid.payment_id, now).await {
                Ok(posting) => {
                    let body = json!({
                        "account": posting.credit,
                        "currency": posting.currency,
                        "added": self.balances.in_words(&posting.currency, posting.amount),
                        "payment_id": paid.payment_id.to_string(),
                    });
                    return Reply::json(StatusCode::OK, &body).response();
                }
                Err(BalanceError::Fault(fault)) if tries < TRIES_MAX => {
                    tracing::warn!(%fault, payment = %paid.payment_id, "a balance that was paid for waits");
                    tries += 1;
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => {
                    // The operator can add it by `Balances::top_up`, with this payment's id.
                    tracing::error!(%error, payment = %paid.payment_id, "paid, and the balance is not there");
                    return refused(&error).response();
                }
            }
        }
    }
}

/// So much for this account, as it was asked for.
struct Wish {
    account: String,
    price: Price,
}

impl Wish {
    /// Reads `/x402/balance/{account}/topup?amount=5.00`.
    fn of(path: &str, query: Option<&str>) -> Result<Self, String> {
        let path = canonical::path(path).map_err(|error| error.to_string())?;
        let path = canonical::decoded(&path);
        let named = path.strip_prefix(super::BASE).and_then(|rest| rest.strip_prefix("balance/"));
        let account = named.and_then(|rest| rest.strip_suffix("/topup")).ok_or("there is nothing here")?;
        let asked = asked(query, "amount").ok_or("say how much: ?amount=5.00")?;
        let price = Price::parse(&asked).map_err(|error| error.to_string())?;
        Ok(Self { account: account.to_owned(), price })
    }

    fn check(self, balances: &dyn Balances, max: &Price) -> Result<Self, String> {
        let told = |error: BalanceError| error.to_string();
        let (_, _, amount) = balances.top_up_of(&self.account, &self.price).map_err(told)?;
        let (_, _, most) = balances.top_up_of(&self.account, max).map_err(told)?;
        if amount > most {
            return Err(format!("at most {max} is added at once"));
        }
        Ok(self)
    }
}

impl PaymentService {
    /// Keeps balances that payers can top up by up to `top_up_max` (such as `$100`) at once, and look at.
    pub fn balances(self, balances: Arc<dyn Balances>, top_up_max: &str) -> Result<Self, ConfigError> {
        let till = Till::new(&self.shop, balances, top_up_max)?;
        Ok(Self { till: Some(till), ..self })
    }

    /// Lets whoever has this key give payments back. Without one nobody can: an address proves nothing behind a proxy.
    #[must_use]
    pub fn operator_key(self, key: &str) -> Self {
        self.operator_digest(Sha256::digest(key).into())
    }

    /// The same by the SHA-256 of the key, for services that are not to know it.
    #[must_use]
    pub fn operator_digest(self, sha256: [u8; 32]) -> Self {
        Self { operator: Some(sha256), ..self }
    }

    fn till(&self) -> Result<&Till, Reply> {
        let message = "no balances are kept here";
        self.till.as_ref().ok_or_else(|| Reply::error(StatusCode::NOT_FOUND, "not_found", message))
    }

    /// What happened to an account, for its holder.
    pub(super) async fn statement(&self, parts: &Parts, account: &str) -> Result<Response<Body>, Reply> {
        let till = self.till()?;
        let field =
            |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let query = parts.uri.query();
        let number = |name: &str| match asked(query, name) {
            None => Ok(None),
            Some(text) => text.parse::<u64>().map(Some).map_err(|_| wrong(&format!("`{name}` is no number"))),
        };
        let (after, lines) = (number("after")?, number("limit")?);
        let currency = asked(query, "currency");
        let origin = self.own_origin(parts)?;
        let ask = StatementAsk {
            account,
            service: &origin,
            currency: currency.as_deref(),
            signed_at: Timestamp(field(TIMESTAMP).parse().unwrap_or_default()),
            signature: field(SIGNATURE),
            after: after.unwrap_or_default(),
            count_max: lines.map_or(LINES, |lines| usize::try_from(lines).unwrap_or(LINES)),
            now: self.shop.now(),
        };
        let statement = till.balances.statement(ask).await.map_err(|error| refused(&error))?;
        let words = |amount| till.balances.in_words(&statement.currency, amount);
        let lines: Vec<Value> = statement
            .lines
            .iter()
            .map(|line| {
                json!({
                    "number": line.number,
                    "kind": line.cause.word(),
                    "direction": if line.side == Side::Credit { "in" } else { "out" },
                    "amount": words(line.amount),
                    "with": line.with,
                    "cause": line.cause,
                    "balance": words(line.balance),
                    "at": line.at.0,
                })
            })
            .collect();
        let body = json!({
            "account": statement.account,
            "currency": statement.currency,
            "balance": words(statement.balance),
            "entries": lines,
            "next": statement.next,
        });
        Ok(Reply::json(StatusCode::OK, &body).response())
    }

    /// A payment that adds to a balance.
    pub(super) async fn top_up(&self, parts: Parts, body: Body) -> Result<Response<Body>, Reply> {
        let till = self.till()?.clone();
        let wish = Wish::of(parts.uri.path(), parts.uri.query());
        wish.and_then(|wish| wish.check(till.balances.as_ref(), &till.max)).map_err(|told| wrong(&told))?;
        let layer = till.layer.clone();
        let inner = tower::service_fn(move |request| {
            let till = till.clone();
            async move { Ok::<_, Infallible>(till.add(request).await) }
        });
        let answer = layer.layer(inner).oneshot(Request::from_parts(parts, body)).await;
        answer.map_err(|never| match never {})
    }

    /// Gives a payment out of a balance back.
    pub(super) async fn refund(&self, parts: &Parts, id: &str, body: Body) -> Result<Response<Body>, Reply> {
        let till = self.till()?;
        let key =
            parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        let is_operator = key.is_some_and(|key| Some(Sha256::digest(key).into()) == self.operator);
        if !is_operator {
            let message =
                "payments are given back by the operator: send its key as `Authorization: Bearer KEY`";
            return Err(Reply::error(StatusCode::UNAUTHORIZED, "operator_only", message));
        }
        let message = "no payment out of a balance with this id is known here";
        let id = PaymentId::parse(id)
            .map_err(|_| Reply::error(StatusCode::NOT_FOUND, "unknown_payment", message))?;
        let body = gate::whole(&self.shop, parts, body, REFUND_SIZE_BYTES_MAX).await?;
        let amount = match body.trim_ascii() {
            b"" => None,
            text => {
                let value: Value = serde_json::from_slice(text).map_err(|_| wrong("the body is no JSON"))?;
                let amount = value.get("amount").filter(|amount| !amount.is_null());
                let read = |amount: &Value| {
                    amount.as_str().map(str::to_owned).ok_or_else(|| wrong("`amount` is no text"))
                };
                amount.map(read).transpose()?
            }
        };
        let posting = till.balances.refund(id, amount.as_deref(), self.shop.now()).await;
        let posting = posting.map_err(|error| refused(&error))?;
        let body = json!({
            "payment_id": id.to_string(),
            "status": "refunded",
            "account": posting.credit,
            "currency": posting.currency,
            "amount": till.balances.in_words(&posting.currency, posting.amount),
        });
        Ok(Reply::json(StatusCode::OK, &body).response())
    }

    /// How much of a payment was given back, in words; `None` when nothing was.
    pub(super) async fn refunded(&self, id: PaymentId) -> Result<Option<String>, groat_core::Fault> {
        let Some(till) = &self.till else { return Ok(None) };
        let Some(debit) = till.balances.debit(id).await? else { return Ok(None) };
        Ok(debit.refunded.map(|amount| till.balances.in_words(&debit.currency, amount)))
    }
}

fn wrong(told: &str) -> Reply {
    Reply::error(StatusCode::BAD_REQUEST, "invalid_request", told)
}

fn refused(error: &BalanceError) -> Reply {
    let told = error.to_string();
    match error {
        BalanceError::Wrong(_) => wrong(&told),
        BalanceError::NotSigned => Reply::error(StatusCode::UNAUTHORIZED, "not_signed", &told),
        BalanceError::Unknown => Reply::error(StatusCode::NOT_FOUND, "unknown_payment", &told),
        BalanceError::Conflict => Reply::error(StatusCode::CONFLICT, "done_before", &told),
        BalanceError::Fault(fault) => {
            tracing::warn!(%fault, "a balance cannot be looked up");
            let message = "balances cannot be looked up now: ask again later";
            Reply::error(StatusCode::SERVICE_UNAVAILABLE, "store_unavailable", message)
                .retry_after(fault.retry_after_s())
        }
    }
}
