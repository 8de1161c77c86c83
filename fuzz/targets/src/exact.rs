//! Verification of `exact` on EVM: what is accepted satisfies a predicate written from the standards, and nothing that
//! satisfies it is refused.

use alloy_dyn_abi::TypedData;
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_sol_types::SolValue;
use arbitrary::{Arbitrary, Unstructured};
use groat_chain_evm::fuzzing::{Sight, verdict};
use groat_chain_evm::proof::{Authorization, Proof, Signature};
use groat_chain_evm::typed_data::Domain;
use groat_chain_evm::{ChainLimits, account};
use groat_core::payment::DialectId;
use groat_core::{Amount, Network, Offer, Payment, Timestamp};
use k256::ecdsa::{RecoveryId, VerifyingKey};
use serde_json::Map;

use crate::sample::{self, NOW, PAY_TO};

/// The bytes as changes of a good payment, of its offer and of what the chain says.
pub fn target(data: &[u8]) {
    let mut bytes = Unstructured::new(data);
    let mut case = Case::good();
    let Ok(before) = Vec::<Twist>::arbitrary(&mut bytes) else { return };
    before.iter().take(8).for_each(|twist| case.twist(twist));
    case.sign();
    let after = Vec::<Twist>::arbitrary(&mut bytes).unwrap_or_default();
    after.iter().take(8).for_each(|twist| case.twist(twist));

    case.digest_is_that_of_the_standard();
    case.signature_is_classified();
    let payment = case.payment();
    let verdict = verdict(&payment, &case.offer, &case.limits, &case.signers, Timestamp(NOW), &case.sight);
    assert_eq!(verdict.is_ok(), case.acceptable(&payment), "{verdict:?} for {case:#?}");
}

/// One thing that is otherwise than in a good payment.
#[derive(Debug, Arbitrary)]
enum Twist {
    Value([u8; 32]),
    ValueBy(i8),
    From(u8),
    To(u8),
    PayTo(u8),
    Asset(u8),
    ValidAfter(i32),
    ValidBefore(i32),
    Validity([u8; 32], [u8; 32]),
    Nonce([u8; 32]),
    SignatureHigh,
    SignatureV(u8),
    SignatureByte(u8, u8),
    SignatureLength(u8),
    SignatureIs(Vec<u8>),
    Wrapped(u8, Vec<u8>),
    WrappedBroken(Vec<u8>),
    Amount(i8),
    Name(u8),
    Version(u8),
    Network(u8),
    PaymentNetwork(u8),
    Scheme(bool, bool),
    AllowPayTo(u8),
    AllowFactory(u8),
    AllowAsset(u8),
    Signer(u8),
    Window(u16, u8),
    AssetCode(bool),
    PayerCode(bool, Option<bool>),
    Balance(Option<u16>),
    Used(Option<bool>),
    SeenName(Option<u8>),
    SeenVersion(Option<u8>),
    BlockTime(Option<i16>),
    Simulated(Option<bool>),
}

#[derive(Debug)]
struct Case {
    authorization: Authorization,
    signature: Vec<u8>,
    key: u8,
    payment_scheme: String,
    payment_network: Network,
    offer: Offer,
    limits: ChainLimits,
    signers: Vec<Address>,
    sight: Sight,
}

fn someone(index: u8) -> Address {
    match index {
        0..=5 => sample::payer(index),
        6 => sample::address(PAY_TO),
        7 => sample::address("0x036CbD53842c5426634e7929541eC2318f3dCF7e"),
        8 => sample::address("0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913"),
        9 => Address::ZERO,
        other => Address::repeat_byte(other),
    }
}

fn word(index: u8) -> String {
    ["USDC", "USD Coin", "2", "1", "", "usdc"][usize::from(index) % 6].to_owned()
}

fn network(index: u8) -> Network {
    let names = ["eip155:84532", "eip155:8453", "eip155:1", "solana:mainnet", "eip155:0", "eip155:999"];
    Network::parse(names[usize::from(index) % 6]).unwrap()
}

