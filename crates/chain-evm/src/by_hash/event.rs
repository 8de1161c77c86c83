//! Which payments a mined transaction carries. Pure: only bytes that a node gave.

use alloy_primitives::{Address, B256, U256, b256};
use alloy_sol_types::{SolEvent, sol};
use groat_core::{Offer, Reason};

use super::{NATIVE, Service};
use crate::account;
use crate::exact::abi::Eip3009::AuthorizationUsed;
use crate::rpc::Log;

sol! {
    /// What a payment manager says of each payment.
    event PaymentMade(uint256 indexed serviceId, address indexed payer, address indexed provider, uint256 amount, uint256 platformFee);
    /// ERC-20.
    event Transfer(address indexed from, address indexed to, uint256 value);
}

/// The first topic of [`PaymentMade`].
pub const PAYMENT_MADE: B256 = b256!("32aced27dfd49efcd31ceb0567a1ef533d2ab1481334c3f316047bf16fe1c8e8");

/// A payment in a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadeLog {
    /// Who paid.
    pub payer: Address,
    /// How much.
    pub amount: U256,
    /// Why it is not for an offer, where it is not.
    pub misfit: Option<Reason>,
}

/// What a transaction says of itself, for payments in the chain's own coin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Envelope {
    pub(super) from: Address,
    pub(super) to: Option<Address>,
    pub(super) value: U256,
}

/// Whether a payment of this offer lies in the transaction itself and in no log.
pub(super) fn needs_envelope(offer: &Offer) -> Result<bool, Reason> {
    Ok(Service::of(offer)?.is_none() && offer.asset == NATIVE)
}

/// The payment with this number in a transaction that went through; `None` when it carries fewer.
///
/// Numbers count all payments of the manager, or all transfers of the token to the payee, whatever price or service they
/// are for: with payee and asset they are the replay key, and must depend on nothing else that somebody asks for.
pub(super) fn made(
    offer: &Offer,
    envelope: Option<&Envelope>,
    logs: &[Log],
    count: u64,
) -> Result<Option<MadeLog>, Reason> {
    let pay_to = account::parse(&offer.pay_to).ok_or(Reason::InvalidRequirements)?;
    let index = usize::try_from(count).map_err(|_| Reason::InvalidPayload)?;
    let found = match (Service::of(offer)?, offer.asset.as_str()) {
        // Else one event would be a payment in every token that somebody asks for.
        (Some(_), asset) if asset != NATIVE => return Err(Reason::InvalidRequirements),
        (Some(service), _) => {
            let made = logs.iter().filter(|log| log.address == pay_to).filter_map(decode::<PaymentMade>);
            made.map(|made| {
                let misfit = (made.serviceId != service.id || made.provider != service.provider)
                    .then_some(Reason::RecipientMismatch);
                MadeLog { payer: made.payer, amount: made.amount, misfit }
            })
            .nth(index)
        }
        (None, NATIVE) => {
            let envelope = envelope.filter(|envelope| envelope.to == Some(pay_to) && index == 0);
            envelope.map(|Envelope { from, value, .. }| MadeLog {
                payer: *from,
                amount: *value,
                misfit: None,
            })
        }
        (None, token) => {
            let token = account::parse(token).ok_or(Reason::InvalidRequirements)?;
            let said = || logs.iter().filter(|log| log.address == token);
            let moved = said().filter_map(decode::<Transfer>).filter(|moved| moved.to == pay_to).nth(index);
            moved.map(|moved| {
                // What moved by an authorization is a payment of the scheme `exact`, and has bought something there.
                let mut authorized = said().filter_map(decode::<AuthorizationUsed>);
                let misfit =
                    authorized.any(|used| used.authorizer == moved.from).then_some(Reason::RecipientMismatch);
                MadeLog { payer: moved.from, amount: moved.value, misfit }
            })
        }
    };
    Ok(found.map(|mut made| {
        if made.misfit.is_none() && made.amount < offer.amount.as_u256() {
            made.misfit = Some(Reason::AmountMismatch);
        }
        made
    }))
}

