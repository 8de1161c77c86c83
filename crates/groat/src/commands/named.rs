//! Flags of the form NETWORK=VALUE.

use alloy_primitives::Address;
use anyhow::Context;
use groat_chain_evm::account;
use groat_core::Network;

/// Accounts of networks. One with a wrong checksum is refused: it was mistyped (threat row M07).
pub(crate) fn accounts(flags: &[String], name: &str) -> anyhow::Result<Vec<(Network, Address)>> {
    let parse = |(network, text): (Network, &str)| {
        let account = account::parse(text).with_context(|| {
            format!("{name}: `{text}` is not an account: write 0x and 40 hex digits, in one case or with the right checksum")
        })?;
        Ok((network, account))
    };
    pairs(flags, name)?.into_iter().map(parse).collect()
}

/// Texts of networks. What is wrong is not quoted: there may be a key in the URL of a node.
pub(crate) fn pairs<'f>(flags: &'f [String], name: &str) -> anyhow::Result<Vec<(Network, &'f str)>> {
    let pair = |text: &'f String| {
        let mend = || format!("{name}: write NETWORK=…, as eip155:84532=…");
        let (network, value) = text.trim().split_once('=').with_context(mend)?;
        Ok((Network::parse(network).ok().with_context(mend)?, value))
    };
    flags.iter().map(pair).collect()
}

/// The node of one network.
pub(crate) fn node_of<'f>(flags: &'f [String], network: &Network) -> anyhow::Result<&'f str> {
    let known = pairs(flags, "--rpc")?;
    let url = known.iter().find(|(of, _)| of == network).map(|(_, url)| *url);
    url.with_context(|| {
        let names: Vec<_> = known.iter().map(|(of, _)| of.to_string()).collect();
        format!(
            "the contract is on {network} and --rpc has nodes of {}: name a node of {network}",
            names.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn m07_a_mistyped_contract_is_refused() {
        let good = "eip155:1=0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
        let read = accounts(&flags(&[good, &good.to_lowercase()]), "--pay-contract").unwrap();
        assert_eq!(read[0], read[1]);
        for wrong in ["eip155:1=0x70997970c51812dc3A010C7d01b50e0d17dc79C8", "eip155:1=0x", "eip155:1="] {
            let refused = accounts(&flags(&[wrong]), "--pay-contract").unwrap_err().to_string();
            assert!(refused.starts_with("--pay-contract: `"), "{refused}");
        }
    }

    #[test]
    fn h25_a_url_that_is_given_in_a_wrong_way_is_not_repeated() {
        for wrong in
            ["https://node.example/?key=secret", "https://node.example/secret", "eip155=https://secret"]
        {
            let refused = pairs(&flags(&[wrong]), "--rpc").unwrap_err();
            assert!(!format!("{refused:#}").contains("secret"), "{refused:#}");
        }
    }

    #[test]
    fn the_node_of_a_network_is_found_in_the_list_of_all() {
        let nodes = flags(&["eip155:1=http://one", "eip155:84532=http://two"]);
        assert_eq!(node_of(&nodes, &Network::eip155(84532)).unwrap(), "http://two");
        let refused = node_of(&nodes, &Network::eip155(8453)).unwrap_err().to_string();
        assert!(refused.contains("eip155:8453") && refused.contains("eip155:1, eip155:84532"), "{refused}");
    }
}
