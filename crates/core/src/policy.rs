//! The buyer's policy: data plus one pure function that says yes, ask or no.

use serde::{Deserialize, Serialize};

use crate::{Network, Timestamp};

/// What a buyer allows. The defaults are meant to be safe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// Most for one payment, in millionths of a dollar.
    pub payment_usd_micros_max: u64,
    /// Most for one host and UTC day.
    pub host_day_usd_micros_max: u64,
    /// Most for all hosts and UTC day.
    pub day_usd_micros_max: u64,
    /// Most payments to all hosts on a UTC day, whatever they cost; none means as many as the money allows.
    pub day_payments_max: Option<u64>,
    /// Whether real money may be spent.
    pub mainnet: bool,
    /// Networks allowed; empty means all that the other rules allow.
    pub networks: Vec<Network>,
    /// Hosts allowed; empty means all.
    pub hosts: Vec<String>,
    /// Hosts never paid.
    pub hosts_denied: Vec<String>,
    /// Whether plain http to another machine may carry a payment.
    pub plain_http: bool,
    /// Longest validity of an authorization, in seconds.
    pub window_s_max: u64,
    /// Above this a person is asked, in millionths of a dollar.
    pub ask_above_usd_micros: Option<u64>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            payment_usd_micros_max: 100_000,
            host_day_usd_micros_max: 1_000_000,
            day_usd_micros_max: 5_000_000,
            day_payments_max: None,
            mainnet: false,
            networks: Vec::new(),
            hosts: Vec::new(),
            hosts_denied: Vec::new(),
            plain_http: false,
            window_s_max: 300,
            ask_above_usd_micros: None,
        }
    }
}

/// What is asked of the policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayAsk {
    /// The host that was really asked (threat row B12).
    pub host: String,
    /// Whether the way there is encrypted or stays on this machine.
    pub private_way: bool,
    /// The chain.
    pub network: Network,
    /// The price in millionths of a dollar, rounded up; `None` when the token is not known.
    pub usd_micros: Option<u64>,
    /// Who is paid.
    pub pay_to: String,
    /// Who was paid on this host before, where anybody was (threat row Y03).
    pub pay_to_before: Option<String>,
}

/// What has been spent, counting everything that is not proved unpaid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spent {
    /// On this host today.
    pub host_day_usd_micros: u64,
    /// Everywhere today.
    pub day_usd_micros: u64,
    /// In so many payments.
    pub day_payments: u64,
}

/// What the policy says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Yes, by this rule.
    Allow(String),
    /// A person has to say.
    Ask(String),
    /// No, and how to change that.
    Deny(Denial),
}

/// Why the policy says no.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// Not a token of known value.
    #[error("the token is not on the list of known assets")]
    UnknownAsset,
    /// Real money is not allowed.
    #[error("{0} carries real money: allow it with --mainnet")]
    Mainnet(Network),
    /// The network is not on the list.
    #[error("the network {0} is not allowed by the policy")]
    Network(Network),
    /// The host is not on the list.
    #[error("the host {0} is not allowed by the policy")]
    Host(String),
    /// The payment would travel in the clear.
    #[error(
        "{0} is plain http: a payment would travel in the clear; use https or allow it with --plain-http"
    )]
    PlainHttp(String),
    /// More than one payment may cost.
    #[error("the price {} is above the limit of {} for one payment: raise it with --max {}", usd(*.asked), usd(*.limit), usd(*.asked))]
    Payment {
        /// The price.
        asked: u64,
        /// The limit.
        limit: u64,
    },
    /// More than a host may cost a day.
    #[error("this payment would bring today's total for {host} to {}, above the limit of {}", usd(*.total), usd(*.limit))]
    HostDay {
        /// Which host.
        host: String,
        /// With this payment.
        total: u64,
        /// The limit.
        limit: u64,
    },
    /// More than a day may cost.
    #[error("this payment would bring today's total to {}, above the limit of {}", usd(*.total), usd(*.limit))]
    Day {
        /// With this payment.
        total: u64,
        /// The limit.
        limit: u64,
    },
    /// As many payments as a day may have.
    #[error(
        "there were {count} payments today already, and the limit is {limit}: raise it with --max-payments"
    )]
    Payments {
        /// Payments of today.
        count: u64,
        /// The limit.
        limit: u64,
    },
    /// The payee changed since the last payment to this host.
    #[error(
        "{host} was paid at {before} before and now asks for {now}: check with the seller, then run `groat wallet forget {host}`"
    )]
    PayeeChanged {
        /// Which host.
        host: String,
        /// Then.
        before: String,
        /// Now.
        now: String,
    },
}

/// Millionths of a dollar for people.
pub fn usd(micros: u64) -> String {
    format!("${}", crate::Amount::from_units(micros.into()).to_decimal(6))
}

impl Policy {
    /// Decides about one payment. Denies whatever no rule allows.
    pub fn decide(&self, ask: &PayAsk, spent: &Spent, _now: Timestamp) -> Decision {
        match self.check(ask, spent) {
            Err(denial) => Decision::Deny(denial),
            Ok(price) if self.ask_above_usd_micros.is_some_and(|limit| price > limit) => Decision::Ask(
                format!("{} is above {}", usd(price), usd(self.ask_above_usd_micros.unwrap_or(0))),
            ),
            Ok(price) => Decision::Allow(format!("{} is within the limits", usd(price))),
        }
    }

