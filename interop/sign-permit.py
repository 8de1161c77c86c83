"""Signs a quote for header-only.sh with PyPI x402-mock: JSON of a 402 in, permit out. Env: PRIVATE_KEY, RPC_URL."""

import asyncio
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from lib.common import env  # noqa: E402
from lib.mock import dollar  # noqa: E402
from x402_mock.adapters.adapters_hub import AdapterHub  # noqa: E402
from x402_mock.schemas.https import Server402ResponsePayload  # noqa: E402


async def main():
    hub = AdapterHub(evm_private_key=env("PRIVATE_KEY"))
    hub.register_payment_methods(dollar(1.0), client_role=True)
    offers = Server402ResponsePayload(**json.load(sys.stdin)).payment_scheme.payment_components
    permit = await hub.signature(offers)
    print(json.dumps(permit.model_dump(mode="json")))


asyncio.run(main())