impl Case {
    fn good() -> Self {
        let offer = sample::offer("$0.01", "base-sepolia");
        Self {
            authorization: Authorization {
                from: sample::payer(0),
                to: sample::address(PAY_TO),
                value: U256::from(10_000),
                valid_after: U256::ZERO,
                valid_before: U256::from(NOW + 60),
                nonce: B256::repeat_byte(1),
            },
            signature: Vec::new(),
            key: 0,
            payment_scheme: "exact".into(),
            payment_network: offer.network.clone(),
            limits: ChainLimits::default(),
            signers: vec![Address::repeat_byte(0x5e)],
            sight: Sight {
                asset_has_code: true,
                balance: Some(U256::from(10_000)),
                used: Some(false),
                name: Some("USDC".into()),
                version: Some("2".into()),
                block_time: Some(U256::from(NOW)),
                ..Sight::default()
            },
            offer,
        }
    }

    fn twist(&mut self, twist: &Twist) {
        let around = |by: i64| U256::from(NOW.saturating_add_signed(by));
        let byte_at = |signature: &mut Vec<u8>, index: usize, byte: u8| {
            if let Some(own) = signature.get_mut(index) {
                *own = byte;
            }
        };
        match twist {
            Twist::Value(bytes) => self.authorization.value = U256::from_be_bytes(*bytes),
            Twist::ValueBy(by) => {
                self.authorization.value = U256::from(10_000_u64.saturating_add_signed((*by).into()))
            }
            Twist::From(index) => {
                self.authorization.from = someone(*index);
                self.key = (*index).min(5);
            }
            Twist::To(index) => self.authorization.to = someone(*index),
            Twist::PayTo(index) => self.offer.pay_to = account::text(someone(*index)),
            Twist::Asset(index) => self.offer.asset = account::text(someone(*index)),
            Twist::ValidAfter(by) => self.authorization.valid_after = around((*by).into()),
            Twist::ValidBefore(by) => self.authorization.valid_before = around((*by).into()),
            Twist::Validity(after, before) => {
                self.authorization.valid_after = U256::from_be_bytes(*after);
                self.authorization.valid_before = U256::from_be_bytes(*before);
            }
            Twist::Nonce(bytes) => self.authorization.nonce = B256::from(*bytes),
            Twist::SignatureHigh => self.flip_s(),
            Twist::SignatureV(v) => byte_at(&mut self.signature, 64, *v),
            Twist::SignatureByte(index, byte) => byte_at(&mut self.signature, (*index).into(), *byte),
            Twist::SignatureLength(length) => self.signature.resize(usize::from(*length), 0x64),
            Twist::SignatureIs(bytes) => self.signature.clone_from(bytes),
            Twist::Wrapped(factory, calldata) => {
                let (calldata, inner) =
                    (Bytes::copy_from_slice(calldata), Bytes::from(self.signature.clone()));
                self.signature = (someone(*factory), calldata, inner).abi_encode_params();
                self.signature.extend(MAGIC);
            }
            Twist::WrappedBroken(bytes) => self.signature = bytes.iter().copied().chain(MAGIC).collect(),
            Twist::Amount(by) => {
                self.offer.amount = Amount::from_units(10_000_u128.saturating_add_signed((*by).into()))
            }
            Twist::Name(index) => drop(self.offer.extra.insert("name".into(), word(*index).into())),
            Twist::Version(index) => drop(self.offer.extra.insert("version".into(), word(*index).into())),
            Twist::Network(index) => self.offer.network = network(*index),
            Twist::PaymentNetwork(index) => self.payment_network = network(*index),
            Twist::Scheme(offer, payment) => {
                let name = |other| if other { "upto" } else { "exact" }.to_owned();
                (self.offer.scheme, self.payment_scheme) = (name(*offer), name(*payment));
            }
            Twist::AllowPayTo(index) => self.limits.pay_to.push(someone(*index)),
            Twist::AllowFactory(index) => self.limits.factories.push(someone(*index)),
            Twist::AllowAsset(index) => self.limits.assets.push(someone(*index)),
            Twist::Signer(index) => self.signers.push(someone(*index)),
            Twist::Window(window, margin) => {
                (self.limits.window_s_max, self.limits.margin_s) = ((*window).into(), (*margin).into());
            }
            Twist::AssetCode(code) => self.sight.asset_has_code = *code,
            Twist::PayerCode(code, accepts) => {
                (self.sight.payer_has_code, self.sight.contract_accepts) = (*code, *accepts);
            }
            Twist::Balance(balance) => self.sight.balance = balance.map(U256::from),
            Twist::Used(used) => self.sight.used = *used,
            Twist::SeenName(name) => self.sight.name = name.map(word),
            Twist::SeenVersion(version) => self.sight.version = version.map(word),
            Twist::BlockTime(by) => self.sight.block_time = by.map(|by| around(by.into())),
            Twist::Simulated(result) => self.sight.simulated = *result,
        }
    }

