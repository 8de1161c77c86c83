//! The shape of the workspace as a test: which crate may know which, how long a file may be, whether links lead
//! somewhere. `ARCHITECTURE.md` says why.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use serde_json::Value;

use crate::shell::root;

/// Who may depend on whom inside the workspace. Arrows point inward only.
const EDGES: &[(&str, &[&str])] = &[
    ("groat-core", &[]),
    ("groat-wire", &["groat-core"]),
    ("groat-store", &["groat-core"]),
    ("groat-chain-evm", &["groat-core"]),
    ("groat-indexer", &["groat-core", "groat-store", "groat-chain-evm"]),
    ("groat-chain-ledger", &["groat-core", "groat-store"]),
    ("groat-devchain", &[]),
    ("groat-pg-cluster", &[]),
    ("groat-failpoints", &[]),
    ("groat-facilitator", &["groat-core", "groat-store", "groat-wire", "groat-failpoints"]),
    ("groat-seller", &["groat-core", "groat-store", "groat-wire", "groat-failpoints"]),
    ("groat-buyer", &["groat-core", "groat-store", "groat-wire", "groat-failpoints"]),
];

/// Libraries that the pure core must not reach.
const NOT_IN_CORE: &[&str] =
    &["tokio", "http", "hyper", "reqwest", "axum", "alloy-primitives", "rand", "getrandom"];

const LINES_MAX: usize = 800;
const MEDIAN_MAX: usize = 200;

/// Runs all checks and names everything that is wrong.
pub(crate) fn run() -> anyhow::Result<()> {
    println!("\n== tidy");
    let mut wrong = edges()?;
    wrong.extend(sizes()?);
    wrong.extend(links()?);
    if wrong.is_empty() {
        return Ok(());
    }
    bail!("the workspace is not tidy:\n  {}", wrong.join("\n  "))
}

fn edges() -> anyhow::Result<Vec<String>> {
    let output = Command::new("cargo")
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .current_dir(root())
        .output()
        .context("cargo metadata")?;
    let metadata: Value = serde_json::from_slice(&output.stdout).context("cargo metadata")?;
    let mut wrong = Vec::new();
    let allowed: BTreeMap<&str, &[&str]> = EDGES.iter().copied().collect();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let name = package["name"].as_str().unwrap_or_default();
        let Some(allowed) = allowed.get(name) else { continue };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let target = dependency["name"].as_str().unwrap_or_default();
            let for_tests = dependency["kind"] == "dev";
            if target.starts_with("groat-") && !for_tests && !allowed.contains(&target) {
                wrong.push(format!("{name} must not depend on {target} (see ARCHITECTURE.md)"));
            }
            if name == "groat-core" && !for_tests && NOT_IN_CORE.contains(&target) {
                wrong.push(format!("groat-core is pure and must not depend on {target}"));
            }
        }
    }
    Ok(wrong)
}

fn sizes() -> anyhow::Result<Vec<String>> {
    let mut lines = Vec::new();
    let mut wrong = Vec::new();
    for file in files("rs")? {
        let count = std::fs::read_to_string(&file)?.lines().count();
        if count > LINES_MAX {
            wrong.push(format!("{} has {count} lines; {LINES_MAX} is the end", short(&file)));
        }
        lines.push(count);
    }
    lines.sort_unstable();
    let median = lines.get(lines.len() / 2).copied().unwrap_or_default();
    if median > MEDIAN_MAX {
        wrong.push(format!("the median file has {median} lines; keep it below {MEDIAN_MAX}"));
    }
    Ok(wrong)
}

/// Relative links in Markdown files must name a file that is there.
fn links() -> anyhow::Result<Vec<String>> {
    let mut wrong = Vec::new();
    for file in files("md")? {
        let text = std::fs::read_to_string(&file)?;
        for part in text.split("](").skip(1) {
            let Some((target, _)) = part.split_once(')') else { continue };
            let path = target.split('#').next().unwrap_or_default();
            let elsewhere =
                path.is_empty() || path.contains("://") || path.starts_with("mailto:") || path.contains(' ');
            if !elsewhere && !file.parent().is_some_and(|folder| folder.join(path).exists()) {
                wrong.push(format!("{} links to {path}, which is not there", short(&file)));
            }
        }
    }
    Ok(wrong)
}

/// Files of the project with this ending; what is installed or built is left out.
fn files(ending: &str) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if path.is_dir()
                && !name.starts_with('.')
                && !["target", "node_modules", "corpus"].contains(&name)
            {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == ending) {
                found.push(path);
            }
        }
    }
    Ok(found)
}

fn short(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}
