//! Verifies a second: signature, token state and balance, on a chain in this process.
//!
//! The limit is the recovery of one secp256k1 signature; everything above it is ours and the node's.
#![allow(clippy::unwrap_used, clippy::float_arithmetic, missing_docs)]

use std::sync::Arc;

use groat_bench::{Purse, World, heading, offer, run};
use groat_core::ports::Facilitator;
use groat_store::MemoryStore;
use secp256k1::ecdsa::RecoverableSignature;
use secp256k1::{Message, SECP256K1, SecretKey};

const COUNT: usize = 4_000;

#[tokio::main]
async fn main() {
    let world = World::new(Arc::new(MemoryStore::default()));
    let payments = Purse::new(&world.chain, 64).sign(COUNT).await;
    let offer = offer();
    heading("verify: exact by EIP-3009, payers with a key, node in this process");

    let message = Message::from_digest([7; 32]);
    let key = SecretKey::from_byte_array([1; 32]).unwrap();
    let signature: RecoverableSignature = SECP256K1.sign_ecdsa_recoverable(message, &key);
    let limit = run(1, vec![(); 20_000], |()| async {
        std::hint::black_box(SECP256K1.recover_ecdsa(message, &signature).unwrap());
    });
    let limit = limit.await.print("limit: one signature recovery");

    for callers in [1, 64, 512] {
        let verified = run(callers, payments.clone(), |payment| {
            let (engine, offer) = (&world.engine, &offer);
            async move {
                engine.verify(&payment, offer).await.unwrap();
            }
        });
        let row = verified.await.print(&format!("groat, {callers} callers"));
        println!("{:<44} {:>21.1} × limit", "", row.cpu_us / limit.cpu_us);
    }
}
