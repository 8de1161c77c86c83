// Seller: npm mppx on Node's own server. It settles by itself: the account of SIGNER_KEY sends what buyers have signed.
import { createServer } from "node:http";
import { env, serve } from "../lib/common.mjs";
import { load, versionOf } from "../node-mpp/load.mjs";

const { Mppx, NodeListener, Request: Listener, evm } = await load("mppx/server");
const { assets } = await load("mppx/evm");
const { createPublicClient, createWalletClient, http, parseAbi, parseSignature } = await load("viem");
const { baseSepolia } = await load("viem/chains");
const { privateKeyToAccount } = await load("viem/accounts");

const transport = http(env("RPC_URL"));
const account = privateKeyToAccount(env("SIGNER_KEY"));
const wallet = createWalletClient({ account, chain: baseSepolia, transport });
const chain = createPublicClient({ chain: baseSepolia, transport, pollingInterval: 100 });
const abi = parseAbi([
  "function transferWithAuthorization(address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce, uint8 v, bytes32 r, bytes32 s)",
]);

async function settle({ payload, request }) {
  const { from, to, value, validAfter, validBefore, nonce, signature } = payload;
  const { r, s, yParity } = parseSignature(signature);
  const args = [from, to, BigInt(value), BigInt(validAfter), BigInt(validBefore), nonce, 27 + yParity, r, s];
  const hash = await wallet.writeContract({ abi, address: request.currency, args, functionName: "transferWithAuthorization" });
  const receipt = await chain.waitForTransactionReceipt({ hash });
  if (receipt.status !== "success") throw new Error("the transfer was reverted");
  return { reference: hash };
}

const mppx = Mppx.create({
  methods: [evm.charge({ currency: assets.baseSepolia.USDC, recipient: env("PAY_TO"), settle })],
  realm: "mppx.test",
  secretKey: "a key of 32 bytes, guards nothing",
});
const sold = {
  "GET /weather": ["0.01", async () => ({ city: "Lisbon", celsius: 21 })],
  "POST /order": ["0.02", async (request) => ({ ordered: await request.json() })],
};

async function answer(request) {
  const { pathname } = new URL(request.url);
  if (pathname === "/free") return Response.json({ free: true });
  const [amount, make] = sold[`${request.method} ${pathname}`] ?? [];
  if (!make) return new Response(null, { status: 404 });
  const copy = request.clone();
  const result = await mppx.charge({ amount })(request);
  return result.status === 402 ? result.challenge : result.withReceipt(Response.json(await make(copy)));
}

const server = createServer(async (incoming, outgoing) => {
  try {
    await NodeListener.sendResponse(outgoing, await answer(Listener.fromNodeListener(incoming, outgoing)));
  } catch (error) {
    console.error(error);
    outgoing.writeHead(500).end();
  }
});
serve(server, "mppx", versionOf("mppx"));
