//! The Solidity contracts: compiled by npm `solc`, artifacts committed.

use anyhow::bail;

use crate::shell::{has, root, run};

/// Compiles the contracts, or with `check` proves that the committed artifacts come from the sources.
pub(crate) fn build(check: bool) -> anyhow::Result<()> {
    if !has("npm") || !has("node") {
        bail!("the contracts need node and npm: install nodejs");
    }
    let folder = root().join("contracts");
    let modules = folder.join("node_modules");
    if !["solc", "@openzeppelin/contracts"].iter().all(|name| modules.join(name).exists()) {
        let arguments = ["ci", "--no-audit", "--no-fund", "--prefix", "contracts"];
        run("install compiler and library", "npm", &arguments)?;
    }
    let mut arguments = vec!["contracts/build.mjs"];
    arguments.extend(check.then_some("--check"));
    run("contracts", "node", &arguments)
}
