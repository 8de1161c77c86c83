"""Seller: PyPI x402 2.x middleware on FastAPI. GET /weather and POST /order cost money, /free does not."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from fastapi import FastAPI  # noqa: E402
from lib.common import PRICES, add_routes, env, serve  # noqa: E402
from x402 import x402ResourceServer  # noqa: E402
from x402.http import FacilitatorConfig, HTTPFacilitatorClient  # noqa: E402
from x402.http.middleware.fastapi import PaymentMiddlewareASGI  # noqa: E402
from x402.mechanisms.evm.exact import ExactEvmServerScheme  # noqa: E402

NETWORK = "eip155:84532"
server = x402ResourceServer(HTTPFacilitatorClient(FacilitatorConfig(url=env("FACILITATOR_URL"))))
server.register(NETWORK, ExactEvmServerScheme())


def route(price, description):
    return {
        "accepts": {"scheme": "exact", "payTo": env("PAY_TO"), "price": price, "network": NETWORK},
        "description": description,
        "mimeType": "application/json",
    }


app = FastAPI()
app.add_middleware(
    PaymentMiddlewareASGI,
    routes={
        "GET /weather": route(PRICES["weather"], "Weather now"),
        "POST /order": route(PRICES["order"], "Place an order"),
    },
    server=server,
)
add_routes(app)
serve(app, "pypi:x402 fastapi")