    fn sign(&mut self) {
        self.signature =
            sample::sign(&sample::payer_key(self.key), digest(&self.domain(), &self.authorization)).to_vec();
    }

    /// The other of the two signatures that mean the same to a careless verifier.
    fn flip_s(&mut self) {
        let Some(s) = self.signature.get(32..64) else { return };
        let order = U256::from_be_slice(&hex::decode(ORDER).unwrap());
        let flipped = order.wrapping_sub(U256::from_be_slice(s));
        self.signature[32..64].copy_from_slice(&flipped.to_be_bytes::<32>());
        if let Some(v) = self.signature.get_mut(64) {
            *v ^= if *v < 27 { 1 } else { 27 ^ 28 };
        }
    }

    fn domain(&self) -> Domain {
        let text = |name: &str| self.offer.extra[name].as_str().unwrap().to_owned();
        Domain {
            name: text("name"),
            version: text("version"),
            chain_id: self.offer.network.chain_id().unwrap_or_default(),
            asset: sample::address(&self.offer.asset),
        }
    }

    fn payment(&self) -> Payment {
        Payment {
            dialect: DialectId::new("x402-v2"),
            scheme: self.payment_scheme.clone(),
            network: self.payment_network.clone(),
            proof: Proof::write(&self.authorization, &self.signature),
            accepted: None,
            resource: None,
            extensions: Map::new(),
        }
    }

    fn digest_is_that_of_the_standard(&self) {
        let domain = self.domain();
        let ours = domain.digest(&self.authorization);
        assert_eq!(ours, digest(&domain, &self.authorization));
        // What a person is shown is what is signed.
        let shown: TypedData = serde_json::from_value(domain.typed_data(&self.authorization)).unwrap();
        assert_eq!(ours, shown.eip712_signing_hash().unwrap());
    }

    /// The kind of a signature hangs on its bytes alone, and the bytes are kept.
    fn signature_is_classified(&self) {
        let written = Proof::write(&self.authorization, &self.signature);
        let read = Proof::read(&written);
        let wrapped = self.signature.strip_suffix(&MAGIC);
        let proof = match read {
            Ok(proof) => proof,
            // Too long, or a wrapper with nonsense inside.
            Err(_) => {
                return assert!(
                    self.signature.len() > 4096 || wrapped.is_some_and(|bytes| unwrap(bytes).is_none())
                );
            }
        };
        assert_eq!(proof.authorization, self.authorization);
        match (&proof.signature, wrapped) {
            (Signature::Counterfactual { factory, calldata, inner }, Some(bytes)) => {
                assert_eq!(unwrap(bytes), Some((*factory, calldata.clone(), inner.clone())));
            }
            (Signature::Ecdsa(bytes), None) => assert_eq!(bytes.0[..], self.signature),
            (Signature::Contract(bytes), None) => {
                assert_eq!(bytes[..], self.signature);
                assert_ne!(bytes.len(), 65);
            }
            (other, _) => panic!("{other:?} from {:?}", self.signature),
        }
    }

