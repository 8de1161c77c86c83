//! The field `Want-Pay`: which currencies on which chains one side can work with.
//!
//! ```text
//! Want-Pay = [ method *( OWS "," OWS method ) ]
//! method   = currency "-" chain [ OWS ";" OWS "q=" qvalue ]
//! ```
//!
//! The same field in both directions, as the Want fields of RFC 9530: in a request it is a wish with weights, in a 402
//! the seller's list in its order. A wish is a hint: what we do not know in it is passed over, never an error.

use std::fmt;

use groat_core::Network;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::{chain, chain_name, is_currency};
use crate::WireError;

/// The field.
pub const WANT_PAY: HeaderName = HeaderName::from_static(PLACE);
const PLACE: &str = "want-pay";

/// No list of ours is longer, and no longer one is read.
pub const SIZE_BYTES_MAX: usize = 2_048;
const METHODS_MAX: usize = 32;

/// A currency on a chain.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Method {
    currency: String,
    network: Network,
}

impl Method {
    /// The currency, in any case, on this chain. `None` when it cannot be written in the field.
    pub fn new(currency: &str, network: Network) -> Option<Self> {
        is_currency(currency).then(|| Self { currency: currency.to_ascii_uppercase(), network })
    }

    /// Reads `usdc-base`, `usdc-base-sepolia` or `usdc-eip155:8453`: the first hyphen ends the currency.
    pub fn parse(text: &str) -> Option<Self> {
        let (currency, name) = text.split_once('-')?;
        Self::new(currency, chain(name)?)
    }

    /// The symbol, in upper case.
    pub fn currency(&self) -> &str {
        &self.currency
    }

    /// The chain.
    pub fn network(&self) -> &Network {
        &self.network
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.currency.to_ascii_lowercase(), chain_name(&self.network))
    }
}

/// One method with its weight in thousandths; 0 means never.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// What; `None` for a chain that we do not know.
    pub method: Option<Method>,
    /// How much, 0 to 1000.
    pub weight: u16,
}

/// A list that one side sent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WantPay {
    /// In the sender's order. None at all means "I can pay, tell me how".
    pub wishes: Vec<Wish>,
}

impl WantPay {
    /// Reads the field; `None` when it is absent. Several fields are one list (RFC 9110, section 5.3).
    pub fn read(headers: &HeaderMap) -> Result<Option<Self>, WireError> {
        let mut list = Self::default();
        let (mut found, mut size_bytes) = (false, 0);
        for value in headers.get_all(WANT_PAY) {
            found = true;
            size_bytes += value.len();
            if size_bytes > SIZE_BYTES_MAX {
                return Err(WireError::TooLarge { place: PLACE, size_bytes_max: SIZE_BYTES_MAX });
            }
            let text = value.to_str().map_err(|_| wrong("not ASCII"))?;
            list.wishes.extend(Self::parse(text)?.wishes);
        }
        if list.wishes.len() > METHODS_MAX {
            return Err(wrong("too many methods"));
        }
        Ok(found.then_some(list))
    }

    /// Reads the value of one field.
    pub fn parse(text: &str) -> Result<Self, WireError> {
        if text.len() > SIZE_BYTES_MAX {
            return Err(WireError::TooLarge { place: PLACE, size_bytes_max: SIZE_BYTES_MAX });
        }
        // Empty elements count for nothing (RFC 9110, section 5.6.1.2).
        let items = text.split(',').map(trim).filter(|item| !item.is_empty());
        let wishes = items.map(wish).collect::<Result<Vec<_>, _>>()?;
        if wishes.len() > METHODS_MAX {
            return Err(wrong("too many methods"));
        }
        Ok(Self { wishes })
    }

    /// A seller's list, in its order.
    pub fn of(methods: impl IntoIterator<Item = Method>) -> Self {
        let wishes = methods.into_iter().map(|method| Wish { method: Some(method), weight: 1000 });
        Self { wishes: wishes.collect() }
    }

    /// The methods that we know and that are not excluded.
    pub fn methods(&self) -> impl Iterator<Item = &Method> {
        self.wishes.iter().filter(|wish| wish.weight > 0).filter_map(|wish| wish.method.as_ref())
    }

    /// Which of the offered methods suits best: the one with the greatest weight, among equals the first offered.
    /// `None` when nothing does (`no_compatible_method`). Of a method that is wished twice the first wish counts.
    pub fn choose(&self, offered: &[Method]) -> Option<usize> {
        if self.wishes.is_empty() {
            return (!offered.is_empty()).then_some(0);
        }
        let weight = |method: &Method| {
            let wish = self.wishes.iter().find(|wish| wish.method.as_ref() == Some(method));
            wish.map_or(0, |wish| wish.weight)
        };
        let suitable = offered.iter().enumerate().map(|(at, method)| (at, weight(method)));
        // The first of the greatest: `max_by_key` would give the last.
        suitable.rev().max_by_key(|(_, weight)| *weight).filter(|(_, weight)| *weight > 0).map(|(at, _)| at)
    }

    /// Sets the field.
    pub fn write(&self, headers: &mut HeaderMap) {
        if let Ok(value) = HeaderValue::try_from(self.to_string()) {
            headers.insert(WANT_PAY, value);
        }
    }
}

impl fmt::Display for WantPay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = self.wishes.iter().filter_map(|wish| Some((wish.method.as_ref()?, wish.weight)));
        for (index, (method, weight)) in known.enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            write!(f, "{comma}{method}")?;
            if weight < 1000 {
                let digits = format!("{weight:03}");
                let fraction = digits.trim_end_matches('0');
                let dot = if fraction.is_empty() { "" } else { "." };
                write!(f, ";q=0{dot}{fraction}")?;
            }
        }
        Ok(())
    }
}

fn wrong(problem: &str) -> WireError {
    WireError::malformed(PLACE, problem)
}

fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

fn wish(item: &str) -> Result<Wish, WireError> {
    let mut parts = item.split(';').map(trim);
    let name = parts.next().unwrap_or_default();
    let (currency, chain) = name.split_once('-').ok_or_else(|| wrong("a method is currency-chain"))?;
    let is_chain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b':' | b'_' | b'.');
    if !is_currency(currency) || chain.is_empty() || chain.len() > 64 || !chain.bytes().all(is_chain) {
        return Err(wrong("a method is currency-chain"));
    }
    let mut weight = None;
    for part in parts {
        // Other parameters may come one day.
        let Some(value) = part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")) else { continue };
        if weight
            .replace(qvalue(value).ok_or_else(|| wrong("a weight is 0 to 1 with three digits"))?)
            .is_some()
        {
            return Err(wrong("two weights"));
        }
    }
    Ok(Wish { method: Method::parse(name), weight: weight.unwrap_or(1000) })
}

/// RFC 9110, section 12.4.2.
fn qvalue(text: &str) -> Option<u16> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 3 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let thousandths: u16 = format!("{fraction:0<3}").parse().ok()?;
    match whole {
        "0" => Some(thousandths),
        "1" if thousandths == 0 => Some(1000),
        _ => None,
    }
}
