//! Prices in words and amounts in units, against the published grammar and another library's decimals.

use std::str::FromStr;
use std::sync::LazyLock;

use bigdecimal::num_bigint::{BigInt, BigUint};
use bigdecimal::{BigDecimal, RoundingMode, Zero};
use groat_core::money::PriceError;
use groat_core::ports::Token;
use groat_core::{Amount, Price};
use regex::Regex;

static PRICE: LazyLock<Regex> = LazyLock::new(|| {
    let text = r"^ *(\$ *)?([0-9]{1,78}(?:\.[0-9]{1,78})?)(?: +([A-Za-z][A-Za-z0-9.]{0,15}))? *$";
    Regex::new(text).unwrap()
});
static AMOUNT: LazyLock<Regex> = LazyLock::new(|| Regex::new("^(?:0|[1-9][0-9]*)$").unwrap());

/// The first byte is the decimals of the token, the rest a text.
pub fn target(data: &[u8]) {
    let Some((decimals, text)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    price(text, *decimals);
    amount(text, *decimals);
}

fn price(text: &str, decimals: u8) {
    let expected = PRICE.captures(text);
    let price = match (Price::parse(text), &expected) {
        (Ok(price), Some(_)) => price,
        (Err(PriceError::Grammar(told)), None) => return assert!(told.chars().count() <= 64),
        (got, _) => panic!("{text:?} became {got:?}, and should be a price: {}", expected.is_some()),
    };
    let Some(captures) = expected else { return };
    let ticker = captures.get(3).map(|word| word.as_str().to_uppercase()).filter(|word| word != "USD");
    assert_eq!(price.ticker(), ticker.as_deref());
    assert_eq!(Price::parse(&price.to_string()).as_ref(), Ok(&price), "{text:?}");

    let value = BigDecimal::from_str(&captures[2]).unwrap();
    let exact = value * BigDecimal::new(BigInt::from(1), -i64::from(decimals));
    let units = price.to_units(decimals);
    if !exact.is_integer() {
        assert!(matches!(units, Err(PriceError::TooFine { .. })), "{text:?} with {decimals}: {units:?}");
    } else if exact.is_zero() {
        assert_eq!(units, Err(PriceError::Zero));
    } else if exact >= BigDecimal::from(two_256()) {
        assert!(matches!(units, Err(PriceError::TooLarge(_))), "{text:?} with {decimals}: {units:?}");
    } else {
        let units = units.unwrap_or_else(|error| panic!("{text:?} with {decimals}: {error}"));
        assert_eq!(big(units), exact, "{text:?} with {decimals}");
    }
}

fn amount(text: &str, decimals: u8) {
    let expected =
        BigUint::from_str(text).ok().filter(|number| AMOUNT.is_match(text) && *number < unsigned_256());
    let amount = match (Amount::parse(text), expected) {
        (Ok(amount), Some(expected)) => {
            assert_eq!(amount.to_string(), expected.to_string());
            amount
        }
        (Err(_), None) => return,
        (got, expected) => panic!("{text:?} became {got:?} instead of {expected:?}"),
    };
    assert_eq!(amount.to_string(), text);
    let shown = amount.to_decimal(decimals);
    assert_eq!(
        BigDecimal::from_str(&shown).unwrap(),
        big(amount) * BigDecimal::new(BigInt::from(1), i64::from(decimals)),
        "{text} units with {decimals} decimals are shown as {shown}"
    );
    assert_eq!(amount.is_zero(), text == "0");
    sums(amount, decimals);
    valued(amount, decimals);
}

/// A sum is exact, or there is none.
fn sums(amount: Amount, other: u8) {
    let own = big(amount);
    let fits = |value: &BigDecimal| *value >= BigDecimal::zero() && *value < BigDecimal::from(two_256());
    let second = Amount::from_units(u128::MAX - u128::from(other));
    for (got, exact) in [
        (amount.checked_add(second), &own + big(second)),
        (amount.checked_sub(second), &own - big(second)),
        (second.checked_sub(amount), big(second) - &own),
        (
            amount.checked_mul(u64::MAX - u64::from(other)),
            &own * BigDecimal::from(u64::MAX - u64::from(other)),
        ),
    ] {
        assert_eq!(got.map(big), Some(exact).filter(fits));
    }
}

/// What a budget counts is never less than what is paid.
fn valued(amount: Amount, decimals: u8) {
    let micros = Token { symbol: "T", decimals, unit_usd_micros: Some(Token::DOLLAR) }.usd_micros(amount);
    let exact = big(amount) * BigDecimal::new(BigInt::from(1), i64::from(decimals) - 6);
    let rounded = exact.with_scale_round(0, RoundingMode::Ceiling);
    let most = BigDecimal::from(u64::MAX);
    match micros {
        Some(micros) => assert_eq!(BigDecimal::from(micros), rounded),
        // Above 2^64 of them, or beyond what fits into 256 bits on the way: then there is no value and nothing is paid.
        None => {
            let largest = BigDecimal::from((BigInt::from(1) << 256) - BigInt::from(1));
            assert!(rounded > most || decimals > 77 || big(amount) * BigDecimal::from(1_000_000) > largest);
        }
    }
}

fn big(amount: Amount) -> BigDecimal {
    BigDecimal::from(BigInt::from_bytes_be(
        bigdecimal::num_bigint::Sign::Plus,
        &amount.as_u256().to_be_bytes::<32>(),
    ))
}

fn two_256() -> BigInt {
    BigInt::from(unsigned_256())
}

fn unsigned_256() -> BigUint {
    BigUint::from(1_u8) << 256
}
