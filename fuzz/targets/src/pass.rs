//! Tokens of passes: only what the key has signed is read, and that is what it would sign again.

use groat_core::Timestamp;
use groat_wire::pass::{self, PassKey};

/// Within the time of the pass in the corpus.
const NOW: Timestamp = Timestamp(1_000_000);
const ISSUER: &str = "https://shop.example";

/// One token.
pub fn target(data: &[u8]) {
    let Ok(token) = str::from_utf8(data) else { return };
    let key = PassKey::from_seed(&[1; 32]).unwrap();
    let read = key.read(token, ISSUER, NOW);
    if let Ok(pass) = &read {
        assert_eq!(key.write(pass, ISSUER), token);
        assert_eq!(pass::peek(token), Some((pass.expires_at, pass.scope.clone())));
        assert!(pass.issued_at <= NOW.plus(5) && NOW < pass.expires_at);
    }
    assert!(key.is_ours(token) || read.is_err());
    let _ = pass::peek(token);
}
