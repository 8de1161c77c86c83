//! Prices as people write them: `$0.01`, `0.01`, `0.01 USDC`. Exact decimals, no float, no rounding.

use std::fmt;

use crate::Amount;

/// A price in words, not yet in units of a token.
///
/// Grammar (x402 SDK `parseMoney`, without its leniencies): an optional `$`, digits, an optional fraction
/// with digits on both sides of the dot, and an optional ticker after a space. `USD` means the same as `$`.
/// Commas, exponents, signs and underscores are errors (threat row M02).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Price {
    whole: String,
    fraction: String,
    ticker: Option<String>,
}

/// Why a text is not a price, or a price not an amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PriceError {
    /// The text does not follow the grammar.
    #[error("`{0}` is not a price: write it as $0.01 or as 0.01 USDC (no comma, sign or exponent)")]
    Grammar(String),
    /// Smaller than the smallest unit of the token (threat row M01).
    #[error("{price} has more decimals than the token can carry ({decimals}): the price would be rounded")]
    TooFine {
        /// The price as written.
        price: String,
        /// What the token has.
        decimals: u8,
    },
    /// Above 2^256-1 units.
    #[error("{0} is more than any token can hold")]
    TooLarge(String),
    /// Nothing at all: a free route needs no price (threat row E03).
    #[error("a price of zero sells for nothing: leave the route unpriced instead")]
    Zero,
}

impl Price {
    /// Reads a price.
    pub fn parse(text: &str) -> Result<Self, PriceError> {
        let wrong = || PriceError::Grammar(text.chars().take(64).collect());
        let trimmed = text.trim_matches(' ');
        let (number, ticker) = match trimmed.strip_prefix('$') {
            Some(rest) => (rest.trim_start_matches(' '), None),
            None => (trimmed, None),
        };
        let (number, ticker) = match number.split_once(' ') {
            Some((number, word)) => (number, Some(word.trim_start_matches(' '))),
            None => (number, ticker),
        };
        let (whole, fraction) = match number.split_once('.') {
            Some((whole, fraction)) if !fraction.is_empty() => (whole, fraction),
            Some(_) => return Err(wrong()),
            None => (number, ""),
        };
        let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || whole.len() > 78 || fraction.len() > 78 || !digits(whole) || !digits(fraction)
        {
            return Err(wrong());
        }
        let ticker = match ticker {
            None => None,
            Some(word) if is_ticker(word) => Some(word.to_ascii_uppercase()).filter(|word| word != "USD"),
            Some(_) => return Err(wrong()),
        };
        Ok(Self { whole: whole.to_owned(), fraction: fraction.to_owned(), ticker })
    }

    /// The token symbol asked for; `None` means the default dollar token of the network.
    pub fn ticker(&self) -> Option<&str> {
        self.ticker.as_deref()
    }

    /// The exact number of atomic units of a token with `decimals` decimals.
    pub fn to_units(&self, decimals: u8) -> Result<Amount, PriceError> {
        let fraction = self.fraction.trim_end_matches('0');
        if fraction.len() > usize::from(decimals) {
            return Err(PriceError::TooFine { price: self.to_string(), decimals });
        }
        let digits = format!("{}{fraction:0<width$}", self.whole, width = usize::from(decimals));
        let digits = digits.trim_start_matches('0');
        if digits.is_empty() {
            return Err(PriceError::Zero);
        }
        Amount::parse(digits).map_err(|_| PriceError::TooLarge(self.to_string()))
    }
}

fn is_ticker(word: &str) -> bool {
    let mut bytes = word.bytes();
    word.len() <= 16
        && bytes.next().is_some_and(|b| b.is_ascii_alphabetic())
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'.')
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dollar = if self.ticker.is_none() { "$" } else { "" };
        write!(f, "{dollar}{}", self.whole)?;
        if !self.fraction.is_empty() {
            write!(f, ".{}", self.fraction)?;
        }
        self.ticker.as_ref().map_or(Ok(()), |ticker| write!(f, " {ticker}"))
    }
}

impl std::str::FromStr for Price {
    type Err = PriceError;
    fn from_str(text: &str) -> Result<Self, PriceError> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_becomes_exact_units() {
        for (text, decimals, units) in [
            ("$0.01", 6, "10000"),
            ("0.01 USDC", 6, "10000"),
            ("$1", 18, "1000000000000000000"),
            ("0.10", 6, "100000"),
            ("1.5000000", 6, "1500000"),
        ] {
            assert_eq!(Price::parse(text).unwrap().to_units(decimals).unwrap().to_string(), units, "{text}");
        }
        assert_eq!(Price::parse("2 usdc.e").unwrap().ticker(), Some("USDC.E"));
        assert_eq!(Price::parse("1.50 USD").unwrap().ticker(), None);
    }

    #[test]
    fn m02_commas_exponents_and_signs_are_errors() {
        for bad in [
            "1,5", "$0,01", "1,000", "1e-6", "+1", "-1", "1_0", ".5", "1.", "", "$", "€1", "1.5usdc", "0x1",
            "1 2", "NaN", "1 USDC!", "$$1", "１",
        ] {
            assert!(matches!(Price::parse(bad), Err(PriceError::Grammar(_))), "{bad:?}");
        }
    }

    #[test]
    fn m01_a_price_below_one_unit_is_an_error_not_free() {
        assert!(matches!(Price::parse("$0.0000001").unwrap().to_units(6), Err(PriceError::TooFine { .. })));
        assert_eq!(Price::parse("$0").unwrap().to_units(6), Err(PriceError::Zero));
        assert_eq!(Price::parse("$0.000000").unwrap().to_units(6), Err(PriceError::Zero));
        let huge = format!("${}", "9".repeat(78));
        assert!(matches!(Price::parse(&huge).unwrap().to_units(6), Err(PriceError::TooLarge(_))));
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text: String) {
            if let Ok(price) = Price::parse(&text) {
                let _ = price.to_units(6);
                proptest::prop_assert_eq!(Price::parse(&price.to_string()), Ok(price));
            }
        }
    }
}