    /// Whether this payment must be taken, from x402 `exact` on EVM, EIP-3009, EIP-712, ERC-1271 and ERC-6492.
    fn acceptable(&self, payment: &Payment) -> bool {
        let (authorization, offer, limits, sight) =
            (&self.authorization, &self.offer, &self.limits, &self.sight);
        let domain = self.domain();
        let asset = domain.asset;
        let pay_to = sample::address(&offer.pay_to);
        let schemes = offer.scheme == "exact" && payment.scheme == "exact";
        let networks = offer.network == payment.network && offer.network.chain_id().is_some();
        // The tables of this target: the only two tokens of `someone` that are known, with what they are called.
        let known = match (domain.chain_id, account::text(asset).as_str()) {
            (84532, "0x036CbD53842c5426634e7929541eC2318f3dCF7e") => Some("USDC"),
            (8453, "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913") => Some("USD Coin"),
            _ => None,
        };
        let token = match known {
            Some(name) => domain.name == name && domain.version == "2",
            None => limits.assets.contains(&asset),
        };
        let payee = !pay_to.is_zero()
            && pay_to != asset
            && !self.signers.contains(&pay_to)
            && (limits.pay_to.is_empty() || limits.pay_to.contains(&pay_to));
        let terms = authorization.to == pay_to
            && authorization.value == offer.amount.as_u256()
            && !authorization.value.is_zero()
            && authorization.valid_before >= U256::from(NOW + limits.margin_s)
            && authorization.valid_before <= U256::from(NOW + limits.window_s_max)
            && authorization.valid_after <= U256::from(NOW);
        let chain = sight.asset_has_code
            && sight.used == Some(false)
            && sight.block_time.is_none_or(|time| time < authorization.valid_before)
            && sight.name.as_ref().is_none_or(|name| *name == domain.name)
            && sight.version.as_ref().is_none_or(|version| *version == domain.version)
            && sight.balance.is_some_and(|balance| balance >= authorization.value)
            && sight.simulated != Some(false);
        let payer = !self.signers.contains(&authorization.from);
        schemes && networks && token && payee && payer && terms && chain && self.signature_good(&domain)
    }

    fn signature_good(&self, domain: &Domain) -> bool {
        let from = self.authorization.from;
        let hash = digest(domain, &self.authorization);
        if self.signature.len() > 4096 {
            return false;
        }
        let wrapper = match self.signature.strip_suffix(&MAGIC).map(unwrap) {
            Some(None) => return false,
            Some(Some((factory, _, inner))) => {
                let own_key = signer(hash, &inner) == Some(from);
                if !self.limits.factories.contains(&factory) || own_key {
                    return false;
                }
                true
            }
            None => false,
        };
        match (self.sight.payer_has_code, wrapper) {
            (true, _) => self.sight.contract_accepts == Some(true),
            (false, true) => self.sight.simulated == Some(true),
            (false, false) => signer(hash, &self.signature) == Some(from),
        }
    }
}

/// The end of an ERC-6492 signature.
const MAGIC: [u8; 32] = *b"\x64\x92\x64\x92\x64\x92\x64\x92\x64\x92\x64\x92\x64\x92\x64\x92\x64\x92\x64\x92\x64\x92\x64\x92\x64\x92\x64\x92\x64\x92\x64\x92";

/// The order of secp256k1.
const ORDER: &str = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";

fn unwrap(bytes: &[u8]) -> Option<(Address, Bytes, Bytes)> {
    <(Address, Bytes, Bytes)>::abi_decode_params(bytes).ok()
}

/// Who signed, by another library: 65 bytes, v of one of four values, s in the lower half.
fn signer(hash: B256, signature: &[u8]) -> Option<Address> {
    let v = *signature.get(64).filter(|_| signature.len() == 65)?;
    let parity = match v {
        0 | 27 => 0,
        1 | 28 => 1,
        _ => return None,
    };
    let rs = k256::ecdsa::Signature::from_slice(&signature[..64]).ok()?;
    if rs.normalize_s().is_some() {
        return None;
    }
    let key =
        VerifyingKey::recover_from_prehash(hash.as_slice(), &rs, RecoveryId::from_byte(parity)?).ok()?;
    let point = key.to_encoded_point(false);
    Some(Address::from_slice(&keccak256(&point.as_bytes()[1..])[12..]))
}

/// EIP-712 for EIP-3009, by hand.
fn digest(domain: &Domain, authorization: &Authorization) -> B256 {
    let word = |value: u64| B256::from(U256::from(value));
    let separator = keccak256(
        [
            keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
            keccak256(&domain.name),
            keccak256(&domain.version),
            word(domain.chain_id),
            domain.asset.into_word(),
        ]
        .concat(),
    );
    let message = keccak256(
        [
            keccak256("TransferWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"),
            authorization.from.into_word(),
            authorization.to.into_word(),
            B256::from(authorization.value),
            B256::from(authorization.valid_after),
            B256::from(authorization.valid_before),
            authorization.nonce,
        ]
        .concat(),
    );
    keccak256([&[0x19, 0x01], separator.as_slice(), message.as_slice()].concat())
}

/// A domain as the facilitator's target signs for it.
pub(crate) fn signed(key: u8, domain: &Domain, authorization: &Authorization) -> String {
    format!("0x{}", hex::encode(sample::sign(&sample::payer_key(key), digest(domain, authorization))))
}
