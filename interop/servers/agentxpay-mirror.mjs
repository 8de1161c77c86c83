// Seller: does what AgentXPay's middleware does, WITH its defects, which are marked. It guards nothing: our tests look
// at what a buyer meets at such a server. GET /weather and POST /order cost PRICE_WEI, /free does not.
// Env: RPC_URL, PAYMENT_MANAGER, SERVICE_ID, PRICE_WEI; CHAIN_ID (84532), SUBSCRIPTION_MANAGER, CACHE_SECONDS (300).
import { addRoutes, env, serve } from "../lib/common.mjs";
import { load } from "../node/load.mjs";

const { default: express } = await load("express");
const { ethers } = await load("ethers");

const paymentManager = env("PAYMENT_MANAGER");
const chainId = Number(env("CHAIN_ID", "84532"));
const provider = new ethers.JsonRpcProvider(env("RPC_URL"), undefined, { cacheTimeout: -1 });
const subscriptions = process.env.SUBSCRIPTION_MANAGER
  ? new ethers.Contract(
      process.env.SUBSCRIPTION_MANAGER,
      ["function checkAccess(address user, uint256 serviceId) view returns (bool)"],
      provider,
    )
  : null;
const price = { serviceId: Number(env("SERVICE_ID")), priceWei: env("PRICE_WEI"), token: "native" };
const routes = [
  { method: "GET", path: "/weather", ...price },
  { method: "POST", path: "/order", ...price },
];

function routeOf(method, path) {
  const own = routes.filter((route) => route.method === method.toUpperCase());
  const under = ({ path: pattern }) => pattern.endsWith("*") && path.startsWith(pattern.slice(0, -1));
  return own.find((route) => route.path === path) ?? own.find(under);
}

// Defect: both live in memory, never get smaller in a long life, and are gone after a restart.
const used = new Set();
const cache = new Map();
const cacheMillis = Number(env("CACHE_SECONDS", "300")) * 1000;

async function verify(hash, least) {
  // Defect: a hash is compared as text, so another letter case of it is another hash.
  if (used.has(hash)) return { error: "Transaction hash already used" };
  const known = cache.get(hash);
  if (known && Date.now() - known.at < cacheMillis) return known.result;

  // Defect: whoever asks in the meantime with the same hash gets past the set as well.
  // Defect: a hash that is none makes ethers throw: 500 with a page of HTML.
  const receipt = await provider.getTransactionReceipt(hash);
  if (!receipt) return { error: "Transaction not found" };
  if (receipt.status !== 1) return { error: "Transaction failed" };
  const transaction = await provider.getTransaction(hash);
  if (!transaction) return { error: "Transaction details not found" };

  // Defect: `deposit()` looks the same and can be withdrawn; neither service nor provider nor payer is looked at; what
  // is paid through another contract, in a batch or from a balance is not recognised; nobody waits for confirmations.
  if (transaction.to?.toLowerCase() !== paymentManager.toLowerCase()) {
    return { error: "Transaction recipient mismatch" };
  }
  if (transaction.value < least) return { error: "Insufficient payment amount" };

  const result = { hash, payer: transaction.from, amount: transaction.value };
  cache.set(hash, { result, at: Date.now() });
  used.add(hash);
  return result;
}

async function gate(req, res, next) {
  const route = routeOf(req.method, req.path);
  if (!route) return next();

  const subscriber = req.get("x-subscription-address");
  const serviceId = req.get("x-payment-serviceid");
  if (subscriber && serviceId) {
    if (!subscriptions) {
      return res.status(403).json({
        error: "Subscription Not Configured",
        message: "The service provider has not configured subscription verification.",
      });
    }
    try {
      // Defect: anybody may name the address of a subscriber, and a service other than that of the route.
      if (await subscriptions.checkAccess(subscriber, BigInt(serviceId))) {
        req.payment = { type: "subscription", subscriber, serviceId };
        return next();
      }
    } catch (error) {
      return res.status(500).json({ error: "Subscription Verification Error", message: error.message });
    }
    return res.status(403).json({
      error: "Subscription Inactive",
      message: `No active subscription found for address ${subscriber} on service ${serviceId}.`,
    });
  }

  const txHash = req.get("x-payment-txhash");
  if (!txHash) {
    const payment = {
      address: paymentManager,
      amount: route.priceWei,
      token: route.token,
      serviceId: route.serviceId,
      chainId,
    };
    return res
      .status(402)
      .set({
        "X-Payment-Address": payment.address,
        "X-Payment-Amount": payment.amount,
        "X-Payment-Token": payment.token,
        "X-Payment-ServiceId": String(payment.serviceId),
        "X-Payment-ChainId": String(payment.chainId),
      })
      .json({
        error: "Payment Required",
        message: "This endpoint requires payment. Send a transaction and include X-Payment-TxHash header.",
        payment,
      });
  }

  const { error, hash, payer, amount } = await verify(txHash, BigInt(route.priceWei));
  // Defect: a refusal has none of the X-Payment fields, so a buyer with a second round throws.
  if (error) return res.status(402).json({ error: "Payment Verification Failed", message: error, txHash });
  req.payment = { type: "payment", txHash: hash, payer, amount: amount.toString() };
  next();
}

const app = express();
app.use(express.json());
app.use(gate);
app.get("/api/services", (_req, res) =>
  res.json({
    services: routes.map(({ path, method, serviceId, priceWei, token }) => ({
      path,
      method,
      serviceId,
      price: priceWei,
      token,
    })),
  }),
);
addRoutes(app);
serve(app, "agentxpay mirror", "0.3.0");
