//! The list of faults, and whether it still fits the sources.

use std::path::PathBuf;

use anyhow::{Context, bail};
use serde::Deserialize;

use crate::shell::root;

/// One deliberate fault.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Mutant {
    /// What is wrong then, as a sentence.
    pub(super) name: String,
    /// The file, below the root.
    pub(super) file: PathBuf,
    /// A text that is there exactly once.
    pub(super) search: String,
    /// What it becomes.
    pub(super) replace: String,
    /// Commands of which one must fail, the cheapest first.
    pub(super) catch: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    #[serde(default)]
    mutant: Vec<Mutant>,
}

impl Mutant {
    /// Whether its name or file contains the text.
    pub(super) fn is_about(&self, text: &str) -> bool {
        self.name.contains(text) || self.file.to_string_lossy().contains(text)
    }
}

/// All faults; an error names all entries that do not fit.
pub(super) fn read() -> anyhow::Result<Vec<Mutant>> {
    let folder = root().join("xtask/mutants");
    let mut pages: Vec<PathBuf> =
        std::fs::read_dir(&folder)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    pages.retain(|path| path.extension().is_some_and(|ending| ending == "toml"));
    pages.sort();
    let mut mutants: Vec<Mutant> = Vec::new();
    for path in pages {
        let text = std::fs::read_to_string(&path)?;
        let page: Page = toml::from_str(&text).with_context(|| path.display().to_string())?;
        mutants.extend(page.mutant);
    }
    let mut wrong = Vec::new();
    for (index, mutant) in mutants.iter().enumerate() {
        let text = std::fs::read_to_string(root().join(&mutant.file)).unwrap_or_default();
        let found = text.matches(&mutant.search).count();
        if found != 1 {
            wrong.push(format!("{}: its text is {found} times in {}", mutant.name, mutant.file.display()));
        }
        if mutant.search == mutant.replace || mutant.catch.is_empty() {
            wrong.push(format!("{}: it changes nothing, or nothing has to catch it", mutant.name));
        }
        if mutants[..index].iter().any(|other| other.name == mutant.name) {
            wrong.push(format!("{}: two have this name", mutant.name));
        }
    }
    if wrong.is_empty() {
        return Ok(mutants);
    }
    bail!("mutants that do not fit:\n  {}", wrong.join("\n  "))
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_deliberate_fault_still_fits_the_sources() {
        let mutants = super::read().unwrap_or_else(|error| panic!("{error:#}"));
        assert!(mutants.len() >= 30);
    }
}
