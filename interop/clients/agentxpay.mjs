// Buyer: does what the fetch of AgentXPay's SDK 0.3.0 does, which no registry carries. One paid call, one JSON line.
// Like the SDK it pays its own PaymentManager, whatever X-Payment-Address and X-Payment-ChainId say, and pays again in
// every further round. Env: URL, PRIVATE_KEY, RPC_URL, PAYMENT_MANAGER; SERVICE_ID and PRICE_WEI (what was discovered),
// MAX_RETRIES (1), HASH (shown instead of paying).
import { env, runClient } from "../lib/common.mjs";
import { load } from "../node/load.mjs";

const { ethers } = await load("ethers");

await runClient("agentxpay mirror", "0.3.0", async ({ url, init }) => {
  // Without the cache of ethers, which on a chain with a block for each transaction tells old nonces.
  const provider = new ethers.JsonRpcProvider(env("RPC_URL"), undefined, { cacheTimeout: -1 });
  provider.pollingInterval = 100;
  const wallet = new ethers.Wallet(env("PRIVATE_KEY"), provider);
  const manager = new ethers.Contract(
    env("PAYMENT_MANAGER"),
    ["function payPerUse(uint256 serviceId) payable"],
    wallet,
  );

  async function pay({ serviceId, amount }) {
    if (process.env.HASH) return process.env.HASH;
    const sent = await manager.payPerUse(BigInt(serviceId), { value: BigInt(amount) });
    return (await sent.wait()).hash;
  }

  let hash;
  let response = await fetch(url, init);
  const rounds = Number(env("MAX_RETRIES", "1"));
  for (let round = 0; response.status === 402 && round < rounds; round++) {
    const asked = readChallenge(response);
    compareWithDiscovery(asked);
    hash = await pay(asked);
    const headers = new Headers(init.headers);
    headers.set("X-Payment-TxHash", hash);
    headers.set("X-Payment-ChainId", asked.chainId);
    response = await fetch(url, { ...init, headers });
  }
  const { chainId } = await provider.getNetwork();
  provider.destroy();
  return {
    response,
    // There is no receipt on the wire: this is what the payer knows.
    receipt: ({ status }) =>
      hash && { success: status === 200, payer: wallet.address, transaction: hash, network: `eip155:${chainId}` },
  };
});

function readChallenge({ headers }) {
  const asked = {
    address: headers.get("X-Payment-Address"),
    amount: headers.get("X-Payment-Amount"),
    token: headers.get("X-Payment-Token") || "native",
    serviceId: headers.get("X-Payment-ServiceId"),
    chainId: headers.get("X-Payment-ChainId") || "10143",
  };
  if (!asked.address || !asked.amount || !asked.serviceId) {
    throw new Error("Invalid 402 response: missing payment headers");
  }
  return asked;
}

function compareWithDiscovery({ serviceId, amount }) {
  const { SERVICE_ID, PRICE_WEI } = process.env;
  if (SERVICE_ID && SERVICE_ID !== serviceId) {
    throw new Error(`ServiceId mismatch: provider returned ${serviceId}, discovered was ${SERVICE_ID}`);
  }
  if (PRICE_WEI && BigInt(PRICE_WEI) !== BigInt(amount)) {
    throw new Error(`Price mismatch: provider requires ${amount} wei, discovered were ${PRICE_WEI} wei`);
  }
}
