//! How sure a seller wants to be of a block before anything is handed out for a payment in it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// More than this is hours on most chains, longer than a book must remember a payment.
const BLOCKS_MAX: u64 = 1_000;

/// What must have happened to the block of a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub enum Confirmations {
    /// It and those above it are so many; 1 is "mined".
    Blocks(u64),
    /// The chain calls it safe: replacing it would take a large part of all validators.
    Safe,
    /// The chain calls it finalized.
    Finalized,
}

impl Default for Confirmations {
    fn default() -> Self {
        Self::Blocks(1)
    }
}

/// How deep the block of a payment lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Depth {
    /// The block and those above it; 0 when another block has taken its place.
    pub confirmations: u64,
    /// Whether the chain calls it safe.
    pub safe: bool,
    /// Whether the chain calls it finalized.
    pub finalized: bool,
}

impl Confirmations {
    /// Whether a receipt alone is enough.
    pub fn is_mined(self) -> bool {
        self == Self::default()
    }

    /// Whether this is deep enough. A finalized block is deep enough for everybody.
    pub fn is_met(self, depth: &Depth) -> bool {
        let there = depth.confirmations > 0;
        there
            && match self {
                Self::Blocks(blocks) => depth.confirmations >= blocks || depth.finalized,
                Self::Safe => depth.safe || depth.finalized,
                Self::Finalized => depth.finalized,
            }
    }
}

/// What was written is none of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no number of confirmations; write 1 to {BLOCKS_MAX}, \"safe\" or \"finalized\"")]
pub struct NotConfirmations(String);

impl FromStr for Confirmations {
    type Err = NotConfirmations;

    fn from_str(text: &str) -> Result<Self, NotConfirmations> {
        match text {
            "safe" => Ok(Self::Safe),
            "finalized" => Ok(Self::Finalized),
            _ => match text.parse() {
                Ok(blocks @ 1..=BLOCKS_MAX) => Ok(Self::Blocks(blocks)),
                _ => Err(NotConfirmations(text.to_owned())),
            },
        }
    }
}

impl fmt::Display for Confirmations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blocks(blocks) => blocks.fmt(f),
            Self::Safe => f.write_str("safe"),
            Self::Finalized => f.write_str("finalized"),
        }
    }
}

/// In files and books: a number or a word.
#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "confirmations are a whole number, \"safe\" or \"finalized\"")]
enum Written {
    Number(i64),
    Word(String),
}

impl TryFrom<Written> for Confirmations {
    type Error = NotConfirmations;

    fn try_from(written: Written) -> Result<Self, NotConfirmations> {
        match written {
            Written::Number(number) => number.to_string().parse(),
            Written::Word(word) => word.parse(),
        }
    }
}

impl From<Confirmations> for Written {
    fn from(confirmations: Confirmations) -> Self {
        match confirmations {
            Confirmations::Blocks(blocks) => Self::Number(blocks.cast_signed()),
            word => Self::Word(word.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_number_or_a_word_is_read_and_anything_else_is_refused_with_what_to_write() {
        for (written, meant) in [
            (json!(1), Confirmations::default()),
            (json!("12"), Confirmations::Blocks(12)),
            (json!(1_000), Confirmations::Blocks(1_000)),
            (json!("safe"), Confirmations::Safe),
            (json!("finalized"), Confirmations::Finalized),
        ] {
            let read: Confirmations = serde_json::from_value(written).unwrap();
            assert_eq!(read, meant);
            assert_eq!(read.to_string().parse(), Ok(meant));
            assert_eq!(serde_json::from_value::<Confirmations>(json!(read)).unwrap(), meant);
        }
        for wrong in
            [json!(0), json!(-1), json!(1_001), json!("final"), json!(""), json!("Safe"), json!("1.5")]
        {
            let error = serde_json::from_value::<Confirmations>(wrong).unwrap_err().to_string();
            assert!(error.contains("write 1 to 1000, \"safe\" or \"finalized\""), "{error}");
        }
        for wrong in [json!(1.5), json!(null), json!(["safe"])] {
            let error = serde_json::from_value::<Confirmations>(wrong).unwrap_err().to_string();
            assert!(error.contains("confirmations are a whole number"), "{error}");
        }
    }

    #[test]
    fn a_replaced_block_meets_nothing_and_a_finalized_one_everything() {
        let all = [
            Confirmations::default(),
            Confirmations::Blocks(3),
            Confirmations::Safe,
            Confirmations::Finalized,
        ];
        let met = |confirmations, safe, finalized| {
            all.map(|policy| policy.is_met(&Depth { confirmations, safe, finalized }))
        };
        assert_eq!(met(0, true, true), [false; 4]);
        assert_eq!(met(1, false, false), [true, false, false, false]);
        assert_eq!(met(2, true, false), [true, false, true, false]);
        assert_eq!(met(3, false, false), [true, true, false, false]);
        assert_eq!(met(2, false, true), [true; 4]);
    }
}
