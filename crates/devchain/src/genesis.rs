//! The first state: our contracts at their addresses, and the accounts that everybody has the keys of.

use std::sync::LazyLock;

use alloy_primitives::{Address, Bytes, U256, address, bytes};
use alloy_sol_types::{SolCall, sol};
use serde_json::Value;

use crate::chain::Node;
use crate::{Config, USDC, agentxpay, exec, transaction};

sol! {
    interface Token {
        function mint(address to, uint256 value) external;
        function balanceOf(address account) external view returns (uint256);
    }

    interface Payments {
        function initialize(address owner, address[] tokens, string[] symbols) external;
    }
}

/// The ten accounts of the mnemonic "test test test test test test test test test test test junk".
pub(crate) const RICH: [Address; 10] = [
    address!("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"),
    address!("0x70997970C51812dc3A010C7d01b50e0d17dc79C8"),
    address!("0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"),
    address!("0x90F79bf6EB2c4f870365E785982E1f101E93b906"),
    address!("0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65"),
    address!("0x9965507D1a55bcC2695C58ba16FB37d819B0A4dc"),
    address!("0x976EA74026E726554dB657fA54763abd0C3a0aa9"),
    address!("0x14dC79964da2C08b23698B3D3cc7Ca32193d9955"),
    address!("0x23618e81E3f5cdF7f54C3d65f7FBc0aBf5B21E8f"),
    address!("0xa0Ee7A142d267C1f36714E4a8F75612F20a79720"),
];

/// The CREATE2 deployer that is on every chain, and its runtime code.
pub(crate) const DEPLOYER: Address = address!("0x4e59b44847b379578588920cA78FbF26c0B4956C");
const DEPLOYER_CODE: Bytes = bytes!(
    "0x7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe03601600081602082378035828234f58015156039578182fd5b8082525050506014600cf3"
);

/// Our contracts, compiled; `contracts/README.md` says from what.
const ARTIFACTS: &[(&str, &str)] = &[
    ("Usdc", include_str!("../../../contracts/artifacts/Usdc.json")),
    ("Multicall3", include_str!("../../../contracts/artifacts/Multicall3.json")),
    ("SmartWalletFactory", include_str!("../../../contracts/artifacts/SmartWalletFactory.json")),
    ("FeeToken", include_str!("../../../contracts/artifacts/FeeToken.json")),
    ("SilentToken", include_str!("../../../contracts/artifacts/SilentToken.json")),
    ("GasBurnerToken", include_str!("../../../contracts/artifacts/GasBurnerToken.json")),
    ("LyingToken", include_str!("../../../contracts/artifacts/LyingToken.json")),
    ("GasWallet", include_str!("../../../contracts/artifacts/GasWallet.json")),
    ("LiarWallet", include_str!("../../../contracts/artifacts/LiarWallet.json")),
    ("AlwaysWallet", include_str!("../../../contracts/artifacts/AlwaysWallet.json")),
    ("X402Pay", include_str!("../../../contracts/artifacts/X402Pay.json")),
    ("Erc1363Dollar", include_str!("../../../contracts/artifacts/Erc1363Dollar.json")),
    ("Erc677Dollar", include_str!("../../../contracts/artifacts/Erc677Dollar.json")),
    ("TetherDollar", include_str!("../../../contracts/artifacts/TetherDollar.json")),
    ("WideDollar", include_str!("../../../contracts/artifacts/WideDollar.json")),
    ("CallingDollar", include_str!("../../../contracts/artifacts/CallingDollar.json")),
    ("PermitDollar", include_str!("../../../contracts/artifacts/PermitDollar.json")),
    ("Permit2", include_str!("../../../contracts/artifacts/Permit2.json")),
];
/// The tokens that `X402Pay` takes, and the symbols that it calls them by; the first is its default.
const TAKEN: [(&str, &str); 6] = [
    ("Usdc", "USDC"),
    ("Erc1363Dollar", "D1363"),
    ("Erc677Dollar", "D677"),
    ("TetherDollar", "USDT"),
    ("WideDollar", "WIDE"),
    ("CallingDollar", "CALLS"),
];
const ADDRESSES: &str = include_str!("../../../contracts/addresses.json");

/// What is put at an address.
enum Code {
    /// The code that stays there.
    Runtime(Bytes),
    /// Creation code and its arguments.
    Creation(Bytes),
}

