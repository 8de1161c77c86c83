//! EVM accounts as text: 0x and 40 hex digits; mixed case must be the right checksum (EIP-55).

use sha3::{Digest, Keccak256};

/// Whether this names an account.
pub(super) fn is_account(text: &str) -> bool {
    let Some(digits) = text.strip_prefix("0x") else { return false };
    if digits.len() != 40 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return false;
    }
    let lower = digits.to_ascii_lowercase();
    digits == lower || digits == digits.to_ascii_uppercase() || digits == checksum(&lower)
}

/// Whether this names an account that somebody can have.
pub(super) fn is_payable(text: &str) -> bool {
    is_account(text) && text.bytes().skip(2).any(|b| b != b'0')
}

fn checksum(lower: &str) -> String {
    let hash = Keccak256::digest(lower.as_bytes());
    let digit = |(at, letter): (usize, char)| {
        let nibble = if at % 2 == 0 { hash[at / 2] >> 4 } else { hash[at / 2] & 15 };
        if nibble > 7 { letter.to_ascii_uppercase() } else { letter }
    };
    lower.chars().enumerate().map(digit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn m07_a_wrong_checksum_is_no_account() {
        let good = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
        assert!(is_payable(good) && is_account(&good.to_lowercase()));
        assert!(is_account(&format!("0x{}", good[2..].to_uppercase())));
        let zero = format!("0x{}", "0".repeat(40));
        assert!(is_account(&zero) && !is_payable(&zero));
        for bad in
            ["0x70997970c51812dc3A010C7d01b50e0d17dc79C8", &good[2..], "0x", "", &good[..41], "vitalik.eth"]
        {
            assert!(!is_account(bad), "{bad}");
        }
    }
}
