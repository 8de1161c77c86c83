//! Ways to pay without a chain in the sample universe: balances, and a checkout that takes money which is none.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::get;
use groat_chain_ledger::{CheckoutOrders, Currency, MockDriver, checkout};
use groat_core::offer::Ask;
use groat_core::ports::{Cashier, Checkouts, Mechanism, Observer, Store};
use groat_core::{Network, Price, Terms};
use groat_facilitator::http::digest;
use groat_seller::{ConfigError, PaymentService};
use http::StatusCode;

use super::CHAIN_ID;
use crate::accounts::Accounts;
use crate::{registry, sweep};

/// What can be put into a balance at once here.
const TOP_UP_MAX: &str = "$100";
/// Gives payments out of balances back. Everybody may know it: the money is none.
pub(crate) const REFUND_KEY: &str = "play-money";
/// Seconds that a payment may take.
const TIMEOUT_S: u64 = 60;

/// Balances and orders of the sample API.
pub(super) struct Offchain {
    accounts: Accounts,
    checkout: Checkout,
    orders: CheckoutOrders,
}

/// The page where orders are paid, with nothing.
#[derive(Clone)]
struct Checkout {
    driver: Arc<MockDriver>,
    gate_url: String,
    http: reqwest::Client,
}

impl Offchain {
    /// At the gate with this URL.
    pub(super) fn open(store: &Arc<dyn Store>, gate_url: &str) -> anyhow::Result<Self> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(|error| anyhow::anyhow!("no randomness: {error}"))?;
        let driver = Arc::new(MockDriver::new(secret, gate_url));
        let orders = CheckoutOrders::new(driver.clone(), vec![Currency::USD], Arc::clone(store));
        let orders = orders.map_err(anyhow::Error::msg)?;
        let tended = orders.clone();
        sweep::start("orders", sweep::INTERVAL, move || {
            let orders = tended.clone();
            async move { orders.tend(registry::clock().now()).await }
        });
        let (gate_url, http) = (gate_url.to_owned(), reqwest::Client::new());
        Ok(Self {
            accounts: Accounts::open(store, &Network::eip155(CHAIN_ID), format!("{gate_url}/token"))?,
            checkout: Checkout { driver, gate_url, http },
            orders,
        })
    }

    pub(super) fn mechanisms(&self) -> [Arc<dyn Mechanism>; 2] {
        [self.accounts.mechanism(), Arc::new(self.orders.clone())]
    }

    pub(super) fn observer(&self) -> Arc<dyn Observer> {
        Arc::new(self.orders.clone())
    }

    pub(super) fn cashier(&self) -> Arc<dyn Cashier> {
        self.accounts.cashier()
    }

    /// So much, out of a balance or by an order.
    pub(super) fn terms(&self, price: &str, pay_to: &str) -> anyhow::Result<[Terms; 2]> {
        let price = Price::parse(price)?;
        let order = Terms {
            scheme: checkout::SCHEME.to_owned(),
            network: self.orders.network().clone(),
            price: Ask::Price(price.clone()),
            pay_to: pay_to.to_owned(),
            timeout_s: TIMEOUT_S,
        };
        Ok([self.accounts.terms(price, pay_to, TIMEOUT_S), order])
    }

    pub(super) fn serve(&self, service: PaymentService) -> Result<PaymentService, ConfigError> {
        let service = self.accounts.serve(service, TOP_UP_MAX, Some(digest(REFUND_KEY)))?;
        Ok(service.checkout(Arc::new(self.orders.clone())))
    }

    /// Where the links of orders lead.
    pub(super) fn pages(&self) -> Router {
        Router::new().route("/pay/{page}", get(show).post(pay)).with_state(self.checkout.clone())
    }
}

async fn show(Path(page): Path<String>, State(checkout): State<Checkout>) -> (StatusCode, String) {
    match checkout.driver.order_of(&page) {
        Some(_) => {
            let how = format!("curl -X POST {}/pay/{page}", checkout.gate_url);
            (StatusCode::OK, format!("Nobody takes money here. This counts as paid after:\n\n  {how}\n"))
        }
        None => unknown(),
    }
}

/// The payer pays, and whoever takes the money tells the seller so.
async fn pay(Path(page): Path<String>, State(checkout): State<Checkout>) -> (StatusCode, String) {
    let paid = checkout.driver.order_of(&page).and_then(|order| checkout.driver.pay(&order));
    let Some((fields, body)) = paid else { return unknown() };
    let url = format!("{}/x402/webhooks/mock", checkout.gate_url);
    let webhook = checkout.http.post(url).body(body);
    let webhook = fields.into_iter().fold(webhook, |webhook, (name, value)| webhook.header(name, value));
    match webhook.send().await {
        Ok(answer) if answer.status().is_success() => (StatusCode::OK, "paid with nothing\n".to_owned()),
        // Whoever asks for the token is told all the same: then the order is asked about.
        _ => (StatusCode::ACCEPTED, "paid with nothing; the seller was not reached\n".to_owned()),
    }
}

fn unknown() -> (StatusCode, String) {
    (StatusCode::NOT_FOUND, "there is no such order\n".to_owned())
}
