//! Who owns what after any sequence of calls, computed without the contracts.

pub(crate) const OWNER: usize = 0;
pub(crate) const ADA: usize = 1;
pub(crate) const BOB: usize = 2;
pub(crate) const EVE: usize = 3;
/// Bob's account, from which Eve may spend.
pub(crate) const WALLET: usize = 4;

/// Who provides each service.
pub(crate) const PROVIDERS: [usize; 2] = [ADA, BOB];
/// Price and seconds of each service's plan.
pub(crate) const PLANS: [(u128, u64); 2] = [(500, 86_400), (70, 3_600)];
/// The rate at first, in hundredths of a percent.
pub(crate) const RATE: u128 = 100;
/// The price of both services at first.
pub(crate) const PRICE: u128 = 999;
/// What the wallet may spend a day.
pub(crate) const LIMIT: u128 = 5_000;

/// Something that somebody does. Services count from 0 here, and the one after the last does not exist.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    PayPerUse { service: usize, value: u128 },
    BatchPay { services: Vec<usize>, value: u128 },
    Deposit { value: u128 },
    Withdraw { amount: u128 },
    PayFromBalance { service: usize },
    FetchEarnings,
    FetchFees,
    SetRate { rate: u128 },
    SetPrice { service: usize, price: u128 },
    Subscribe { service: usize, value: u128 },
    Renew { number: usize, value: u128 },
    Cancel { number: usize },
    CreateEscrow { provider: usize, value: u128, seconds: u64 },
    Release { number: usize },
    Refund { number: usize },
    Dispute { number: usize },
    Resolve { number: usize, percent: u128 },
    TopUp { value: u128 },
    WalletPays { service: usize, value: u128 },
    WalletGives { to: usize, value: u128 },
    TakeOut { amount: u128 },
}

#[derive(Debug, Clone)]
struct Subscription {
    who: usize,
    service: usize,
    end: u64,
    live: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Status {
    Funded,
    Disputed,
    Over,
}

#[derive(Debug, Clone)]
pub(crate) struct Escrow {
    pub(crate) payer: usize,
    provider: usize,
    pub(crate) amount: u128,
    deadline: u64,
    pub(crate) status: Status,
}

/// The state of the world, as far as it is about coins.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    pub(crate) now: u64,
    /// Outside of the contracts.
    pub(crate) coins: [u128; 5],
    pub(crate) balance: [u128; 5],
    pub(crate) earnings: [u128; 5],
    pub(crate) fees: u128,
    pub(crate) escrows: Vec<Escrow>,
    rate: u128,
    prices: [u128; 2],
    subscriptions: Vec<Subscription>,
    spent: (u64, u128),
}

impl Model {
    pub(crate) fn new(now: u64, coins: [u128; 5]) -> Self {
        Self {
            now,
            coins,
            balance: [0; 5],
            earnings: [0; 5],
            fees: 0,
            escrows: Vec::new(),
            rate: RATE,
            prices: [PRICE; 2],
            subscriptions: Vec::new(),
            spent: (0, 0),
        }
    }

    /// Does it, if it may be done.
    pub(crate) fn apply(&mut self, who: usize, act: &Act) -> bool {
        let mut after = self.clone();
        let done = after.act(who, act).is_some();
        if done {
            *self = after;
        }
        done
    }