/// Every contract of ours and where it belongs; read once, because JSON takes longer than the rest of a new chain.
static CONTRACTS: LazyLock<Vec<(Address, Code)>> = LazyLock::new(|| {
    let addresses: Value = serde_json::from_str(ADDRESSES).unwrap_or_default();
    let placed = ARTIFACTS.iter().filter_map(|(name, artifact)| {
        let code = bytecode(artifact, "deployedBytecode")?;
        Some((addresses[*name].as_str()?.parse().ok()?, Code::Runtime(code)))
    });
    let constructed = agentxpay::contracts().into_iter().filter_map(|(address, artifact, arguments)| {
        let creation = bytecode(artifact, "bytecode")?;
        Some((address, Code::Creation([&creation[..], &arguments].concat().into())))
    });
    placed.chain(constructed).collect()
});

/// The code in an artifact.
fn bytecode(artifact: &str, member: &str) -> Option<Bytes> {
    let artifact: Value = serde_json::from_str(artifact).unwrap_or_default();
    artifact[member].as_str()?.parse().ok()
}

/// A chain in its first state.
pub(crate) fn node(config: Config) -> Node {
    let mut node = Node::new(config);
    for (address, code) in CONTRACTS.iter() {
        match code {
            Code::Runtime(code) => node.ledger.set_code(*address, code.clone()),
            Code::Creation(code) => construct(&mut node, *address, code.clone()),
        }
    }
    node.ledger.set_code(DEPLOYER, DEPLOYER_CODE);
    for account in RICH {
        node.ledger.set_balance(account, U256::from(10_000) * U256::from(10).pow(U256::from(18)));
    }
    mint_usdc(&mut node, RICH[0], U256::from(1_000_000_000_000u64));
    open_x402_pay(&mut node);
    node
}

/// Puts a contract where it belongs as if the first rich account had deployed it there. Creation code that is called at
/// an address does what it does in a deployment: it writes the storage of that address and returns the code to stay.
fn construct(node: &mut Node, address: Address, creation: Bytes) {
    node.ledger.set_code(address, creation);
    let tx =
        transaction::call_env(RICH[0], Some(address), Bytes::new(), U256::ZERO, crate::chain::BLOCK_GAS, 0);
    let done = exec::call(&node.ledger, node.config.chain_id, node.head_env(), tx);
    let Ok((mut changes, Ok(code))) = done.map(|done| (done.state, exec::output(done.result))) else {
        tracing::error!(%address, "a contract cannot be constructed");
        return;
    };
    // The rest is the count of the caller's transactions, and there was none.
    changes.retain(|changed, _| *changed == address);
    node.ledger.commit(changes);
    node.ledger.set_code(address, code);
    node.ledger.set_nonce(address, 1);
}

/// What its deployer would do: the first account owns `X402Pay`, and it takes our tokens.
fn open_x402_pay(node: &mut Node) {
    let addresses: Value = serde_json::from_str(ADDRESSES).unwrap_or_default();
    let address = |name: &str| addresses[name].as_str().and_then(|address| address.parse::<Address>().ok());
    let Some(contract) = address("X402Pay") else { return };
    let taken = TAKEN.iter().filter_map(|(name, symbol)| Some((address(name)?, (*symbol).to_owned())));
    let (tokens, symbols) = taken.unzip();
    let call = Payments::initializeCall { owner: RICH[0], tokens, symbols };
    stage(node, Address::ZERO, contract, call.abi_encode().into());
}

/// Runs the token's own `mint`, outside of any block.
pub(crate) fn mint_usdc(node: &mut Node, account: Address, units: U256) {
    stage(node, Address::ZERO, USDC, Token::mintCall { to: account, value: units }.abi_encode().into());
}

/// Runs a call outside of any block. Returns whether it went through.
pub(crate) fn stage(node: &mut Node, from: Address, to: Address, data: Bytes) -> bool {
    let tx = transaction::call_env(from, Some(to), data, U256::ZERO, crate::chain::BLOCK_GAS, 0);
    match exec::call(&node.ledger, node.config.chain_id, node.head_env(), tx) {
        Ok(mut done) if done.result.is_success() => {
            // Not a transaction of the caller's.
            done.state.retain(|changed, _| *changed != from);
            node.ledger.commit(done.state);
            true
        }
        _ => false,
    }
}

/// Asks the token.
pub(crate) fn usdc_balance(node: &Node, account: Address) -> U256 {
    let answer = node.call(USDC, Token::balanceOfCall { account }.abi_encode().into());
    answer.ok().and_then(|data| Token::balanceOfCall::abi_decode_returns(&data).ok()).unwrap_or_default()
}
