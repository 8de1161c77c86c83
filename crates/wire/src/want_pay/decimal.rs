//! Amounts in whole units of a currency, as text: exact decimals, no sign, no exponent, no float.

use std::fmt;

use groat_core::Amount;

/// A decimal number such as `0.01`, as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Decimal(String);

/// Why a text is no amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "an amount is written as 0.01: digits, perhaps a dot and more digits, no sign, exponent or leading zero"
)]
pub struct DecimalError;

/// No amount of any token has more digits before the dot, and none has more behind it.
const DIGITS_MAX: usize = 78;

impl Decimal {
    /// Reads `(0 | [1-9][0-9]*) [ "." 1*[0-9] ]`.
    pub fn parse(text: &str) -> Result<Self, DecimalError> {
        let (whole, fraction) = match text.split_once('.') {
            Some((_, "")) => return Err(DecimalError),
            Some(parts) => parts,
            None => (text, ""),
        };
        let digits = |part: &str| part.len() <= DIGITS_MAX && part.bytes().all(|b| b.is_ascii_digit());
        let leads = whole.starts_with('0') && whole.len() > 1;
        if whole.is_empty() || leads || !digits(whole) || !digits(fraction) {
            return Err(DecimalError);
        }
        Ok(Self(text.to_owned()))
    }

    /// The decimal of so many atomic units.
    pub fn from_units(amount: Amount, decimals: u8) -> Self {
        Self(amount.to_decimal(decimals))
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The atomic units of a token with so many decimals; `None` when there is a rest, or too many of them.
    pub fn to_units(&self, decimals: u8) -> Option<Amount> {
        let (whole, fraction) = self.parts();
        if fraction.len() > usize::from(decimals) {
            return None;
        }
        let digits = format!("{whole}{fraction:0<width$}", width = usize::from(decimals));
        let digits = digits.trim_start_matches('0');
        Amount::parse(if digits.is_empty() { "0" } else { digits }).ok()
    }

    /// Whether both are the same number: `0.01` is `0.010`.
    pub fn equals(&self, other: &Self) -> bool {
        self.parts() == other.parts()
    }

    /// Whether this is nothing.
    pub fn is_zero(&self) -> bool {
        self.parts() == ("0", "")
    }

    /// Digits behind the dot that mean something.
    pub fn fraction_digits(&self) -> usize {
        self.parts().1.len()
    }

    fn parts(&self) -> (&str, &str) {
        let (whole, fraction) = self.0.split_once('.').unwrap_or((&self.0, ""));
        (whole, fraction.trim_end_matches('0'))
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn m02_only_plain_decimals_are_amounts() {
        let bads = [
            "", ".", ".5", "1.", "01", "00.1", "-1", "+1", "1e3", "1,5", "1_0", " 1", "1 ", "0x1", "١",
            "1.2.3", "NaN",
        ];
        for bad in bads {
            assert_eq!(Decimal::parse(bad), Err(DecimalError), "{bad:?}");
        }
        assert_eq!(Decimal::parse(&"9".repeat(79)), Err(DecimalError));
    }

    #[test]
    fn the_same_number_is_the_same_amount_however_it_is_written() {
        let decimal = |text: &str| Decimal::parse(text).unwrap();
        assert!(decimal("0.01").equals(&decimal("0.010")) && decimal("1").equals(&decimal("1.000")));
        assert!(!decimal("0.01").equals(&decimal("0.1")) && !decimal("10").equals(&decimal("1")));
        assert!(decimal("0.000").is_zero() && !decimal("0.001").is_zero());
        assert_eq!(decimal("0.01").to_units(6), Some(Amount::from_units(10_000)));
        assert_eq!(decimal("0.01").to_units(18), Some(Amount::from_units(10_000_000_000_000_000)));
        assert_eq!(decimal("0.0000001").to_units(6), None, "M01: not rounded");
        assert_eq!(decimal(&"9".repeat(78)).to_units(6), None);
    }

    proptest::proptest! {
        #[test]
        fn units_and_decimals_are_one_to_one(units: u128, decimals in 0u8..=36) {
            let amount = Amount::from_units(units);
            let decimal = Decimal::from_units(amount, decimals);
            proptest::prop_assert_eq!(Decimal::parse(decimal.as_str()), Ok(decimal.clone()));
            proptest::prop_assert_eq!(decimal.to_units(decimals), Some(amount));
        }

        #[test]
        fn no_text_makes_the_reader_panic(text: String, decimals: u8) {
            if let Ok(decimal) = Decimal::parse(&text) {
                let _ = decimal.to_units(decimals);
                proptest::prop_assert!(decimal.equals(&decimal));
            }
        }
    }
}