    fn act(&mut self, who: usize, act: &Act) -> Option<()> {
        match *act {
            Act::PayPerUse { service, value } => {
                let price = self.buy(service)?;
                self.take(who, price, value)
            }
            Act::BatchPay { ref services, value } => {
                let prices: Option<Vec<u128>> = services.iter().map(|service| self.buy(*service)).collect();
                let total = prices.filter(|prices| !prices.is_empty())?.iter().sum();
                self.take(who, total, value)
            }
            Act::Deposit { value } => {
                self.balance[who] += some(value)?;
                spend(&mut self.coins[who], value)
            }
            Act::Withdraw { amount } => {
                spend(&mut self.balance[who], some(amount)?)?;
                self.give(who, amount)
            }
            Act::PayFromBalance { service } => {
                let price = self.buy(service)?;
                spend(&mut self.balance[who], price)
            }
            Act::FetchEarnings => {
                let amount = some(std::mem::take(&mut self.earnings[who]))?;
                self.give(who, amount)
            }
            Act::FetchFees => {
                let amount = some(std::mem::take(&mut self.fees))?;
                self.give(OWNER, amount)
            }
            Act::SetRate { rate } => {
                self.rate = rate;
                (who == OWNER && rate <= 1_000).then_some(())
            }
            Act::SetPrice { service, price } => {
                *self.prices.get_mut(service)? = some(price)?;
                (who == PROVIDERS[service]).then_some(())
            }
            Act::Subscribe { service, value } => {
                let (price, seconds) = *PLANS.get(service)?;
                let mut of_both = self.subscriptions.iter_mut().rev();
                if let Some(old) = of_both.find(|old| (old.who, old.service) == (who, service)) {
                    old.live = false;
                    (old.end <= self.now).then_some(())?;
                }
                self.subscriptions.push(Subscription { who, service, end: self.now + seconds, live: true });
                self.take(who, price, value)?;
                self.give(PROVIDERS[service], price)
            }
            Act::Renew { number, value } => {
                let now = self.now;
                let subscription = self.own(who, number)?;
                let (service, (price, seconds)) = (subscription.service, PLANS[subscription.service]);
                subscription.end = subscription.end.max(now) + seconds;
                self.take(who, price, value)?;
                self.give(PROVIDERS[service], price)
            }
            Act::Cancel { number } => {
                self.own(who, number)?.live = false;
                Some(())
            }
            Act::CreateEscrow { provider, value, seconds } => {
                spend(&mut self.coins[who], some(value)?)?;
                let (deadline, status) = (self.now + seconds, Status::Funded);
                self.escrows.push(Escrow { payer: who, provider, amount: value, deadline, status });
                (seconds > 0).then_some(())
            }
            Act::Release { number } => {
                let escrow = self.end(number, Status::Funded)?;
                self.give(escrow.provider, escrow.amount)?;
                (who == escrow.payer).then_some(())
            }
            Act::Refund { number } => {
                let escrow = self.end(number, Status::Funded)?;
                self.give(escrow.payer, escrow.amount)?;
                let late = self.now >= escrow.deadline;
                (who == escrow.provider || who == escrow.payer && late).then_some(())
            }
            Act::Dispute { number } => {
                let escrow = self.end(number, Status::Funded)?;
                self.escrows[number].status = Status::Disputed;
                (who == escrow.provider || who == escrow.payer).then_some(())
            }
            Act::Resolve { number, percent } => {
                let escrow = self.end(number, Status::Disputed)?;
                let back = escrow.amount * percent / 100;
                self.give(escrow.payer, back)?;
                self.give(escrow.provider, escrow.amount.checked_sub(back)?)?;
                (who == OWNER && percent <= 100).then_some(())
            }
            Act::TopUp { value } => {
                spend(&mut self.coins[who], value)?;
                self.give(WALLET, value)
            }
            Act::WalletPays { service, value } => {
                self.leave_wallet(who, value)?;
                let price = self.buy(service)?;
                self.take(WALLET, price, value)
            }
            Act::WalletGives { to, value } => {
                self.leave_wallet(who, value)?;
                spend(&mut self.coins[WALLET], value)?;
                self.give(to, value)?;
                (to != WALLET).then_some(())
            }
            Act::TakeOut { amount } => {
                spend(&mut self.coins[WALLET], some(amount)?)?;
                self.give(BOB, amount)?;
                (who == BOB).then_some(())
            }
        }
    }

    /// A price becomes earnings and fees.
    fn buy(&mut self, service: usize) -> Option<u128> {
        let price = *self.prices.get(service)?;
        let fee = price * self.rate / 10_000;
        self.fees += fee;
        self.earnings[PROVIDERS[service]] += price - fee;
        Some(price)
    }

    /// Of `value` the price stays.
    fn take(&mut self, who: usize, price: u128, value: u128) -> Option<()> {
        (price <= value && value <= self.coins[who]).then_some(())?;
        spend(&mut self.coins[who], price)
    }

    fn give(&mut self, who: usize, amount: u128) -> Option<()> {
        self.coins[who] += amount;
        Some(())
    }

    fn own(&mut self, who: usize, number: usize) -> Option<&mut Subscription> {
        self.subscriptions.get_mut(number).filter(|subscription| subscription.who == who && subscription.live)
    }

    fn end(&mut self, number: usize, status: Status) -> Option<Escrow> {
        let escrow = self.escrows.get_mut(number).filter(|escrow| escrow.status == status)?;
        escrow.status = Status::Over;
        Some(escrow.clone())
    }

    fn leave_wallet(&mut self, who: usize, value: u128) -> Option<()> {
        let today = self.now / 86_400;
        if self.spent.0 != today {
            self.spent = (today, 0);
        }
        self.spent.1 += value;
        let allowed = who == BOB || who == EVE;
        (allowed && self.spent.1 <= LIMIT && value <= self.coins[WALLET]).then_some(())
    }
}

fn some(amount: u128) -> Option<u128> {
    (amount > 0).then_some(amount)
}

fn spend(from: &mut u128, amount: u128) -> Option<()> {
    *from = from.checked_sub(amount)?;
    Some(())
}
