//! `[gate.balance]`: balances that payers keep with the gate's payment service.

use alloy_primitives::hex;
use groat_core::Price;
use serde::Deserialize;
use toml::Spanned;

use super::{GateConfig, RouteConfig, Source};

/// What can be put into a balance at once unless the file says otherwise.
const TOP_UP_MAX: &str = "$100";

/// `[gate.balance]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BalanceConfig {
    /// Most that one payment may add.
    top_up_max: Option<Spanned<String>>,
    /// The digest of the key that gives payments back, in hex; the key itself stands nowhere.
    refund_key_sha256: Option<Spanned<String>>,
}

impl BalanceConfig {
    /// Most that one payment may add.
    pub(crate) fn top_up_max(&self) -> &str {
        self.top_up_max.as_ref().map_or(TOP_UP_MAX, |price| price.get_ref())
    }

    /// The SHA-256 of the key that gives payments back; without one nobody can.
    pub(crate) fn refund_key(&self, source: &Source) -> anyhow::Result<Option<[u8; 32]>> {
        let Some(text) = &self.refund_key_sha256 else { return Ok(None) };
        let mut digest = [0; 32];
        // The text is not quoted: it may be the key itself, put into the wrong place.
        hex::decode_to_slice(text.get_ref(), &mut digest).map_err(|_| {
            let mend = "make a key with `groat facilitator key new refunds` and paste its sha256";
            source.wrong(Some(text.span()), "this is not the SHA-256 of a key", mend)
        })?;
        Ok(Some(digest))
    }
}

/// What is wrong with `[gate.balance]` and the routes that name it.
pub(super) fn check(gate: &GateConfig, source: &Source) -> anyhow::Result<()> {
    let taking = || gate.route.iter().filter_map(|route| Some((route, route.balance.as_ref()?)));
    let mut taking = taking().filter(|(_, takes)| *takes.get_ref()).peekable();
    match &gate.balance {
        None => {}
        Some(balance) => {
            balance.get_ref().refund_key(source)?;
            if let Some(text) = &balance.get_ref().top_up_max {
                in_dollars(text, source)?;
            }
            if taking.peek().is_none() {
                let mend = "write `balance = true` into each [[gate.route]] that debits may pay for";
                return Err(source.wrong(Some(balance.span()), "no route is paid out of balances", mend));
            }
        }
    }
    taking.try_for_each(|(route, takes)| check_route(gate, route, takes, source))
}

fn check_route(
    gate: &GateConfig,
    route: &RouteConfig,
    takes: &Spanned<bool>,
    source: &Source,
) -> anyhow::Result<()> {
    let wrong = |what: &str, mend: &str| Err(source.wrong(Some(takes.span()), what, mend));
    if gate.balance.is_none() {
        return wrong("no balances are kept here", "write [gate.balance] above the routes");
    }
    if route.pass.is_none() {
        return wrong(
            "a debit buys a pass, and this route gives none",
            "write pass = { ttl_s = 300 } as well",
        );
    }
    in_dollars(&route.price, source)
}

/// Balances are in dollars.
fn in_dollars(text: &Spanned<String>, source: &Source) -> anyhow::Result<()> {
    let mend = "write it in dollars, like \"$0.01\": balances are kept in them";
    match Price::parse(text.get_ref()) {
        Ok(price) if price.ticker().is_none() => Ok(()),
        Ok(_) => {
            Err(source.wrong(Some(text.span()), &format!("`{}` is a price in a token", text.get_ref()), mend))
        }
        Err(error) => Err(source.wrong(Some(text.span()), &error.to_string(), mend)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;

    fn mistake(text: &str) -> String {
        Config::parse("groat.toml".into(), text.to_owned()).map(|_| ()).unwrap_err().to_string()
    }

    fn route(more: &str) -> String {
        format!("[[gate.route]]\nmatch = \"/a\"\nprice = \"$0.01\"\n{more}")
    }

    #[test]
    fn a_mistake_about_balances_names_its_line_and_how_to_mend() {
        let taken = "pass = { ttl_s = 60 }\nbalance = true\n";
        let good = format!("[gate.balance]\n{}", route(taken));
        assert!(Config::parse("groat.toml".into(), good).is_ok());
        for (text, start, part) in [
            (route("balance = true\n"), "groat.toml:4: ", "write [gate.balance]"),
            (
                format!("[gate.balance]\n{}", route("balance = true\n")),
                "groat.toml:5: ",
                "this route gives none",
            ),
            (
                format!("[gate.balance]\n{}", route("balance = false\n")),
                "groat.toml:1: ",
                "write `balance = true`",
            ),
            (format!("[gate.balance]\ncurrency = \"EUR\"\n{}", route(taken)), "groat.toml:2: ", "`currency`"),
            (
                format!("[gate.balance]\ntop_up_max = \"5 USDC\"\n{}", route(taken)),
                "groat.toml:2: ",
                "`5 USDC` is a price in a token",
            ),
            (
                format!("[gate.balance]\n{}", route(taken).replace("$0.01", "0.01 USDC")),
                "groat.toml:4: ",
                "`0.01 USDC` is a price in a token",
            ),
        ] {
            let message = mistake(&text);
            assert!(message.starts_with(start) && message.contains(part), "{message}");
        }
        let secret = format!("[gate.balance]\nrefund_key_sha256 = \"groat_secret\"\n{}", route(taken));
        let message = mistake(&secret);
        assert!(message.starts_with("groat.toml:2: ") && message.contains("key new"), "{message}");
        assert!(!message.contains("secret"), "{message}");
    }
}
