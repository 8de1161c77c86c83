// Buyer: npm mppx with its method evm.charge. It prefers the scheme Payment to x402 where a 402 speaks both.
import { env, runClient } from "../lib/common.mjs";
import { load, versionOf } from "../node-mpp/load.mjs";

const { Receipt } = await load("mppx");
const { Mppx, evm } = await load("mppx/client");
const { assets } = await load("mppx/evm");
const { privateKeyToAccount } = await load("viem/accounts");

await runClient("mppx", versionOf("mppx"), async ({ url, init }) => {
  const account = privateKeyToAccount(env("PRIVATE_KEY"));
  const method = evm({ account, currencies: [assets.baseSepolia.USDC], maxAmount: "1" });
  const response = await Mppx.create({ methods: [method], polyfill: false }).fetch(url, init);
  return {
    response,
    receipt: ({ headers }) => {
      if (!headers.has("Payment-Receipt")) return undefined;
      const { status, reference, ...told } = Receipt.fromResponse({ headers });
      return { success: status === "success", transaction: reference, ...told };
    },
    refusal: () => undefined,
  };
});
