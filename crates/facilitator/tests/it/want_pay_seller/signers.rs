//! Who has signed: every algorithm of the profile, and everybody else.

use alloy_primitives::{Address, B256, TxKind, U256, eip191_hash_message, hex, keccak256};
use alloy_sol_types::{SolCall, SolStruct, SolValue, eip712_domain, sol};
use groat_devchain::{USDC, X402_PAY};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::bazaar::*;
use crate::agentxpay::market::Account;
use crate::wallets::FACTORY;

sol! {
    function createAccount(address owner, uint256 salt) external returns (address account);
    function getAddress(address owner, uint256 salt) external view returns (address account);
    function execute(address target, uint256 value, bytes data) external returns (bytes answer);

    struct PaymentProof {
        string iss; string sub; string amount; string currency; string chain; string tx; uint256 iat; uint256 exp;
        string nonce; string aud; string htm; string htu; string jti;
    }
}

const ORDER: U256 =
    U256::from_limbs([0xbfd2_5e8c_d036_4141, 0xbaae_dce6_af48_a03b, 0xffff_ffff_ffff_fffe, u64::MAX]);

fn sha(input: &str) -> B256 {
    B256::new(Sha256::digest(input).into())
}

/// The same signature with the other s.
fn high(signature: &[u8]) -> Vec<u8> {
    let s = ORDER - U256::from_be_slice(&signature[32..64]);
    let mut other = [&signature[..32], &s.to_be_bytes::<32>()].concat();
    other.extend(signature.get(64).map(|v| v ^ 7));
    other
}

fn with(input: &str, signature: &[u8]) -> String {
    format!("{input}.{}", encode(signature))
}

#[tokio::test]
async fn t02_t03_t04_every_algorithm_of_the_profile_opens_and_no_other() {
    let bazaar = Bazaar::new();
    let shop = bazaar.shop();
    for way in 0..9 {
        let request = shop.asked("/forecast").await;
        let claims = bazaar.claims(&request, bazaar.settle(&request));
        let name =
            ["ES256K", "ES256K", "ES256K", "ES256K", "ES256K-R", "ES256K-R", "EIP191", "EIP191", "EIP712"]
                [way];
        let input = input(name, &claims);
        let digest = match way {
            0..=5 => sha(&input),
            6..=7 => eip191_hash_message(&input),
            _ => typed(&claims),
        };
        let signature = bazaar.ada.sign(digest).to_vec();
        let shown = match way {
            0 => signature[..64].to_vec(),
            1 => high(&signature[..64]),
            3 | 5 => high(&signature),
            7 => [&signature[..64], &[signature[64] - 27]].concat(),
            _ => signature,
        };
        // v of 27 and 28 changes places by 27 ^ 28 = 7.
        shop.prove("/forecast", &with(&input, &shown)).await.is_served();
        assert_eq!(bazaar.runs(), way + 1);
    }
}

fn typed(claims: &Value) -> B256 {
    let member = |key: &str| claims[key].as_str().unwrap_or_default().to_owned();
    let domain = eip712_domain! { name: "x402-pay", version: "1", chain_id: 84532, };
    let proof = PaymentProof {
        iss: member("iss"),
        sub: member("sub"),
        amount: member("amount"),
        currency: member("currency"),
        chain: member("chain"),
        tx: member("tx"),
        iat: U256::from(claims["iat"].as_u64().unwrap()),
        exp: U256::from(claims["exp"].as_u64().unwrap()),
        nonce: member("nonce"),
        aud: member("aud"),
        htm: member("htm"),
        htu: member("htu"),
        jti: member("jti"),
    };
    proof.eip712_signing_hash(&domain)
}

