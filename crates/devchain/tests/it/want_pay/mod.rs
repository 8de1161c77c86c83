//! `X402Pay` on the dev chain: a world with buyers, sellers and tokens of every kind, and its rules in the files beside.

mod conserved;
mod owner;
mod rules;
mod ways;

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256, address, keccak256};
use alloy_sol_types::{SolCall, SolError, SolEvent, SolValue, sol};
use groat_devchain::{ChainClock, Config, DevChain, USDC, X402_PAY};
use secp256k1::{Message, SECP256K1, SecretKey};
use serde_json::{Value, json};

sol! {
    #[derive(Debug, PartialEq)]
    struct Request { address seller; uint256 amount; string requestId; bytes metadata; }

    #[derive(Debug, PartialEq)]
    struct Authorization { address buyer; uint256 validAfter; uint256 validBefore; bytes signature; }

    #[derive(Debug, PartialEq)]
    interface Payments {
        event PaymentSettled(bytes32 indexed requestId, address buyer, address seller, uint256 amount, string currency, uint256 timestamp);
        event FeeTaken(bytes32 indexed requestId, address token, address recipient, uint256 amount);

        error TokenNotTaken(address token);
        error AlreadySettled(bytes32 key);
        error AmountMismatch(uint256 asked, uint256 given);
        error InvalidAmount();
        error InvalidSeller(address seller);
        error InvalidRequestId();
        error InvalidMetadata();
        error RequestExpired(uint256 expires);
        error Reentered();
        error WrongAmountReceived(uint256 expected, uint256 received);
        error TransferFailed(address token);
        error AlreadyInitialized();
        error InvalidOwner();
        error NotOwner();
        error InvalidToken(address token);
        error InvalidSymbol();
        error SymbolTaken(address token);
        error FeeAboveCap(uint256 capBps);
        error InvalidFee();
        error NothingProposed();
        error NotYet(uint256 readyAt);

        function pay(address seller, uint256 amount, string requestId, bytes metadata) external;
        function pay(address token, address seller, uint256 amount, string requestId, bytes metadata) external;
        function payWithPermit(address token, Request request, uint256 deadline, uint8 v, bytes32 r, bytes32 s) external;
        function payWithAuthorization(address token, Request request, Authorization authorization) external;
        function onTransferReceived(address operator, address from, uint256 value, bytes data) external returns (bytes4);
        function onTokenTransfer(address from, uint256 value, bytes data) external returns (bool);
        function authorizationNonce(address seller, uint256 amount, string requestId, bytes32 requestHash) external view returns (bytes32);
        function settlementKey(address token, address seller, uint256 amount, string requestId) external view returns (bytes32);
        function isSettled(address token, address seller, uint256 amount, string requestId) external view returns (bool);
        function supportsInterface(bytes4 interfaceId) external view returns (bool);

        function initialize(address owner, address[] tokens, string[] symbols) external;
        function owner() external view returns (address);
        function defaultToken() external view returns (address);
        function symbolOf(address token) external view returns (string);
        function tokenWith(string symbol) external view returns (address);
        function feeBps() external view returns (uint256);
        function proposeOwner(address next) external;
        function acceptOwner() external;
        function proposeToken(address token, string symbol) external;
        function acceptToken(address token) external;
        function removeToken(address token) external;
        function proposeFee(uint256 bps, address recipient) external;
        function acceptFee() external;
        function dropFee() external;
    }

    interface Token {
        function mint(address to, uint256 value) external;
        function balanceOf(address account) external view returns (uint256);
        function approve(address spender, uint256 value) external;
        function transfer(address to, uint256 value) external;
        function transferAndCall(address to, uint256 value, bytes data) external returns (bool);
        function permit(address owner, address spender, uint256 value, uint256 deadline, uint8 v, bytes32 r, bytes32 s) external;
        function nonces(address owner) external view returns (uint256);
        function DOMAIN_SEPARATOR() external view returns (bytes32);
        function setParams(uint256 rate) external;
        function arm(address target, bytes data) external;
        function refusal() external view returns (bytes);
        function callsMade() external view returns (uint256);
    }
}

pub(super) const NOW: u64 = 1_800_000_000;
pub(super) const D1363: Address = address!("0x0dD0000000000000000000000000000000000005");
pub(super) const D677: Address = address!("0x0dD0000000000000000000000000000000000006");
pub(super) const USDT: Address = address!("0x0DD0000000000000000000000000000000000007");
pub(super) const WIDE: Address = address!("0x0Dd0000000000000000000000000000000000008");
pub(super) const CALLS: Address = address!("0x0dd0000000000000000000000000000000000009");
pub(super) const SELLER: Address = address!("0x00000000000000000000000000000000005e11e2");
pub(super) const ID: &str = "pay_01J8R4X2Z0000000000000000A";

