//! The Solidity contracts: compiled by npm `solc`, artifacts committed.

use anyhow::bail;

use crate::shell::{has, root, run};

/// Compiles the contracts, or with `check` proves that the committed artifacts come from the sources.
pub(crate) fn build(check: bool) -> anyhow::Result<()> {
    if !has("npm") || !has("node") {
        bail!("the contracts need node and npm: install nodejs");
    }
    let folder = root().join("contracts");
    if !folder.join("node_modules/solc").exists() {
        run("install solc", "npm", &["ci", "--no-audit", "--no-fund", "--prefix", "contracts"])?;
    }
    let mut arguments = vec!["contracts/build.mjs"];
    arguments.extend(check.then_some("--check"));
    run("contracts", "node", &arguments)
}