#[tokio::test]
async fn t01_t03_what_the_account_did_not_sign_opens_nothing() {
    let bazaar = Bazaar::new();
    let shop = bazaar.shop();
    let request = shop.asked("/forecast").await;
    let claims = bazaar.claims(&request, bazaar.settle(&request));
    let signing = input("ES256K", &claims);
    let good = bazaar.ada.sign(sha(&signing));
    let mut wrong_v = good;
    wrong_v[64] ^= 7;
    let zero = [0u8; 64];
    let order: [u8; 32] = ORDER.to_be_bytes();
    let refused: Vec<(String, &[u8])> = vec![
        (signing.clone(), &wrong_v),
        (signing.clone(), &zero),
        (input("EIP191", &claims), &good),
        (input("EIP712", &claims), &good),
        (input("ES256K-R", &but(&claims, "jti", json!("x"))), &good),
        (input("ERC1271", &claims), &good),
    ];
    let eve = bazaar.eve.sign(sha(&signing));
    let out_of_range = [&order[..], &good[32..64]].concat();
    let keccak = bazaar.ada.sign(keccak256(&signing));
    for (input, signature) in refused.into_iter().chain([
        (signing.clone(), &eve[..]),
        (signing.clone(), &out_of_range[..]),
        (signing.clone(), &keccak[..]),
    ]) {
        shop.prove("/forecast", &with(&input, signature)).await.is_refused("bad_signature");
    }
    let seen = shop.prove("/forecast", &with(&signing, &keccak)).await;
    assert!(seen.body.contains("digest_mismatch"), "{seen:?}");
    for algorithm in ["none", "HS256", "ES256", "EdDSA", "RS256", "es256k", ""] {
        let input = input(algorithm, &claims);
        let seen = shop.prove("/forecast", &with(&input, &bazaar.ada.sign(sha(&input))[..64])).await;
        assert_eq!((seen.status.as_u16(), &*seen.error()), (400, "invalid_proof"), "{algorithm}");
    }
    for member in ["crit", "b64", "zip", "jku", "jwk", "x5u", "x5c", "x5t"] {
        let header =
            encode(but(&json!({"typ": "JWT", "alg": "ES256K"}), member, json!(["x"])).to_string().as_bytes());
        let input = format!("{header}.{}", encode(claims.to_string().as_bytes()));
        let seen = shop.prove("/forecast", &with(&input, &bazaar.ada.sign(sha(&input))[..64])).await;
        assert_eq!((seen.status.as_u16(), &*seen.error()), (400, "invalid_proof"), "{member}");
    }
    // T09: a member twice, and base64url in another spelling.
    let twice = claims.to_string().replacen('{', "{\"amount\":\"0.01\",", 1);
    let twice = format!("{}.{}", encode(br#"{"typ":"JWT","alg":"ES256K"}"#), encode(twice.as_bytes()));
    let padded = format!("{}=", with(&signing, &good[..64]));
    for token in [with(&twice, &bazaar.ada.sign(sha(&twice))[..64]), padded, with(&signing, &good[..63])] {
        let seen = shop.prove("/forecast", &token).await;
        assert_eq!((seen.status.as_u16(), &*seen.error()), (400, "invalid_proof"), "{token}");
    }
    assert_eq!(bazaar.runs(), 0);
    shop.prove("/forecast", &with(&signing, &good[..64])).await.is_served();
}

/// A wallet of an account, deployed by hand, with a dollar in it.
fn wallet_of(bazaar: &Bazaar, owner: &Account) -> Address {
    let call = createAccountCall { owner: owner.address, salt: U256::ZERO }.abi_encode();
    bazaar.transact(owner, TxKind::Call(FACTORY), 0, call);
    let call = getAddressCall { owner: owner.address, salt: U256::ZERO }.abi_encode();
    let params = json!([{ "to": FACTORY, "data": hex::encode_prefixed(call) }, "latest"]);
    let word: B256 = bazaar.ask("eth_call", params).as_str().unwrap().parse().unwrap();
    let wallet = Address::from_word(word);
    bazaar.chain.mint_usdc(wallet, U256::from(1_000_000));
    wallet
}

fn execute(bazaar: &Bazaar, owner: &Account, wallet: Address, target: Address, data: Vec<u8>) -> B256 {
    let call = executeCall { target, value: U256::ZERO, data: data.into() }.abi_encode();
    bazaar.transact(owner, TxKind::Call(wallet), 0, call)
}

#[tokio::test]
async fn t04_a_wallet_that_is_a_contract_proves_by_its_own_word_also_wrapped() {
    let bazaar = Bazaar::new();
    let shop = bazaar.shop();
    let wallet = wallet_of(&bazaar, &bazaar.ada);
    let approve = approveCall { spender: X402_PAY, amount: U256::MAX }.abi_encode();
    execute(&bazaar, &bazaar.ada, wallet, USDC, approve);
    for is_wrapped in [false, true] {
        let request = shop.asked("/forecast").await;
        let call = pay_call(&request, bazaar.seller(), CENT, true);
        let tx = execute(&bazaar, &bazaar.ada, wallet, X402_PAY, call);
        let claims = but(&bazaar.claims(&request, tx), "iss", json!(wallet.to_string()));
        let input = input("ERC1271", &claims);
        let forged = bazaar.eve.sign(sha(&input));
        shop.prove("/forecast", &with(&input, &forged)).await.is_refused("bad_signature");
        // The owner is not the wallet.
        let by_owner = bazaar.token("ES256K", &bazaar.claims(&request, tx), &bazaar.ada);
        shop.prove("/forecast", &by_owner).await.is_refused("not_settled");
        let mut shown = bazaar.ada.sign(sha(&input)).to_vec();
        if is_wrapped {
            let deploy = createAccountCall { owner: bazaar.ada.address, salt: U256::ZERO }.abi_encode();
            shown = (FACTORY, deploy, shown).abi_encode_params();
            shown.extend([0x64, 0x92].repeat(16));
        }
        let seen = shop.prove("/forecast", &with(&input, &shown)).await;
        assert!(seen.status.is_success(), "wrapped: {is_wrapped}: {seen:?}");
    }
    assert_eq!(bazaar.runs(), 2);
}

#[tokio::test]
async fn t04_a_contract_that_agrees_with_everything_proves_only_what_it_has_paid() {
    let bazaar = Bazaar::new();
    let shop = bazaar.shop();
    let request = shop.asked("/forecast").await;
    let tx = bazaar.settle(&request);
    let always = "0x0DD1000000000000000000000000000000000003";
    let claims = but(&bazaar.claims(&request, tx), "iss", json!(always));
    let token = with(&input("ERC1271", &claims), b"anything");
    shop.prove("/forecast", &token).await.is_refused("not_settled");
    assert_eq!(bazaar.runs(), 0);
}
