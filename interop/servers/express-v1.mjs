// Seller: npm x402-express 1.x, the last v1 server. Same routes as the v2 one.
import { PRICES, addRoutes, env, serve } from "../lib/common.mjs";
import { load, versionOf } from "../node-v1/load.mjs";

const { default: express } = await load("express");
const { paymentMiddleware } = await load("x402-express");

const network = "base-sepolia";
const app = express();
app.use(express.json());
app.use(
  paymentMiddleware(
    env("PAY_TO"),
    {
      "GET /weather": { price: PRICES.weather, network, config: { description: "Weather now" } },
      "POST /order": { price: PRICES.order, network, config: { description: "Place an order" } },
    },
    { url: env("FACILITATOR_URL") },
  ),
);
addRoutes(app);
serve(app, "x402-express", versionOf("x402-express"));
