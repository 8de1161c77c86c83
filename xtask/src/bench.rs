//! groat beside its peers.

use crate::shell::run as start;

/// Sets up what is missing, measures in alternating rounds, and writes the page and its plot.
pub(crate) fn run(
    quick: bool,
    only: Option<String>,
    parts: Option<String>,
    rounds: Option<u32>,
) -> anyhow::Result<()> {
    let mut arguments = vec!["bench/peers/bench.py".to_owned(), "run".to_owned()];
    arguments.extend(quick.then(|| "--quick".to_owned()));
    let options = [("--only", only), ("--parts", parts), ("--rounds", rounds.map(|count| count.to_string()))];
    for (name, value) in options {
        arguments.extend(value.into_iter().flat_map(|value| [name.to_owned(), value]));
    }
    start("bench", "python3", &arguments)
}
