// Facilitator: the official SDK's own, protocol versions 1 and 2, EVM "exact", over HTTP.
import { env, serve } from "../lib/common.mjs";
import { load, versionOf } from "../node/load.mjs";

const { default: express } = await load("express");
const { x402Facilitator } = await load("@x402/core/facilitator");
const { toFacilitatorEvmSigner } = await load("@x402/evm");
const { registerExactEvmScheme } = await load("@x402/evm/exact/facilitator");
const { createWalletClient, http, publicActions } = await load("viem");
const { nonceManager, privateKeyToAccount } = await load("viem/accounts");
const { baseSepolia } = await load("viem/chains");

const account = privateKeyToAccount(env("SIGNER_KEY"), { nonceManager });
const client = createWalletClient({
  account,
  chain: baseSepolia,
  transport: http(env("RPC_URL")),
  pollingInterval: 50,
}).extend(publicActions);
const facilitator = registerExactEvmScheme(new x402Facilitator(), {
  networks: "eip155:84532",
  signer: toFacilitatorEvmSigner({
    address: account.address,
    getCode: (a) => client.getCode(a),
    readContract: (a) => client.readContract({ ...a, args: a.args ?? [] }),
    verifyTypedData: (a) => client.verifyTypedData(a),
    writeContract: (a) => client.writeContract({ ...a, args: a.args ?? [] }),
    sendTransaction: (a) => client.sendTransaction(a),
    waitForTransactionReceipt: (a) => client.waitForTransactionReceipt(a),
  }),
});

const app = express();
app.use(express.json({ limit: "1mb" }));
for (const operation of ["verify", "settle"]) {
  app.post(`/${operation}`, async (req, res) => {
    const { paymentPayload, paymentRequirements } = req.body ?? {};
    if (!paymentPayload || !paymentRequirements) {
      return res.status(400).json({ error: "paymentPayload and paymentRequirements are required" });
    }
    try {
      res.json(await facilitator[operation](paymentPayload, paymentRequirements));
    } catch (error) {
      res.status(500).json({ error: error instanceof Error ? error.message : String(error) });
    }
  });
}
app.get("/supported", (_req, res) => res.json(facilitator.getSupported()));
serve(app, "@x402/core facilitator", versionOf("@x402/core"));
