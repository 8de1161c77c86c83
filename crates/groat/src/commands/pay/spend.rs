//! Who pays, and how much may be spent: flags of every command that pays.

use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Args;
use groat_buyer::{Buyer, Client, DenyAll, LocalSigner};
use groat_core::Price;
use groat_core::policy::Policy;
use groat_core::ports::Payer;
use groat_store::SqliteStore;

use crate::commands::wallet;
use crate::paths::DataDir;
use crate::registry;

/// Limits and key.
#[derive(Args)]
pub(crate) struct Spend {
    /// Most that may be paid for this, such as $0.05
    #[arg(long, value_name = "PRICE")]
    pub(crate) max: Option<String>,
    /// Most payments on this day (UTC), whatever they cost
    #[arg(long, value_name = "COUNT")]
    max_payments: Option<u64>,
    /// Sign a new payment although an earlier one may still be under way
    #[arg(long)]
    again: bool,
    /// Allow networks where money is real
    #[arg(long)]
    mainnet: bool,
    /// Allow payments over plain http to other machines
    #[arg(long)]
    plain_http: bool,
    /// Key to pay with
    #[arg(long, value_name = "NAME", default_value = "main")]
    wallet: String,
    /// Whether a person has typed what is paid, so that the totals of a day say nothing about it.
    #[arg(skip)]
    pub(crate) is_typed: bool,
}

/// Out of what is paid.
pub(crate) enum Purse {
    /// Whatever these can pay with.
    Wallet(Vec<Arc<dyn Payer>>),
    /// Balances that sellers keep, and nothing else.
    Balance,
}

/// A key in the environment, for development on test networks only.
const KEY_VARIABLE: &str = "GROAT_PRIVATE_KEY";

/// The key of the environment, else of a keystore file.
pub(crate) fn signer(name: &str, mainnet: bool, data: &DataDir) -> anyhow::Result<LocalSigner> {
    match std::env::var(KEY_VARIABLE) {
        Ok(_) if mainnet => {
            bail!("{KEY_VARIABLE} is for test networks: use a keystore file, see `groat wallet`")
        }
        Ok(text) => LocalSigner::from_hex(&text).context(KEY_VARIABLE),
        Err(_) => wallet::open(data, name),
    }
}

impl Spend {
    /// Whose key pays.
    pub(crate) fn signer(&self, data: &DataDir) -> anyhow::Result<LocalSigner> {
        signer(&self.wallet, self.mainnet, data)
    }

    /// A client within these limits.
    pub(crate) fn client(
        &self,
        purse: Purse,
        options: groat_buyer::Options,
        data: &DataDir,
    ) -> anyhow::Result<Client> {
        // What is in a balance was bought before, with money that this command cannot know; to name it is to allow it.
        let is_balance = matches!(purse, Purse::Balance);
        let mut policy = Policy {
            mainnet: self.mainnet || is_balance,
            plain_http: self.plain_http,
            day_payments_max: self.max_payments,
            ..Policy::default()
        };
        if let Some(max) = &self.max {
            let units =
                Price::parse(max).and_then(|price| price.to_units(6)).with_context(|| "--max".to_owned())?;
            policy.payment_usd_micros_max = units.to_string().parse().context("--max is too large")?;
            policy.host_day_usd_micros_max =
                policy.host_day_usd_micros_max.max(policy.payment_usd_micros_max);
            policy.day_usd_micros_max = policy.day_usd_micros_max.max(policy.payment_usd_micros_max);
        }
        if self.is_typed {
            (policy.host_day_usd_micros_max, policy.day_usd_micros_max) = (u64::MAX, u64::MAX);
        }
        Ok(Client::new(Buyer {
            signer: Arc::new(self.signer(data)?),
            policy,
            store: Arc::new(SqliteStore::open_shared(&data.file("purchases.db")?)?),
            payers: match purse {
                Purse::Wallet(payers) => payers,
                Purse::Balance => vec![registry::balance_payer()],
            },
            dialects: registry::dialects(),
            clock: registry::clock(),
            approver: Arc::new(DenyAll),
            options: groat_buyer::Options {
                again: self.again,
                published_keys: !self.mainnet,
                payees_forgotten: wallet::payees_forgotten(data)?,
                ..options
            },
        })?)
    }
}