    fn check(&self, ask: &PayAsk, spent: &Spent) -> Result<u64, Denial> {
        let listed = |list: &[String]| list.iter().any(|host| host.eq_ignore_ascii_case(&ask.host));
        if listed(&self.hosts_denied) || (!self.hosts.is_empty() && !listed(&self.hosts)) {
            return Err(Denial::Host(ask.host.clone()));
        }
        if !ask.private_way && !self.plain_http {
            return Err(Denial::PlainHttp(ask.host.clone()));
        }
        if !self.networks.is_empty() && !self.networks.contains(&ask.network) {
            return Err(Denial::Network(ask.network.clone()));
        }
        if !self.mainnet && !ask.network.is_testnet() {
            return Err(Denial::Mainnet(ask.network.clone()));
        }
        let Some(price) = ask.usd_micros else { return Err(Denial::UnknownAsset) };
        if price > self.payment_usd_micros_max {
            return Err(Denial::Payment { asked: price, limit: self.payment_usd_micros_max });
        }
        let total = spent.host_day_usd_micros.saturating_add(price);
        if total > self.host_day_usd_micros_max {
            return Err(Denial::HostDay {
                host: ask.host.clone(),
                total,
                limit: self.host_day_usd_micros_max,
            });
        }
        let total = spent.day_usd_micros.saturating_add(price);
        if total > self.day_usd_micros_max {
            return Err(Denial::Day { total, limit: self.day_usd_micros_max });
        }
        if let Some(limit) = self.day_payments_max.filter(|limit| spent.day_payments >= *limit) {
            return Err(Denial::Payments { count: spent.day_payments, limit });
        }
        match &ask.pay_to_before {
            Some(before) if *before != ask.pay_to => Err(Denial::PayeeChanged {
                host: ask.host.clone(),
                before: before.clone(),
                now: ask.pay_to.clone(),
            }),
            _ => Ok(price),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(usd_micros: u64) -> PayAsk {
        PayAsk {
            host: "api.example.com".into(),
            private_way: true,
            network: Network::eip155(84532),
            usd_micros: Some(usd_micros),
            pay_to: "0x1".into(),
            pay_to_before: None,
        }
    }

    fn denial(policy: &Policy, ask: &PayAsk, spent: Spent) -> Option<Denial> {
        match policy.decide(ask, &spent, Timestamp(0)) {
            Decision::Deny(denial) => Some(denial),
            _ => None,
        }
    }

    #[test]
    fn y01_a_price_above_the_cap_is_denied_before_anything_is_signed() {
        let policy = Policy::default();
        assert_eq!(denial(&policy, &ask(100_000), Spent::default()), None);
        assert!(matches!(denial(&policy, &ask(100_001), Spent::default()), Some(Denial::Payment { .. })));
    }

    #[test]
    fn y02_many_small_payments_end_at_the_daily_budgets() {
        let policy = Policy::default();
        let spent = Spent { host_day_usd_micros: 950_000, day_usd_micros: 950_000, ..Spent::default() };
        assert!(matches!(denial(&policy, &ask(60_000), spent), Some(Denial::HostDay { .. })));
        let spent = Spent { day_usd_micros: 4_950_000, ..Spent::default() };
        assert!(matches!(denial(&policy, &ask(60_000), spent), Some(Denial::Day { .. })));
        let spent = Spent { host_day_usd_micros: u64::MAX, day_usd_micros: u64::MAX, ..Spent::default() };
        assert!(denial(&policy, &ask(1), spent).is_some());
    }

    #[test]
    fn r0_34_many_payments_end_at_their_number_whatever_they_cost() {
        let policy = Policy { day_payments_max: Some(2), ..Policy::default() };
        let after = |day_payments| denial(&policy, &ask(1), Spent { day_payments, ..Spent::default() });
        assert_eq!(after(1), None);
        assert_eq!(after(2), Some(Denial::Payments { count: 2, limit: 2 }));
        assert_eq!(
            denial(&Policy::default(), &ask(1), Spent { day_payments: 9_999, ..Spent::default() }),
            None
        );
        let none = Policy { day_payments_max: Some(0), ..Policy::default() };
        assert!(denial(&none, &ask(1), Spent::default()).is_some());
    }

    #[test]
    fn y03_y07_y08_y15_strangers_are_denied() {
        let policy = Policy::default();
        let other = PayAsk { pay_to_before: Some("0x2".into()), ..ask(1) };
        assert!(matches!(denial(&policy, &other, Spent::default()), Some(Denial::PayeeChanged { .. })));
        let unknown = PayAsk { usd_micros: None, ..ask(1) };
        assert_eq!(denial(&policy, &unknown, Spent::default()), Some(Denial::UnknownAsset));
        let mainnet = PayAsk { network: Network::eip155(8453), ..ask(1) };
        assert!(matches!(denial(&policy, &mainnet, Spent::default()), Some(Denial::Mainnet(_))));
        let clear = PayAsk { private_way: false, ..ask(1) };
        assert!(matches!(denial(&policy, &clear, Spent::default()), Some(Denial::PlainHttp(_))));
    }
}
