"""Seller: PyPI x402-mock 0.3.0 on FastAPI. GET /weather and POST /order cost money, /free does not.

The package has one price for the whole server ($0.01), takes the money at the address of SIGNER_KEY, which also pays the
gas, and settles after the token was given. Env: RPC_URL, SIGNER_KEY; TOKEN_KEY, TOKEN_SECONDS and CURRENCY if wanted.
What became of a settlement is told on standard error.
"""

import contextvars
import pathlib
import secrets
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from fastapi import Depends, Request  # noqa: E402
from lib.common import PRICES, env, serve  # noqa: E402
from lib.mock import dollar  # noqa: E402
from x402_mock.adapters.adapters_hub import AdapterHub  # noqa: E402
from x402_mock.engine.events import SettleFailedEvent, SettleSuccessEvent  # noqa: E402
from x402_mock.servers import Http402Server  # noqa: E402

app = Http402Server(
    token_key=env("TOKEN_KEY", secrets.token_hex(32)),
    adapter_hub=AdapterHub(evm_private_key=env("SIGNER_KEY")),
    token_expires_in=int(env("TOKEN_SECONDS", "3600")),
)
app.add_payment_method(dollar(float(PRICES["weather"].removeprefix("$"))))

# A paid handler of this package is given the token's content only, never the request.
ordered = contextvars.ContextVar("ordered", default=None)


async def read_order(request: Request):
    body = await request.body()
    ordered.set(await request.json() if body else None)


@app.get("/free")
async def free():
    return {"free": True}


@app.get("/weather")
@app.payment_required
async def weather(_token):
    return {"city": "Lisbon", "celsius": 21}


@app.post("/order", dependencies=[Depends(read_order)])
@app.payment_required
async def order(_token):
    return {"ordered": ordered.get()}


@app.hook(SettleSuccessEvent)
async def settled(event, _depends):
    print(f"settled {event.settlement_result.tx_hash}", file=sys.stderr, flush=True)


@app.hook(SettleFailedEvent)
async def not_settled(event, _depends):
    print(f"not settled: {' '.join(str(event.error_message).split())}", file=sys.stderr, flush=True)


serve(app, "pypi:x402-mock", "x402-mock")