fn decode<E: SolEvent>(log: &Log) -> Option<E> {
    E::decode_raw_log(log.topics.iter().copied(), &log.data).ok()
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{Bytes, address};
    use groat_core::offer::Ask;
    use groat_core::ports::Mechanism;
    use groat_core::{Amount, Network, Terms};

    use super::*;
    use crate::by_hash::{ByHashEvm, service_terms};

    const MANAGER: Address = address!("0x1111111111111111111111111111111111111111");
    const PROVIDER: Address = address!("0x2222222222222222222222222222222222222222");
    const PAYER: Address = address!("0x3333333333333333333333333333333333333333");
    const TOKEN: Address = address!("0x036CbD53842c5426634e7929541eC2318f3dCF7e");

    fn offer(asset: &str, pay_to: Address, service: Option<&str>) -> Offer {
        let extra = service.map(|id| service_terms(id, &PROVIDER.to_string())).unwrap_or_default();
        let terms = Terms {
            scheme: "transaction".into(),
            network: Network::eip155(84532),
            price: Ask::Units { asset: asset.into(), amount: Amount::from_units(100), extra },
            pay_to: pay_to.to_string(),
            timeout_s: 60,
        };
        ByHashEvm::offline().offer(&terms).unwrap().unwrap()
    }

    fn log(address: Address, event: &impl SolEvent) -> Log {
        let data = event.encode_log_data();
        Log { address, topics: data.topics().to_vec(), data: data.data.clone(), transaction_hash: None }
    }

    fn paid(service: u64, provider: Address, amount: u64) -> PaymentMade {
        PaymentMade {
            serviceId: U256::from(service),
            payer: PAYER,
            provider,
            amount: U256::from(amount),
            platformFee: U256::ZERO,
        }
    }

    fn envelope(to: Address, value: u64) -> Envelope {
        Envelope { from: PAYER, to: Some(to), value: U256::from(value) }
    }

    fn misfit(offer: &Offer, logs: &[Log], count: u64) -> Option<Option<Reason>> {
        made(offer, Some(&envelope(MANAGER, 10_000)), logs, count).unwrap().map(|made| made.misfit)
    }

    #[test]
    fn the_topic_is_that_of_the_event() {
        assert_eq!(PaymentMade::SIGNATURE_HASH, PAYMENT_MADE);
    }

    #[test]
    fn b16_only_the_event_of_our_manager_for_our_service_and_provider_at_our_price_counts() {
        let offer = offer("native", MANAGER, Some("1"));
        assert_eq!(misfit(&offer, &[log(MANAGER, &paid(1, PROVIDER, 100))], 0), Some(None));
        assert_eq!(misfit(&offer, &[log(MANAGER, &paid(1, PROVIDER, 500))], 0), Some(None));
        let short = log(MANAGER, &paid(1, PROVIDER, 99));
        assert_eq!(misfit(&offer, &[short], 0), Some(Some(Reason::AmountMismatch)));
        for other in [paid(2, PROVIDER, 100), paid(1, PAYER, 100)] {
            assert_eq!(misfit(&offer, &[log(MANAGER, &other)], 0), Some(Some(Reason::RecipientMismatch)));
        }
        // A deposit that can be withdrawn carries value and no such event; and another contract can say anything.
        assert_eq!(misfit(&offer, &[], 0), None);
        assert_eq!(misfit(&offer, &[log(PROVIDER, &paid(1, PROVIDER, 100))], 0), None);
        let odd = Offer { asset: TOKEN.to_string(), ..offer.clone() };
        let paid = [log(MANAGER, &paid(1, PROVIDER, 100))];
        assert_eq!(made(&odd, None, &paid, 0), Err(Reason::InvalidRequirements));
        let [mut cut] = paid;
        cut.data = Bytes::from_static(&[0; 31]);
        assert_eq!(misfit(&offer, &[cut], 0), None);
    }

    #[test]
    fn f052_the_payments_of_a_batch_are_counted_whatever_they_are_for() {
        let logs: Vec<_> = [1, 2, 1].map(|service| log(MANAGER, &paid(service, PROVIDER, 100))).into();
        let first = offer("native", MANAGER, Some("1"));
        let second = offer("native", MANAGER, Some("2"));
        let fits =
            |offer: &Offer| (0..4).map(|count| misfit(offer, &logs, count) == Some(None)).collect::<Vec<_>>();
        assert_eq!(fits(&first), [true, false, true, false]);
        assert_eq!(fits(&second), [false, true, false, false]);
        assert_eq!(misfit(&first, &logs, 3), None);
    }

    #[test]
    fn a_direct_payment_goes_to_the_payee_in_the_right_coin() {
        let coin = offer("native", PROVIDER, None);
        let of = |to, value, count| {
            made(&coin, Some(&envelope(to, value)), &[], count).unwrap().map(|made| made.misfit)
        };
        assert_eq!(of(PROVIDER, 100, 0), Some(None));
        assert_eq!(of(PROVIDER, 99, 0), Some(Some(Reason::AmountMismatch)));
        assert_eq!((of(MANAGER, 100, 0), of(PROVIDER, 100, 1)), (None, None));
        let token = offer(&TOKEN.to_string(), PROVIDER, None);
        let moved = |from, to, value: u64| Transfer { from, to, value: U256::from(value) };
        let logs = [
            log(TOKEN, &moved(PAYER, MANAGER, 100)),
            log(MANAGER, &moved(PAYER, PROVIDER, 100)),
            log(TOKEN, &moved(PAYER, PROVIDER, 100)),
        ];
        assert_eq!((misfit(&token, &logs, 0), misfit(&token, &logs, 1)), (Some(None), None));
        assert_eq!(made(&token, Some(&envelope(PROVIDER, 100)), &[], 0), Ok(None));
    }
}
