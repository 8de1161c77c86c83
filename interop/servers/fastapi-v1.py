"""Seller: PyPI x402 0.3.0 middleware on FastAPI, protocol version 1. Same routes as the v2 one."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from fastapi import FastAPI  # noqa: E402
from lib.common import PRICES, add_routes, env, serve  # noqa: E402
from x402.fastapi.middleware import require_payment  # noqa: E402

app = FastAPI()
for path, price in (("/weather", PRICES["weather"]), ("/order", PRICES["order"])):
    app.middleware("http")(
        require_payment(
            price=price,
            pay_to_address=env("PAY_TO"),
            path=path,
            network="base-sepolia",
            facilitator_config={"url": env("FACILITATOR_URL")},
        )
    )
add_routes(app)
serve(app, "pypi:x402 fastapi")
