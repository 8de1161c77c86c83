// Puts the dollar token at Base Sepolia's USDC address of a development chain and mints to MINT_TO.
// Env: RPC_URL, USDC_ARTIFACT (JSON with "deployedBytecode"), MINT_TO, MINT_AMOUNT (base units).
import { readFileSync } from "node:fs";
import { env } from "./common.mjs";
import { load } from "../node/load.mjs";

const { createTestClient, http, parseAbi, publicActions, walletActions } = await load("viem");
const { baseSepolia } = await load("viem/chains");

const usdc = "0x036CbD53842c5426634e7929541eC2318f3dCF7e";
const abi = parseAbi([
  "function mint(address to, uint256 value)",
  "function balanceOf(address) view returns (uint256)",
  "function name() view returns (string)",
  "function version() view returns (string)",
]);
const chain = createTestClient({ mode: "anvil", chain: baseSepolia, transport: http(env("RPC_URL")), pollingInterval: 50 })
  .extend(publicActions)
  .extend(walletActions);
const artifact = JSON.parse(readFileSync(env("USDC_ARTIFACT"), "utf8"));
const code = artifact.deployedBytecode?.object ?? artifact.deployedBytecode;
const bytecode = code.startsWith("0x") ? code : `0x${code}`;

await chain.setCode({ address: usdc, bytecode });
const [account] = await chain.getAddresses();
const hash = await chain.writeContract({
  account,
  address: usdc,
  abi,
  functionName: "mint",
  args: [env("MINT_TO"), BigInt(env("MINT_AMOUNT"))],
});
const { status } = await chain.waitForTransactionReceipt({ hash });
const read = (functionName, args) => chain.readContract({ address: usdc, abi, functionName, args });
const [name, version, balance] = await Promise.all([read("name"), read("version"), read("balanceOf", [env("MINT_TO")])]);
if (status !== "success" || name !== "USDC" || version !== "2" || balance < BigInt(env("MINT_AMOUNT"))) {
  console.error("token is not usable:", { status, name, version, balance });
  process.exit(1);
}
