//! The driver: takes one payment from wherever it stands to an end, in a task of its own.

use std::sync::Arc;

use groat_core::books::{Attempt, Settlement, SettlementEvent, SettlementState};
use groat_core::ports::{Outcome, PrepareContext, Settler};
use groat_core::{Failure, Fault, Network, PaymentId, Reason, Receipt, Refusal, Verified};
use groat_store::{Applied, Entry};

use super::Engine;
use super::flights::Landing;
use super::terms::ended;

/// How one round of driving ended.
enum Step {
    /// Go on from the record as it is now.
    Again,
    /// Over.
    End(Result<Receipt, Failure>),
}

impl Engine {
    /// Drives until there is an end. `fresh` starts a new record.
    pub(super) async fn drive(self, id: PaymentId, fresh: Option<Settlement>, landing: Landing) {
        let end = match self.open(id, fresh).await {
            Ok(verified) => self.rounds(id, verified, &landing).await,
            Err(failure) => Err(failure),
        };
        if let Err(Failure::Fault(fault)) = &end {
            tracing::warn!(payment = %id, %fault, "settlement interrupted");
        }
        landing.end(end);
    }

    /// Puts a fresh record into the book, or takes up a released one. Whether it was checked just now is returned.
    async fn open(&self, id: PaymentId, fresh: Option<Settlement>) -> Result<bool, Failure> {
        let Some(fresh) = fresh else { return Ok(false) };
        if self.0.journal.create(fresh.clone()).await?.is_some() {
            return Ok(true);
        }
        let Some(entry) = self.0.journal.load(&id.to_string()).await? else { return Ok(false) };
        if entry.record.state == SettlementState::Released {
            let now = self.0.clock.now();
            let applied = self.0.journal.apply(entry, SettlementEvent::Hold, now).await?;
            return Ok(matches!(applied, Applied::Done(_)));
        }
        Ok(false)
    }

    async fn rounds(&self, id: PaymentId, mut verified: bool, landing: &Landing) -> Result<Receipt, Failure> {
        let mut looks = 0;
        loop {
            let entry = self
                .0
                .journal
                .load(&id.to_string())
                .await?
                .ok_or_else(|| Fault::garbled("store", "a held payment has vanished"))?;
            landing.carries(&entry.record);
            let settler = Arc::clone(self.settler(&entry.record.offer.scheme, &entry.record.network)?);
            let step = match entry.record.state.clone() {
                SettlementState::Held => {
                    self.submit(settler.as_ref(), entry, std::mem::take(&mut verified), landing).await?
                }
                SettlementState::Submitted { attempts } => {
                    let step = self.look(settler.as_ref(), entry, &attempts, looks, landing).await;
                    looks += 1;
                    step?
                }
                SettlementState::Settled(_) | SettlementState::Failed { .. } | SettlementState::Released => {
                    Step::End(ended(&entry.record).unwrap_or_else(|| Err(Reason::Released.into())))
                }
            };
            if let Step::End(end) = step {
                return end;
            }
        }
    }

    /// From held to submitted: everything that can be asked is asked before the nonce is taken; sign; write; send.
    async fn submit(
        &self,
        settler: &dyn Settler,
        entry: Entry<Settlement>,
        verified: bool,
        landing: &Landing,
    ) -> Result<Step, Failure> {
        let record = &entry.record;
        // A record from before a crash says nothing of the present.
        let checked = if verified {
            self.trust(settler, record)
        } else {
            self.examine(&record.payment, &record.offer).await
        };
        let plan = match checked {
            Ok(checked) => settler.plan(&record.payment, &checked).await,
            Err(failure) => Err(failure),
        };
        let plan = match plan {
            Ok(plan) => plan,
            Err(failure) => return self.give_back(settler, entry, failure).await,
        };
        let signer = settler.signer(&record.network)?;
        let turn = self.0.lanes.turn(settler, &record.network, &signer).await?;
        let now = self.0.clock.now();
        let context = PrepareContext { nonce: turn.nonce(), replaces: None, now };
        let prepared = settler.prepare(&record.payment, &record.offer, &signer, &plan, &context)?;
        let attempt = prepared.attempt;
        let Some(next) = groat_core::books::Aggregate::apply(
            record.clone(),
            SettlementEvent::Submit(attempt.clone()),
            now,
        ) else {
            return Ok(Step::Again);
        };
        let [lane, nonce] = turn.take(&attempt, record)?;
        let written = self.0.journal.commit(vec![self.0.journal.stage(&entry, &next), lane, nonce]).await?;
        drop(turn);
        if written {
            landing.submitted(&attempt.transaction);
            self.send(settler, record, &attempt).await;
        }
        Ok(Step::Again)
    }

    /// What the flight's starter has just checked need not be asked again.
    fn trust(&self, settler: &dyn Settler, record: &Settlement) -> Result<Verified, Failure> {
        let (key, valid_until) = settler.key(&record.payment, &record.offer)?;
        let claim = groat_core::Claim {
            key,
            network: record.network.clone(),
            asset: record.asset.clone(),
            payer: record.payer.clone(),
            pay_to: record.pay_to.clone(),
            amount: record.amount,
            valid_from: record.held_at,
            valid_until,
        };
        Ok(Verified::compare(claim, &record.offer, |one, other| settler.same_account(one, other))?)
    }

