"""Buyer: PyPI x402 2.x with httpx and its default spend controls. One paid call, one JSON line."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from eth_account import Account  # noqa: E402
from lib.common import env, run_client  # noqa: E402
from x402 import x402Client  # noqa: E402
from x402.http import decode_payment_response_header  # noqa: E402
from x402.http.clients import x402HttpxClient  # noqa: E402
from x402.mechanisms.evm import EthAccountSigner, EthAccountSignerWithRPC  # noqa: E402
from x402.mechanisms.evm.exact import register_exact_evm_client  # noqa: E402


async def attempt(request):
    account = Account.from_key(env("PRIVATE_KEY"))
    rpc = env("RPC_URL", "")
    signer = EthAccountSignerWithRPC(account, rpc_url=rpc) if rpc else EthAccountSigner(account)
    client = x402Client()
    register_exact_evm_client(client, signer)
    async with x402HttpxClient(client, timeout=30) as http:
        response = await http.request(**request)
        await response.aread()
        return response


run_client(attempt, ["PAYMENT-RESPONSE", "X-PAYMENT-RESPONSE"], decode_payment_response_header)
