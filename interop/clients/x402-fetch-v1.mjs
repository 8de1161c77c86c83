// Buyer: npm x402-fetch 1.x, the last v1 client (spending cap: its default $0.10). One paid call, one JSON line.
import { env, runClient } from "../lib/common.mjs";
import { load, versionOf } from "../node-v1/load.mjs";

const { wrapFetchWithPayment, decodeXPaymentResponse } = await load("x402-fetch");
const { createWalletClient, http, publicActions } = await load("viem");
const { privateKeyToAccount } = await load("viem/accounts");
const { baseSepolia } = await load("viem/chains");

await runClient("x402-fetch", versionOf("x402-fetch"), async ({ url, init }) => {
  // A wallet with a chain, as the package's createSigner("base-sepolia", key) builds it, but on our node.
  const wallet = createWalletClient({
    account: privateKeyToAccount(env("PRIVATE_KEY")),
    chain: baseSepolia,
    transport: http(process.env.RPC_URL),
    pollingInterval: 50,
  }).extend(publicActions);
  const response = await wrapFetchWithPayment(fetch, wallet)(url, init);
  return {
    response,
    receipt: ({ headers }) => {
      const header = headers.get("X-PAYMENT-RESPONSE");
      return header && decodeXPaymentResponse(header);
    },
  };
});
