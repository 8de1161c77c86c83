// Seller: npm @x402/express. GET /weather and POST /order cost money, /free does not.
import { PRICES, addRoutes, env, serve } from "../lib/common.mjs";
import { load, versionOf } from "../node/load.mjs";

const { default: express } = await load("express");
const { paymentMiddleware, x402ResourceServer } = await load("@x402/express");
const { HTTPFacilitatorClient } = await load("@x402/core/server");
const { ExactEvmScheme } = await load("@x402/evm/exact/server");

const network = "eip155:84532";
const server = new x402ResourceServer(new HTTPFacilitatorClient({ url: env("FACILITATOR_URL") })).register(
  network,
  new ExactEvmScheme(),
);
const accepts = (price) => ({ scheme: "exact", price, network, payTo: env("PAY_TO") });
const app = express();
app.use(express.json());
app.use(
  paymentMiddleware(
    {
      "GET /weather": { accepts: accepts(PRICES.weather), description: "Weather now", mimeType: "application/json" },
      "POST /order": { accepts: accepts(PRICES.order), description: "Place an order", mimeType: "application/json" },
    },
    server,
  ),
);
addRoutes(app);
serve(app, "@x402/express", versionOf("@x402/express"));
