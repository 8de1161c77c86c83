//! Networks: CAIP-2 inside, x402 v1 names at the edge.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A chain by its CAIP-2 name, such as `eip155:84532`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network(Arc<str>);

/// Why a text is not a network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a network: write a CAIP-2 name such as eip155:8453 or an x402 v1 name such as base")]
pub struct NetworkError;

/// What we know of a chain that the protocols do not say.
#[derive(Debug, Clone, Copy)]
pub struct KnownNetwork {
    /// The EIP-155 chain id.
    pub chain_id: u64,
    /// The name in x402 version 1, where it has one (the official TypeScript table).
    pub v1: Option<&'static str>,
    /// What people call it.
    pub name: &'static str,
    /// Whether its money is worthless.
    pub testnet: bool,
}

const fn known(chain_id: u64, v1: &'static str, name: &'static str, testnet: bool) -> KnownNetwork {
    let v1 = if v1.is_empty() { None } else { Some(v1) };
    KnownNetwork { chain_id, v1, name, testnet }
}

/// Every EVM chain that an official SDK has a name or a default asset for.
pub const KNOWN: &[KnownNetwork] = &[
    known(8453, "base", "Base", false),
    known(84532, "base-sepolia", "Base Sepolia", true),
    known(1, "ethereum", "Ethereum", false),
    known(11_155_111, "sepolia", "Sepolia", true),
    known(43114, "avalanche", "Avalanche", false),
    known(43113, "avalanche-fuji", "Avalanche Fuji", true),
    known(137, "polygon", "Polygon", false),
    known(80002, "polygon-amoy", "Polygon Amoy", true),
    known(2741, "abstract", "Abstract", false),
    known(11124, "abstract-testnet", "Abstract testnet", true),
    known(4689, "iotex", "IoTeX", false),
    known(1329, "sei", "Sei", false),
    known(1328, "sei-testnet", "Sei testnet", true),
    known(3338, "peaq", "peaq", false),
    known(1514, "story", "Story", false),
    known(41923, "educhain", "EDU Chain", false),
    known(324_705_682, "skale-base-sepolia", "SKALE Base Sepolia", true),
    known(4326, "megaeth", "MegaETH", false),
    known(143, "monad", "Monad", false),
    known(10143, "monad-testnet", "Monad testnet", true),
    known(988, "stable", "Stable", false),
    known(2201, "stable-testnet", "Stable testnet", true),
    known(42220, "celo", "Celo", false),
    known(11_142_220, "", "Celo Sepolia", true),
    known(14, "flare", "Flare", false),
    known(42161, "", "Arbitrum One", false),
    known(421_614, "", "Arbitrum Sepolia", true),
    known(31612, "", "Mezo", false),
    known(31611, "", "Mezo testnet", true),
    known(723_487, "", "Radius", false),
    known(72344, "", "Radius testnet", true),
    known(36900, "", "ADI", false),
    known(190_415, "", "HPP", false),
    known(181_228, "", "HPP Sepolia", true),
    known(50, "", "XDC", false),
    known(51, "", "XDC Apothem", true),
    known(38833, "", "Igra", false),
    known(5042, "", "Arc", false),
    known(5_042_002, "", "Arc testnet", true),
];

impl Network {
    /// The EVM chain with this id.
    pub fn eip155(chain_id: u64) -> Self {
        Self(format!("eip155:{chain_id}").into())
    }

    /// Reads CAIP-2 (`namespace:reference`, CAIP-2 section "Syntax") or an x402 v1 name.
    pub fn parse(text: &str) -> Result<Self, NetworkError> {
        match text.split_once(':') {
            Some((namespace, reference)) => Self::from_caip2(namespace, reference),
            None => KNOWN
                .iter()
                .find(|known| known.v1 == Some(text))
                .map(|known| Self::eip155(known.chain_id))
                .ok_or(NetworkError),
        }
    }

    fn from_caip2(namespace: &str, reference: &str) -> Result<Self, NetworkError> {
        let namespace_ok = (3..=8).contains(&namespace.len())
            && namespace.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        let reference_ok = (1..=32).contains(&reference.len())
            && reference.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if !namespace_ok || !reference_ok {
            return Err(NetworkError);
        }
        // One chain has one name: `eip155:01` must not be a second key space beside `eip155:1`.
        if namespace == "eip155" {
            let id: u64 = reference.parse().map_err(|_| NetworkError)?;
            if reference != id.to_string() {
                return Err(NetworkError);
            }
        }
        Ok(Self(format!("{namespace}:{reference}").into()))
    }

    /// The CAIP-2 name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part before the colon, such as `eip155`.
    pub fn namespace(&self) -> &str {
        self.0.split_once(':').map_or("", |(namespace, _)| namespace)
    }

    /// The chain id, for EVM chains.
    pub fn chain_id(&self) -> Option<u64> {
        self.0.strip_prefix("eip155:")?.parse().ok()
    }

    /// What is known of it.
    pub fn known(&self) -> Option<&'static KnownNetwork> {
        let id = self.chain_id()?;
        KNOWN.iter().find(|known| known.chain_id == id)
    }

    /// The x402 version 1 name, where there is one.
    pub fn v1_name(&self) -> Option<&'static str> {
        self.known()?.v1
    }

    /// Whether its money is known to be worthless; an unknown chain is not.
    pub fn is_testnet(&self) -> bool {
        self.known().is_some_and(|known| known.testnet)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for Network {
    type Err = NetworkError;
    fn from_str(text: &str) -> Result<Self, NetworkError> {
        Self::parse(text)
    }
}

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_both_generations_mean_the_same_chain() {
        assert_eq!(Network::parse("base-sepolia").unwrap(), Network::eip155(84532));
        assert_eq!(Network::eip155(84532).v1_name(), Some("base-sepolia"));
        assert_eq!(Network::eip155(42161).v1_name(), None);
    }

    #[test]
    fn one_chain_has_one_name() {
        for bad in [
            "eip155:01",
            "eip155:+1",
            "eip155:",
            ":1",
            "eip155:99999999999999999999",
            "EIP155:1",
            "nope",
            "a:b",
        ] {
            assert_eq!(Network::parse(bad), Err(NetworkError), "{bad}");
        }
        assert!(Network::parse("solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp").is_ok());
    }

    #[test]
    fn an_unknown_chain_is_not_a_testnet() {
        assert!(!Network::eip155(999_999).is_testnet());
        assert!(Network::eip155(84532).is_testnet());
    }
}
