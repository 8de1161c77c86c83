// Buyer: npm @x402/fetch with its default spend controls. One paid call, one JSON line.
import { env, runClient } from "../lib/common.mjs";
import { load, versionOf } from "../node/load.mjs";

const { wrapFetchWithPayment, x402Client, decodePaymentResponseHeader } = await load("@x402/fetch");
const { decodePaymentRequiredHeader } = await load("@x402/core/http");
const { registerExactEvmScheme } = await load("@x402/evm/exact/client");
const { privateKeyToAccount } = await load("viem/accounts");

await runClient("@x402/fetch", versionOf("@x402/fetch"), async ({ url, init }) => {
  const client = registerExactEvmScheme(new x402Client(), {
    signer: privateKeyToAccount(env("PRIVATE_KEY")),
    ...(process.env.RPC_URL ? { schemeOptions: { rpcUrl: process.env.RPC_URL } } : {}),
  });
  const response = await wrapFetchWithPayment(fetch, client)(url, init);
  return {
    response,
    receipt: ({ headers }) => {
      const header = headers.get("PAYMENT-RESPONSE") ?? headers.get("X-PAYMENT-RESPONSE");
      return header && decodePaymentResponseHeader(header);
    },
    refusal: ({ headers }) => {
      const header = headers.get("PAYMENT-REQUIRED");
      return header ? decodePaymentRequiredHeader(header).error : undefined;
    },
  };
});
