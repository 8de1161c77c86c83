"""Facilitator made of the x402 Python SDK on FastAPI.

MODE=async    the documented arrangement: async handlers around the SDK's blocking web3 signer
MODE=threads  the synchronous facilitator class in FastAPI's worker threads
"""

import os

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel
from x402 import x402Facilitator, x402FacilitatorSync
from x402.mechanisms.evm import FacilitatorWeb3Signer
from x402.mechanisms.evm.exact import register_exact_evm_facilitator
from x402.schemas import PaymentRequirements, parse_payment_payload

THREADS = os.environ.get("MODE", "threads") == "threads"
signer = FacilitatorWeb3Signer(os.environ["SIGNER_KEYS"].split(",")[0], os.environ["RPC_URL"])
facilitator = x402FacilitatorSync() if THREADS else x402Facilitator()
register_exact_evm_facilitator(facilitator, signer, networks="eip155:84532")
app = FastAPI()


class Body(BaseModel):
    paymentPayload: dict
    paymentRequirements: dict


def parts(body: Body):
    return parse_payment_payload(body.paymentPayload), PaymentRequirements.model_validate(body.paymentRequirements)


def dump(response):
    return response.model_dump(by_alias=True, exclude_none=True)


def failed(error: Exception):
    return HTTPException(status_code=500, detail=str(error)[:300])


if THREADS:

    @app.post("/verify")
    def verify(body: Body):
        try:
            return dump(facilitator.verify(*parts(body)))
        except Exception as e:
            raise failed(e) from e

    @app.post("/settle")
    def settle(body: Body):
        try:
            return dump(facilitator.settle(*parts(body)))
        except Exception as e:
            raise failed(e) from e

else:

    @app.post("/verify")
    async def verify(body: Body):
        try:
            return dump(await facilitator.verify(*parts(body)))
        except Exception as e:
            raise failed(e) from e

    @app.post("/settle")
    async def settle(body: Body):
        try:
            return dump(await facilitator.settle(*parts(body)))
        except Exception as e:
            raise failed(e) from e


@app.get("/supported")
async def supported():
    r = facilitator.get_supported()
    return {"kinds": [dump(k) for k in r.kinds], "extensions": r.extensions, "signers": r.signers}
