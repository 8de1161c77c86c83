"""Seller on FastAPI: /free is bare, /paid is behind the SDK's ASGI middleware."""

import os

from fastapi import FastAPI
from x402 import x402ResourceServer
from x402.http import FacilitatorConfig, HTTPFacilitatorClient
from x402.http.middleware.fastapi import PaymentMiddlewareASGI
from x402.mechanisms.evm.exact import ExactEvmServerScheme

NETWORK = "eip155:84532"
facilitator = HTTPFacilitatorClient(FacilitatorConfig(url=os.environ["FACILITATOR_URL"]))
server = x402ResourceServer(facilitator)
server.register(NETWORK, ExactEvmServerScheme())
price = f"${int(os.environ.get('AMOUNT', '1000')) / 1e6}"
routes = {
    "GET /paid": {
        "accepts": {"scheme": "exact", "payTo": os.environ["PAY_TO"], "price": price, "network": NETWORK},
        "description": "bench",
    }
}
gated = FastAPI()
gated.add_middleware(PaymentMiddlewareASGI, routes=routes, server=server)
bare = FastAPI()


@gated.get("/paid")
async def paid():
    return {"ok": True}


@bare.get("/free")
async def free():
    return {"ok": True}


async def app(scope, receive, send):
    """/free must not pass through the middleware, so that the difference is the middleware."""
    await (bare if scope.get("path") == "/free" else gated)(scope, receive, send)
