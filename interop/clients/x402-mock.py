"""Buyer: PyPI x402-mock 0.3.0, which buys a token and shows it. One paid call, one JSON line.

The package keeps neither the metadata of the token's answer nor the reason of a refusal, so a hook of httpx looks at
the answers that pass by. Env: URL, PRIVATE_KEY, RPC_URL; CURRENCY other than USDC makes it pay with Permit2.
"""

import asyncio
import pathlib
import sys
import time
from importlib.metadata import version

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from eth_account import Account  # noqa: E402
from lib.common import env, print_line, request_arguments  # noqa: E402
from lib.mock import dollar  # noqa: E402
from x402_mock.adapters.adapters_hub import AdapterHub  # noqa: E402
from x402_mock.clients.http_client import Http402Client  # noqa: E402

LIMIT = 1.0  # dollars a payment, as the other clients have it


async def attempt(line):
    key = env("PRIVATE_KEY")
    answers = []

    async def look(response):
        await response.aread()
        answers.append(response)

    async with Http402Client(
        adapter_hub=AdapterHub(evm_private_key=key), timeout=30, event_hooks={"response": [look]}
    ) as http:
        http.add_payment_method(dollar(LIMIT))
        try:
            response = await http.request(**request_arguments())
            line["status"] = response.status_code
            line["body"] = response.text
        except Exception as error:  # noqa: BLE001 - every failure belongs in the line
            line["error"] = f"{type(error).__name__}: {error}"
            if answers:
                line["error"] += f"; the last answer was {answers[-1].status_code}: {answers[-1].text}"
        line["token"] = bool(getattr(http, "_token", None))
    if line["token"]:
        line["receipt"] = {
            "success": line["status"] == 200,
            "payer": Account.from_key(key).address,
            "transaction": transaction(answers),
        }


def transaction(answers):
    """What a server may tell beside the token; x402-mock itself tells nothing."""
    for answer in answers:
        if answer.request.method == "POST" and answer.status_code == 200:
            try:
                metadata = answer.json().get("metadata") or {}
                return metadata.get("transaction") or metadata.get("tx")
            except (ValueError, AttributeError):
                continue
    return None


def main():
    line = {
        "client": "pypi:x402-mock",
        "version": version("x402-mock"),
        "status": 0,
        "body": "",
        "token": False,
        "receipt": None,
        "error": None,
        "ms": 0,
    }
    started = time.perf_counter()
    try:
        asyncio.run(attempt(line))
    except Exception as error:  # noqa: BLE001 - every failure belongs in the line
        line["error"] = f"{type(error).__name__}: {error}"
    line["ms"] = round((time.perf_counter() - started) * 1000)
    if line["status"] != 200 and not line["error"]:
        line["error"] = f"status {line['status']}: {line['body']}"
    print_line(line)
    sys.exit(0 if line["status"] == 200 else 1)


main()
