// Writes vectors/mpp/: what npm mppx 0.11.0 says and hears, buyer and seller unmodified, in one process and without a chain.
// The clock stands at 2030-01-01T00:00:00Z, so every run writes the same.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { load } from "./node-mpp/load.mjs";

const NOW = Date.UTC(2030, 0, 1);
const RealDate = Date;
globalThis.Date = class extends RealDate {
  constructor(...args) {
    super(...(args.length ? args : [NOW]));
  }
  static now = () => NOW;
};

const { Challenge } = await load("mppx");
const { Mppx: Buyer, evm: buyer } = await load("mppx/client");
const { Mppx: Seller, evm: seller } = await load("mppx/server");
const { assets } = await load("mppx/evm");
const { privateKeyToAccount } = await load("viem/accounts");

// Account 0 of development chains, and a secret. They guard nothing.
const PRIVATE_KEY = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
const SECRET = "a key of 32 bytes, guards nothing";
const PAYEE = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
const REFERENCE = "0x" + "ab".repeat(32);
const out = new URL("../vectors/mpp/", import.meta.url);
mkdirSync(out, { recursive: true });
const write = (name, value) => writeFileSync(new URL(name, out), JSON.stringify(value, null, 1) + "\n");
const secondsOf = (time) => Math.floor(time / 1000);

const account = privateKeyToAccount(PRIVATE_KEY);
const method = buyer({ account, currencies: [assets.baseSepolia.USDC], maxAmount: "1" });
const sold = Seller.create({
  methods: [
    seller.charge({ currency: assets.baseSepolia.USDC, recipient: PAYEE, settle: async () => ({ reference: REFERENCE }) }),
  ],
  realm: "seller.test",
  secretKey: SECRET,
});

/** A fetch that asks this process and writes everything down. */
function recorder(answer) {
  const exchanges = [];
  const recorded = async (input, init) => {
    const request = new Request(input, init);
    const response = await answer(request);
    exchanges.push({
      request: { method: request.method, url: request.url, headers: Object.fromEntries(request.headers) },
      response: { status: response.status, headers: Object.fromEntries(response.headers), body: await response.clone().text() },
    });
    return response;
  };
  return { exchanges, recorded };
}

async function pay(answer, url) {
  const { exchanges, recorded } = recorder(answer);
  const response = await Buyer.create({ fetch: recorded, methods: [method], polyfill: false }).fetch(url);
  return { exchanges, status: response.status };
}

const served = async (request) => {
  const result = await sold.charge({ amount: "0.01", description: "Weather — “today”" })(request);
  return result.status === 402 ? result.challenge : result.withReceipt(Response.json({ celsius: 21 }));
};
const bought = await pay(served, "http://seller.test/weather");
const paid = bought.exchanges.at(-1).request.headers.authorization;
const changed = (change) => {
  const json = JSON.parse(Buffer.from(paid.slice("Payment ".length), "base64url"));
  change(json);
  return "Payment " + Buffer.from(JSON.stringify(json)).toString("base64url");
};
const refusals = [];
for (const [what, authorization] of [
  ["garbage", "Payment e30"],
  ["another id", changed((json) => (json.challenge.id = "made-up"))],
  ["another realm", changed((json) => (json.challenge.realm = "other.test"))],
  ["a later end", changed((json) => (json.challenge.expires = "2031-01-01T00:00:00Z"))],
  ["another number", changed((json) => (json.payload.nonce = "0x" + "01".repeat(32)))],
  ["another payee", changed((json) => (json.payload.to = account.address))],
  ["another amount", changed((json) => (json.payload.value = "1"))],
  ["another account", changed((json) => (json.source = `did:pkh:eip155:84532:${PAYEE}`))],
]) {
  const response = await served(new Request("http://seller.test/weather", { headers: { authorization } }));
  const problem = JSON.parse((await response.text()) || "null");
  refusals.push({ what, authorization, status: response.status, type: problem?.type ?? null });
}
write("01-exchange.json", {
  note: "One purchase, and what the seller says to payments that were changed in one way.",
  recordedAt: secondsOf(NOW),
  secretKey: SECRET,
  ...bought,
  refusals,
});

const challenge = (parameters) =>
  Challenge.serialize(
    Challenge.from({ id: "an id", intent: "charge", method: "evm", realm: "seller.test", request: { amount: "1" }, ...parameters }),
  );
const plain = challenge({});
const fields = [
  plain,
  `Bearer realm="a, b", ${plain}`,
  `${plain}, Bearer realm="a"`,
  `${plain}, ${challenge({ id: "other", method: "tempo" })}`,
  challenge({ description: 'quotes " and \\ and letters é — 雪' }),
  challenge({ realm: "Payment, not this" }),
  challenge({ expires: "2030-01-01T00:05:00.000Z", header: "Payment-Authorization", digest: "sha-256=abc" }),
  challenge({ meta: { order: "7" } }),
  plain.replace("id=", "ID = "),
  plain.replace("id=", "realm="),
  plain.slice(0, -1),
];
write("02-challenges.json", {
  note: "WWW-Authenticate fields, and what mppx reads of them; null for an error.",
  fields: fields.map((field) => {
    try {
      return { field, read: Challenge.deserializeList(field) };
    } catch {
      return { field, read: null };
    }
  }),
});

// A 402 of groat: the test that reads this file writes the same one.
const ours = readFileSync(new URL("groat-challenge.txt", out), "utf8").trim();
const answer = async (request) =>
  request.headers.has("payment-authorization")
    ? new Response("paid")
    : new Response("{}", { status: 402, headers: { "www-authenticate": `Bearer realm="shop.example", ${ours}` } });
write("03-groat-is-paid.json", {
  note: "What mppx sends for a challenge of groat (groat-challenge.txt).",
  recordedAt: secondsOf(NOW),
  ...(await pay(answer, "https://shop.example/weather")),
});