/// The key of the first well-known account, which owns the contract.
const OWNER: [u8; 32] =
    alloy_primitives::hex!("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80");

/// Whoever signs.
#[derive(Clone)]
pub(super) struct Wallet {
    key: SecretKey,
    pub(super) address: Address,
}

impl Wallet {
    pub(super) fn new(seed: u8) -> Self {
        Self::of([seed; 32])
    }

    pub(super) fn owner() -> Self {
        Self::of(OWNER)
    }

    fn of(key: [u8; 32]) -> Self {
        let key = SecretKey::from_byte_array(key).unwrap();
        let public = key.public_key(SECP256K1).serialize_uncompressed();
        Self { key, address: Address::from_slice(&keccak256(&public[1..])[12..]) }
    }

    pub(super) fn sign(&self, digest: B256) -> Signature {
        let signature = SECP256K1.sign_ecdsa_recoverable(Message::from_digest(digest.0), &self.key);
        let (id, bytes) = signature.serialize_compact();
        Signature::from_bytes_and_parity(&bytes, i32::from(id) == 1)
    }
}

/// One payment as the chain tells it.
pub(super) type Settled = Payments::PaymentSettled;

/// A chain, a rich buyer, and somebody else.
pub(super) struct World {
    pub(super) chain: DevChain,
    pub(super) buyer: Wallet,
    pub(super) other: Wallet,
}

impl World {
    pub(super) fn new() -> Self {
        let chain = DevChain::new(Config { clock: ChainClock::Fixed(NOW), ..Config::default() });
        let world = Self { chain, buyer: Wallet::new(7), other: Wallet::new(8) };
        for wallet in [&world.buyer, &world.other] {
            world.chain.set_balance(wallet.address, U256::from(10).pow(U256::from(20)));
        }
        for token in [USDC, D1363, D677, USDT, WIDE, CALLS] {
            world.mint(token, world.buyer.address, 1_000_000);
        }
        world
    }

    pub(super) fn mint(&self, token: Address, to: Address, units: u64) {
        self.ok(&self.other, token, &Token::mintCall { to, value: U256::from(units) });
    }

    /// What a question answers.
    pub(super) fn ask<C: SolCall>(&self, to: Address, call: &C) -> C::Return {
        let data = Bytes::from(call.abi_encode());
        let answer = self.chain.request("eth_call", json!([{"to": to, "data": data}, "latest"])).unwrap();
        C::abi_decode_returns(&serde_json::from_value::<Bytes>(answer).unwrap()).unwrap()
    }

    pub(super) fn balance(&self, token: Address, account: Address) -> u64 {
        self.ask(token, &Token::balanceOfCall { account }).to()
    }

    /// Sends a transaction. When it would revert it is not sent, and this is what it reverts with.
    pub(super) fn send<C: SolCall>(
        &self,
        from: &Wallet,
        to: Address,
        call: &C,
    ) -> Result<Vec<Settled>, Bytes> {
        self.send_data(from, to, call.abi_encode().into()).map(|receipt| settled(&receipt))
    }

    pub(super) fn send_data(&self, from: &Wallet, to: Address, data: Bytes) -> Result<Value, Bytes> {
        let dry = json!([{"from": from.address, "to": to, "data": data}, "latest"]);
        if let Err(error) = self.chain.request("eth_call", dry) {
            return Err(serde_json::from_value(error.data.unwrap_or_else(|| json!("0x"))).unwrap());
        }
        let nonce = self.chain.request("eth_getTransactionCount", json!([from.address, "latest"])).unwrap();
        let transaction = TxEip1559 {
            chain_id: 84532,
            nonce: serde_json::from_value::<U256>(nonce).unwrap().to(),
            gas_limit: 10_000_000,
            max_fee_per_gas: 10_000_000_000,
            max_priority_fee_per_gas: 1,
            to: TxKind::Call(to),
            input: data,
            ..TxEip1559::default()
        };
        let signature = from.sign(transaction.signature_hash());
        let raw = TxEnvelope::from(transaction.into_signed(signature)).encoded_2718();
        let receipt = self.chain.request("eth_sendRawTransactionSync", json!([Bytes::from(raw)])).unwrap();
        assert_eq!(receipt["status"], "0x1", "{receipt}");
        Ok(receipt)
    }

    pub(super) fn ok<C: SolCall>(&self, from: &Wallet, to: Address, call: &C) -> Vec<Settled> {
        self.send(from, to, call).unwrap_or_else(|data| panic!("reverted with {data}"))
    }

    /// The call reverts with exactly this.
    #[track_caller]
    pub(super) fn refused<C: SolCall, E: SolError>(&self, from: &Wallet, to: Address, call: &C, error: E) {
        assert_eq!(self.send(from, to, call).unwrap_err(), Bytes::from(error.abi_encode()));
    }

