//! EVM accounts as text: any case in, EIP-55 out, a wrong checksum refused.

use std::cell::RefCell;

use alloy_primitives::Address;

/// Reads `0x` and 40 hex digits. Mixed case must be the right EIP-55 checksum (threat row M07), because a wrong one
/// is the usual sign of a mistyped account.
pub fn parse(text: &str) -> Option<Address> {
    let digits = text.strip_prefix("0x")?;
    if digits.len() != 40 {
        return None;
    }
    let address: Address = text.parse().ok()?;
    let one_case =
        !digits.bytes().any(|b| b.is_ascii_uppercase()) || !digits.bytes().any(|b| b.is_ascii_lowercase());
    (one_case || with_text(address, |right| right == text)).then_some(address)
}

/// Writes EIP-55.
pub fn text(address: Address) -> String {
    with_text(address, str::to_owned)
}

/// A checksum is a hash, and a payment names the same few accounts a dozen times.
fn with_text<T>(address: Address, read: impl FnOnce(&str) -> T) -> T {
    /// Enough for the tokens and payees of a facilitator, and the payers of a moment.
    const KEPT: usize = 256;
    thread_local! {
        static TEXTS: RefCell<Vec<Option<(Address, String)>>> = RefCell::new(vec![None; KEPT]);
    }
    TEXTS.with_borrow_mut(|texts| {
        let place = &mut texts[usize::from(address[19])];
        match place {
            Some((kept, text)) if *kept == address => read(text),
            _ => read(&place.insert((address, address.to_checksum(None))).1),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn m07_e05_accounts_compare_as_bytes_and_a_wrong_checksum_is_no_account() {
        let good = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
        assert_eq!(parse(good), parse(&good.to_lowercase()));
        assert_eq!(parse(good), parse(&format!("0x{}", good[2..].to_uppercase())));
        assert_eq!(text(parse(&good.to_lowercase()).unwrap()), good);
        for bad in [
            "0x70997970c51812dc3A010C7d01b50e0d17dc79C8",
            &good[2..],
            "0x",
            "",
            "0X70997970C51812dc3A010C7d01b50e0d17dc79C8",
            "0x70997970C51812dc3A010C7d01b50e0d17dc79C",
            "vitalik.eth",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
