"""Buyer: PyPI x402 0.3.0, the last v1 client. One paid call, one JSON line."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from eth_account import Account  # noqa: E402
from lib.common import env, run_client  # noqa: E402
from x402.clients import decode_x_payment_response  # noqa: E402
from x402.clients.httpx import x402HttpxClient  # noqa: E402


async def attempt(request):
    async with x402HttpxClient(account=Account.from_key(env("PRIVATE_KEY")), timeout=30) as http:
        response = await http.request(**request)
        await response.aread()
        return response


run_client(attempt, ["X-PAYMENT-RESPONSE"], decode_x_payment_response)
