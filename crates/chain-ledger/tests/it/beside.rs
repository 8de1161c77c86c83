//! An engine that takes debits beside somebody who does all else.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use groat_chain_ledger::{BalanceLedger, Currency, Ledger};
use groat_core::ports::{Facilitator, Mechanism, PaymentStatus, Supported};
use groat_core::{Claim, Failure, Fault, Network, Offer, Payment, PaymentId, Reason, Receipt, Timestamp};
use groat_facilitator::{Beside, Engine, EngineOptions};
use groat_store::MemoryStore;

use crate::kit::*;

/// Knows nothing, and counts how often it is asked.
#[derive(Clone, Default)]
struct Other(Arc<AtomicUsize>);

impl Other {
    fn asked(&self) -> usize {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }
}

#[async_trait]
impl Facilitator for Other {
    async fn supported(&self) -> Result<Supported, Fault> {
        Ok(Supported::default())
    }

    async fn verify(&self, _: &Payment, _: &Offer) -> Result<Claim, Failure> {
        self.asked();
        Err(Reason::UnsupportedScheme.into())
    }

    async fn settle(&self, _: &Payment, _: &Offer) -> Result<Receipt, Failure> {
        self.asked();
        Err(Reason::UnsupportedScheme.into())
    }

    async fn status(&self, _: &PaymentId) -> Result<Option<PaymentStatus>, Fault> {
        self.asked();
        Ok(None)
    }
}

#[tokio::test]
async fn an_engine_beside_another_answers_for_what_it_takes_and_for_nothing_else() {
    let (store, hands, other) = (MemoryStore::default(), Hands::at(NOW), Other::default());
    let (scheme, own) = till(&store, &hands);
    let both = Beside::new(own, Arc::new(other.clone()));
    ledger_on(&store).grant(&holder(1), "USD", units(10_000), "g", Timestamp(NOW)).await.unwrap();
    let offer = offer(&scheme, 10_000);
    let payment = debit(&offer, 1, 1, NOW).await;
    assert_eq!(both.verify(&payment, &offer).await.unwrap().amount, units(10_000));
    assert!(both.settle(&payment, &offer).await.unwrap().is_settled());
    let (key, _) = scheme.key(&payment, &offer).unwrap();
    assert!(both.status(&key.id()).await.unwrap().is_some());
    assert_eq!(other.0.load(Ordering::SeqCst), 0);
    assert_eq!(both.supported().await.unwrap().kinds.len(), 1);

    // Of another ledger, although it stands in the same book.
    let second = Ledger::new("second", vec![Currency::USD], Arc::new(store.clone())).unwrap();
    second.grant(&holder(1), "USD", units(10_000), "h", Timestamp(NOW)).await.unwrap();
    let scheme = BalanceLedger::new(second, AUDIENCE);
    let cashiers = vec![Arc::new(scheme.clone()) as _];
    let options = EngineOptions::default();
    let its_own = Engine::taking(vec![], vec![], cashiers, Arc::new(store.clone()), hands.clock(), options);
    let offer = Offer { network: Network::parse("ledger:second").unwrap(), ..offer };
    let payment = debit(&offer, 1, 2, NOW).await;
    assert!(both.verify(&payment, &offer).await.is_err());
    assert!(both.settle(&payment, &offer).await.is_err());
    assert!(its_own.settle(&payment, &offer).await.unwrap().is_settled());
    let (key, _) = scheme.key(&payment, &offer).unwrap();
    assert!(its_own.status(&key.id()).await.unwrap().is_some());
    assert_eq!(both.status(&key.id()).await.unwrap(), None, "the other is believed");
    assert_eq!(other.0.load(Ordering::SeqCst), 3);
}
