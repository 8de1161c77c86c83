//! The tokens we know: `assets.json`, taken from the default tables of the official SDKs.

use std::sync::LazyLock;

use alloy_primitives::Address;
use groat_core::Network;
use serde::Deserialize;

/// How a token can be moved by somebody else's transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transfer {
    /// `transferWithAuthorization` (EIP-3009).
    Eip3009,
    /// Only through Uniswap's Permit2.
    Permit2,
    /// Through Permit2, allowed by an EIP-2612 permit.
    Permit2Eip2612,
}

/// One token of the table.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asset {
    /// Where it lives.
    pub network: Network,
    /// Its contract.
    pub asset: Address,
    /// For people.
    pub symbol: String,
    /// EIP-712 domain name: the token's on-chain `name()`.
    pub name: String,
    /// EIP-712 domain version.
    pub version: String,
    /// Decimals of the atomic unit.
    pub decimals: u8,
    /// How it moves.
    pub transfer: Transfer,
}

static TABLE: LazyLock<Vec<Asset>> = LazyLock::new(|| {
    serde_json::from_str(include_str!("assets.json")).expect("assets.json is read by a test of this crate")
});

/// All known tokens; the first of a network is what `$0.01` means there.
pub fn all() -> &'static [Asset] {
    &TABLE
}

/// The token at this contract.
pub fn find(network: &Network, asset: Address) -> Option<&'static Asset> {
    TABLE.iter().find(|known| known.asset == asset && known.network == *network)
}

/// The token for a price on this network: the named one, or the default.
pub fn for_price(network: &Network, ticker: Option<&str>) -> Option<&'static Asset> {
    TABLE
        .iter()
        .filter(|known| known.network == *network)
        .find(|known| ticker.is_none_or(|ticker| known.symbol.eq_ignore_ascii_case(ticker)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_reads_and_names_no_token_twice() {
        for (index, asset) in all().iter().enumerate() {
            assert!(
                !all()[..index]
                    .iter()
                    .any(|other| other.network == asset.network && other.asset == asset.asset)
            );
        }
        assert_eq!(for_price(&Network::eip155(8453), None).unwrap().name, "USD Coin");
        assert_eq!(for_price(&Network::eip155(42220), Some("USDT")).unwrap().name, "Tether USD");
        assert_eq!(for_price(&Network::eip155(56), None), None);
    }
}
