//! Amounts of an asset in its smallest unit: exact, checked, never a float.

use std::fmt;

use ruint::aliases::U256;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A number of atomic units of some asset (for USDC, millionths).
///
/// There is deliberately no `+`: every sum says what happens when it does not fit.
/// On the wire and at rest it is a decimal string.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Amount(U256);

/// Why a text is not an amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "an amount is a whole number of atomic units without sign, leading zero or separator, at most 2^256-1"
)]
pub struct AmountError;

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(U256::ZERO);

    /// An amount of `units` atomic units.
    pub const fn from_units(units: u128) -> Self {
        Self(U256::from_limbs([units as u64, (units >> 64) as u64, 0, 0]))
    }

    /// Wraps an integer that a chain gave.
    pub const fn from_u256(units: U256) -> Self {
        Self(units)
    }

    /// The integer, for chain code.
    pub const fn as_u256(self) -> U256 {
        self.0
    }

    /// Reads the canonical form `0 | [1-9][0-9]{0,77}` and nothing else (threat row E04).
    pub fn parse(text: &str) -> Result<Self, AmountError> {
        let digits = text.as_bytes();
        let canonical = match digits {
            [b'0'] => true,
            [b'1'..=b'9', rest @ ..] => rest.len() <= 77 && rest.iter().all(u8::is_ascii_digit),
            _ => false,
        };
        if !canonical {
            return Err(AmountError);
        }
        U256::from_str_radix(text, 10).map(Self).map_err(|_| AmountError)
    }

    /// Reads a decimal number of whole units, such as `0.01` or `1e-2`, as JSON of other languages writes it. `None` when
    /// it is not one, is negative, or is finer than the unit: nothing is rounded.
    pub fn parse_decimal(text: &str, decimals: u8) -> Option<Self> {
        let (number, exponent) = match text.split_once(['e', 'E']) {
            Some((number, exponent)) => (number, exponent.parse::<i16>().ok()?),
            None => (text, 0),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if text.len() > 100 || !are_digits(whole) || !are_digits(fraction) {
            return None;
        }
        let fraction = fraction.trim_end_matches('0');
        let digits = format!("{whole}{fraction}");
        let digits = digits.trim_start_matches('0');
        if digits.is_empty() {
            return Some(Self::ZERO);
        }
        let zeros = i32::from(decimals) + i32::from(exponent) - i32::try_from(fraction.len()).ok()?;
        let digits = match usize::try_from(zeros) {
            Ok(zeros) if zeros <= 77 => format!("{digits}{}", "0".repeat(zeros)),
            Ok(_) => return None,
            // Fewer decimals than were written: only zeros may go.
            Err(_) => {
                let less = usize::try_from(-zeros).ok()?;
                let kept = digits.len().checked_sub(less)?;
                let (kept, gone) = digits.split_at(kept);
                (gone.bytes().all(|byte| byte == b'0') && !kept.is_empty()).then(|| kept.to_owned())?
            }
        };
        Self::parse(&digits).ok()
    }

    /// The sum, or `None` when it does not fit.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// The difference, or `None` when it would be negative.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }

    /// The product with a count, or `None` when it does not fit.
    pub fn checked_mul(self, count: u64) -> Option<Self> {
        self.0.checked_mul(U256::from(count)).map(Self)
    }

    /// Whether this is nothing.
    pub fn is_zero(self) -> bool {
        self.0.is_zero()
    }

    /// The amount as a decimal number of whole units, for people: 10000 with 6 decimals is `0.01`.
    pub fn to_decimal(self, decimals: u8) -> String {
        let digits = self.0.to_string();
        let decimals = usize::from(decimals);
        let padded = format!("{digits:0>width$}", width = decimals + 1);
        let (whole, fraction) = padded.split_at(padded.len() - decimals);
        let fraction = fraction.trim_end_matches('0');
        if fraction.is_empty() { whole.to_owned() } else { format!("{whole}.{fraction}") }
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Debug for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Amount({})", self.0)
    }
}

impl std::str::FromStr for Amount {
    type Err = AmountError;
    fn from_str(text: &str) -> Result<Self, AmountError> {
        Self::parse(text)
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e04_only_canonical_numbers_are_amounts() {
        for bad in ["", "00", "01", "-1", "+1", "1.0", "1e3", " 1", "1 ", "1_000", "0x10", "١"] {
            assert_eq!(Amount::parse(bad), Err(AmountError), "{bad:?}");
        }
        assert_eq!(Amount::parse("0"), Ok(Amount::ZERO));
        assert_eq!(Amount::parse("10000").unwrap(), Amount::from_units(10_000));
    }

    #[test]
    fn m04_the_largest_amount_fits_and_one_more_does_not() {
        let max = U256::MAX.to_string();
        let amount = Amount::parse(&max).unwrap();
        assert_eq!(amount.checked_add(Amount::from_units(1)), None);
        assert_eq!(Amount::ZERO.checked_sub(Amount::from_units(1)), None);
        assert_eq!(Amount::parse(&(max + "0")), Err(AmountError));
        let above = "115792089237316195423570985008687907853269984665640564039457584007913129639936";
        assert_eq!(Amount::parse(above), Err(AmountError));
    }

    #[test]
    fn decimals_are_for_people() {
        assert_eq!(Amount::from_units(10_000).to_decimal(6), "0.01");
        assert_eq!(Amount::from_units(1_000_000).to_decimal(6), "1");
        assert_eq!(Amount::from_units(1_234_567).to_decimal(6), "1.234567");
        assert_eq!(Amount::from_units(7).to_decimal(0), "7");
    }

    proptest::proptest! {
        #[test]
        fn text_and_amount_are_one_to_one(units: u128) {
            let amount = Amount::from_units(units);
            proptest::prop_assert_eq!(Amount::parse(&amount.to_string()), Ok(amount));
        }
    }
}