    /// The contract holds nothing of any token.
    #[track_caller]
    pub(super) fn holds_nothing(&self) {
        for token in [USDC, D1363, D677, USDT, WIDE, CALLS] {
            assert_eq!(self.balance(token, X402_PAY), 0, "{token}");
        }
    }

    /// Brings the money with the token's `transferAndCall`.
    pub(super) fn bring(
        &self,
        from: &Wallet,
        token: Address,
        value: u64,
        data: Vec<u8>,
    ) -> Result<Vec<Settled>, Bytes> {
        let call = Token::transferAndCallCall { to: X402_PAY, value: U256::from(value), data: data.into() };
        self.send(from, token, &call)
    }

    /// Approves once and for all, then pays.
    pub(super) fn pay(
        &self,
        from: &Wallet,
        token: Address,
        request: &Request,
    ) -> Result<Vec<Settled>, Bytes> {
        if self.ask(token, &allowance(from.address)).is_zero() {
            self.ok(from, token, &Token::approveCall { spender: X402_PAY, value: U256::MAX });
        }
        self.send(from, X402_PAY, &pay(token, request))
    }

    /// Signs `ReceiveWithAuthorization` for the request; whoever has it can send it.
    pub(super) fn authorize(&self, token: Address, request: &Request, request_hash: B256) -> Authorization {
        let nonce = self.ask(
            X402_PAY,
            &Payments::authorizationNonceCall {
                seller: request.seller,
                amount: request.amount,
                requestId: request.requestId.clone(),
                requestHash: request_hash,
            },
        );
        let by_hand = keccak256(
            (request.seller, request.amount, keccak256(&request.requestId), request_hash).abi_encode(),
        );
        assert_eq!(nonce, by_hand);
        let (valid_after, valid_before) = (U256::ZERO, U256::from(self.chain.now() + 300));
        let kind = keccak256(
            "ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)",
        );
        let message = (kind, self.buyer.address, X402_PAY, request.amount, valid_after, valid_before, nonce);
        let digest = self.typed(token, keccak256(message.abi_encode()));
        Authorization {
            buyer: self.buyer.address,
            validAfter: valid_after,
            validBefore: valid_before,
            signature: self.buyer.sign(digest).as_bytes().into(),
        }
    }

    /// The EIP-712 digest under the token's domain.
    pub(super) fn typed(&self, token: Address, message: B256) -> B256 {
        let domain = self.ask(token, &Token::DOMAIN_SEPARATORCall {});
        keccak256([&[0x19, 0x01], domain.as_slice(), message.as_slice()].concat())
    }

    pub(super) fn is_settled(&self, token: Address, request: &Request) -> bool {
        let Request { seller, amount, requestId, .. } = request.clone();
        self.ask(X402_PAY, &Payments::isSettledCall { token, seller, amount, requestId })
    }
}

fn allowance(owner: Address) -> allowanceCall {
    allowanceCall { owner, spender: X402_PAY }
}

sol! {
    function allowance(address owner, address spender) external view returns (uint256);
}

/// Payments of a receipt, from the contract and nobody else.
fn settled(receipt: &Value) -> Vec<Settled> {
    let logs: Vec<Value> = serde_json::from_value(receipt["logs"].clone()).unwrap();
    let ours = logs.iter().filter(|log| log["address"] == json!(X402_PAY));
    let events = ours.filter(|log| log["topics"][0] == json!(Settled::SIGNATURE_HASH)).map(|log| {
        let topics: Vec<B256> = serde_json::from_value(log["topics"].clone()).unwrap();
        let data: Bytes = serde_json::from_value(log["data"].clone()).unwrap();
        Settled::decode_raw_log(topics, &data).unwrap()
    });
    events.collect()
}

pub(super) fn request(id: &str, amount: u64) -> Request {
    Request { seller: SELLER, amount: U256::from(amount), requestId: id.into(), metadata: Bytes::new() }
}

pub(super) fn metadata(expires: u64, request_hash: B256) -> Bytes {
    (U256::from(expires), request_hash).abi_encode().into()
}

pub(super) fn pay(token: Address, request: &Request) -> Payments::pay_1Call {
    let Request { seller, amount, requestId, metadata } = request.clone();
    Payments::pay_1Call { token, seller, amount, requestId, metadata }
}

/// What the event must say.
pub(super) fn event(buyer: &Wallet, request: &Request, currency: &str) -> Settled {
    Settled {
        requestId: keccak256(&request.requestId),
        buyer: buyer.address,
        seller: request.seller,
        amount: request.amount,
        currency: currency.into(),
        timestamp: U256::from(NOW),
    }
}

/// The two encodings of a request: as a struct and as a list of arguments.
pub(super) fn encodings(request: &Request) -> [Vec<u8>; 2] {
    [request.abi_encode(), request.abi_encode_params()]
}