    /// Nothing was signed. If the authorization turns out to be used, somebody else has paid it in: that counts.
    async fn give_back(
        &self,
        settler: &dyn Settler,
        entry: Entry<Settlement>,
        failure: Failure,
    ) -> Result<Step, Failure> {
        let used =
            matches!(&failure, Failure::Refused(refusal) if refusal.reason == Reason::NonceAlreadyUsed);
        if used {
            let outcome = settler.outcome(&entry.record.payment, &entry.record.offer, &[]).await?;
            if !matches!(outcome, Outcome::Unknown | Outcome::Reverted { .. }) {
                return self.conclude(entry, outcome).await;
            }
        }
        let payer = entry.record.payer.clone();
        self.write(entry, SettlementEvent::Release).await?;
        Ok(Step::End(Err(failure.by(&payer))))
    }

    /// One look at a submitted payment; the same bytes are sent again from time to time.
    async fn look(
        &self,
        settler: &dyn Settler,
        entry: Entry<Settlement>,
        attempts: &[Attempt],
        looks: u32,
        landing: &Landing,
    ) -> Result<Step, Failure> {
        let record = &entry.record;
        if let Some(last) = attempts.last() {
            landing.submitted(&last.transaction);
        }
        match settler.outcome(&record.payment, &record.offer, attempts).await {
            Ok(Outcome::Unknown) => {}
            Ok(outcome) => return self.conclude(entry, outcome).await,
            Err(fault) => tracing::debug!(payment = %record.id, %fault, "cannot look"),
        }
        // The first look right after a restart must send: the crash may have come between writing and sending (KP5).
        if let Some(last) =
            attempts.last().filter(|_| looks.is_multiple_of(self.0.options.looks_per_broadcast))
        {
            self.send(settler, record, last).await;
            if looks > 0 {
                // A transaction of another payment may hold ours up.
                self.tend(settler, &record.network, &last.signer).await;
            }
        }
        let interval_ms = u64::try_from(self.0.options.look_interval.as_millis()).unwrap_or(u64::MAX);
        settler.wait_block(&record.network, interval_ms).await;
        Ok(Step::Again)
    }

    /// Sends again what holds up a signer.
    pub(super) async fn tend(&self, settler: &dyn Settler, network: &Network, signer: &str) {
        let pause = self.0.options.look_interval;
        let unspent = match self.0.lanes.unspent(settler, network, signer, pause).await {
            Ok(unspent) => unspent,
            Err(fault) => return tracing::debug!(%network, signer, %fault, "cannot tend the signer"),
        };
        for attempt in unspent {
            if let Err(fault) = settler.broadcast(network, &attempt).await {
                tracing::debug!(transaction = %attempt.transaction, %fault, "not sent again");
            }
        }
    }

    async fn send(&self, settler: &dyn Settler, record: &Settlement, attempt: &Attempt) {
        // A lost reply means nothing (threat row C01): the next look tells.
        if let Err(fault) = settler.broadcast(&record.network, attempt).await {
            tracing::warn!(payment = %record.id, transaction = %attempt.transaction, %fault, "sending again later");
        }
    }

    async fn conclude(&self, entry: Entry<Settlement>, outcome: Outcome) -> Result<Step, Failure> {
        let payer = entry.record.payer.clone();
        let (event, reverted) = match outcome {
            Outcome::Unknown => return Ok(Step::Again),
            Outcome::Landed(settled) => (SettlementEvent::Confirm(settled), None),
            Outcome::Failed { reason, transaction } => (SettlementEvent::Fail { reason, transaction }, None),
            Outcome::Reverted { transaction } => (SettlementEvent::Abandon, Some(transaction)),
        };
        match self.write(entry, event).await? {
            Some(record) => Ok(match (ended(&record), reverted) {
                (Some(end), _) => Step::End(end),
                (None, transaction @ Some(_)) => Step::End(Err(Refusal {
                    payer: Some(payer),
                    transaction,
                    ..Reason::TransactionFailed.into()
                }
                .into())),
                (None, None) => Step::Again,
            }),
            None => Ok(Step::Again),
        }
    }

    /// Writes an event; `None` when somebody else wrote first.
    async fn write(
        &self,
        entry: Entry<Settlement>,
        event: SettlementEvent,
    ) -> Result<Option<Settlement>, Fault> {
        let id = entry.record.id;
        match self.0.journal.apply(entry, event, self.0.clock.now()).await? {
            Applied::Done(entry) => Ok(Some(entry.record)),
            Applied::Stale => Ok(None),
            Applied::Impossible(entry) => {
                tracing::error!(payment = %id, state = groat_core::books::Aggregate::state(&entry.record), "impossible event");
                Err(Fault::garbled("store", "an event does not fit the record"))
            }
        }
    }
}
