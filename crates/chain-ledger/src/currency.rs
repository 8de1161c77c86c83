//! What a ledger counts in.

use groat_core::ports::Token;

/// A currency of a ledger. Amounts are whole numbers of its smallest unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Currency {
    /// Its symbol, such as `USD`: upper-case letters and digits.
    pub symbol: &'static str,
    /// Decimals of its smallest unit.
    pub decimals: u8,
    /// What one whole unit counts for in prices and budgets, in millionths of a dollar.
    pub unit_usd_micros: Option<u64>,
}

impl Currency {
    /// Dollars, counted in millionths: prices below a cent are usual here.
    pub const USD: Self = Self { symbol: "USD", decimals: 6, unit_usd_micros: Some(Token::DOLLAR) };
    /// Euros, counted in millionths. What they are worth in dollars nobody has said.
    pub const EUR: Self = Self { symbol: "EUR", decimals: 6, unit_usd_micros: None };

    /// What is known of it.
    pub fn token(&self) -> Token {
        Token { symbol: self.symbol, decimals: self.decimals, unit_usd_micros: self.unit_usd_micros }
    }

    /// Whether its symbol can be part of a key.
    pub(crate) fn is_plain(&self) -> bool {
        let plain = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
        (1..=16).contains(&self.symbol.len()) && self.symbol.bytes().all(plain) && self.decimals <= 36
    }
}
