"""Writes vectors/token/: what PyPI x402-mock 0.3.0 says and hears, buyer and seller unmodified, on a dev chain.

Env: RPC_URL of `groat devchain`. The clock is the real one: each file says when it was recorded.
"""

import asyncio
import copy
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

here = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(here))

import httpx  # noqa: E402
from lib.common import env  # noqa: E402
from lib.mock import dollar  # noqa: E402
from x402_mock.adapters.adapters_hub import AdapterHub  # noqa: E402
from x402_mock.clients.http_client import Http402Client  # noqa: E402
from x402_mock.schemas.https import ClientTokenRequest  # noqa: E402

# Accounts 0 (buyer) and 1 (seller) of the dev chain. They guard nothing.
BUYER = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
SELLER = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d"
TOKEN_KEY = "a key that guards nothing"
PATIENCE = 5  # seconds, then an answer counts as none
OUT = here.parent / "vectors" / "token"


class Seller:
    """servers/x402-mock.py in a process of its own."""

    def __init__(self, **extra):
        self.errors = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            [sys.executable, str(here / "servers" / "x402-mock.py")],
            env=os.environ | {"SIGNER_KEY": SELLER, "TOKEN_KEY": TOKEN_KEY, "STOP_WITH_STDIN": "1"} | extra,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
        )
        self.url = f"http://127.0.0.1:{json.loads(self.process.stdout.readline())['listening']}"

    def settlements(self):
        text = os.pread(self.errors.fileno(), 1 << 20, 0).decode()
        return [line for line in text.splitlines() if line.startswith(("settled", "not settled"))]

    async def settlement(self, number):
        """The line about the number-th settlement; they are worth waiting for one by one."""
        for _ in range(150):
            if len(self.settlements()) > number:
                return self.settlements()[number]
            await asyncio.sleep(0.1)
        return "nothing was told"

    def stop(self):
        self.process.stdin.close()
        self.process.wait()
        self.errors.close()


def shown(response):
    request = response.request
    return {
        "request": {
            "method": request.method,
            "url": str(request.url).replace(str(request.url.netloc, "ascii"), "seller.test"),
            "headers": {name.decode(): value.decode() for name, value in request.headers.raw if name.lower() != b"host"},
            "body": request.content.decode(),
        },
        "response": answer(response),
    }


def answer(response):
    if response is None:
        return {"none": f"no answer within {PATIENCE} s"}
    headers = {name.decode(): value.decode() for name, value in response.headers.raw if name.lower() != b"date"}
    return {"status": response.status_code, "headers": headers, "body": response.text}


async def asked(method, url, **arguments):
    async with httpx.AsyncClient(timeout=PATIENCE) as http:
        try:
            return await http.request(method, url, **arguments)
        except httpx.ReadTimeout:
            return None


def write(name, note, **content):
    head = {"note": note, "recordedAt": int(time.time())}
    (OUT / name).write_text(json.dumps(head | content, indent=1) + "\n")
    print(f"wrote {name}")


async def exchange(seller, path="/weather", method="GET", **arguments):
    """One whole purchase of the unmodified client, as it went over the wire."""
    seen = []

    async def look(response):
        await response.aread()
        seen.append(shown(response))

    before = len(seller.settlements())
    hub = AdapterHub(evm_private_key=BUYER)
    async with Http402Client(adapter_hub=hub, timeout=30, event_hooks={"response": [look]}) as http:
        http.add_payment_method(dollar(1.0))
        await http.request(method, seller.url + path, **arguments)
    return {"exchanges": seen, "settlement": await seller.settlement(before)}


async def challenge(seller):
    return (await asked("GET", f"{seller.url}/weather")).json()


async def token_request(hub, components):
    """The bytes the client would post, made by its own code."""
    permit = await hub.signature(components)
    # As Http402Client._exchange_permit_for_token does it.
    request = ClientTokenRequest(version="Version 0.1", permit=permit)
    return httpx.Request("POST", "http://x", json=request.model_dump(mode="json")).content.decode()


def hub_of(key=BUYER):
    hub = AdapterHub(evm_private_key=key)
    hub.register_payment_methods(dollar(1.0), client_role=True)
    return hub


async def short_signatures(seller, wanted, post):
    """Signs until every wanted pair of lengths of r and s (without 0x) was seen."""
    hub = hub_of()
    components = Offers((await challenge(seller))["payment_scheme"]["payment_components"]).typed
    found, signed = {}, 0
    while len(found) < len(wanted) and signed < 20000:
        text = await token_request(hub, components)
        signed += 1
        signature = json.loads(text)["permit"]["signature"]
        lengths = (len(signature["r"]) - 2, len(signature["s"]) - 2)
        if lengths in wanted and lengths not in found:
            found[lengths] = text
    rows = []
    for (r, s), text in sorted(found.items()):
        row = {"rDigits": r, "sDigits": s, "body": text}
        if post:
            before = len(seller.settlements())
            response = await asked("POST", f"{seller.url}/token", content=text, headers=JSON)
            row["response"] = answer(response)
            row["settlement"] = await seller.settlement(before) if response.status_code == 200 else None
        rows.append(row)
    return rows, signed


class Offers:
    def __init__(self, components):
        from x402_mock.schemas.https import ServerPaymentScheme

        scheme = ServerPaymentScheme(payment_components=components, protocol_version="Version 0.1")
        self.typed = scheme.payment_components


JSON = {"Content-Type": "application/json"}


def changed(request, **members):
    request = copy.deepcopy(request)
    for path, value in members.items():
        *parents, last = path.split("__")
        place = request
        for parent in parents:
            place = place[parent]
        if value is ABSENT:
            del place[last]
        else:
            place[last] = value
    return request


ABSENT = object()


async def answers(seller):
    """One fresh request changed in one way each, and what the server says to it."""
    hub = hub_of()
    components = Offers((await challenge(seller))["payment_scheme"]["payment_components"]).typed

    async def fresh(key=None):
        while True:
            request = json.loads(await token_request(hub if key is None else hub_of(key), components))
            signature = request["permit"]["signature"]
            if len(signature["r"]) == len(signature["s"]) == 66:
                return request

    other = "0x90F79bf6EB2c4f870365E785982E1f101E93b906"
    poor = "0x7777777777777777777777777777777777777777777777777777777777777777"
    now = int(time.time())
    cases = []

    async def case(name, body, method="POST", headers=JSON, **rest):
        text = body if isinstance(body, str) else json.dumps(body, separators=(",", ":"))
        arguments = {"content": text, "headers": headers} if method == "POST" else {}
        before = len(seller.settlements())
        response = await asked(method, f"{seller.url}/token", **arguments)
        row = {"name": name, "request": {"method": method, "headers": headers, "body": text}, "response": answer(response)}
        if response is not None and response.status_code == 200:
            row["settlement"] = await seller.settlement(before)
        cases.append(row | rest)
        print(f"  {name}: {row['response'].get('status', 'none')} {row.get('settlement', '')}")

    good = await fresh()
    await case("fresh", good)
    await case("the same again, after it was settled", good)
    await case("numbers as strings", (lambda p: changed(
        p, permit__value=str(p["permit"]["value"]), permit__chain_id="84532", permit__validAfter="0",
        permit__validBefore=str(p["permit"]["validBefore"]), permit__signature__v=str(p["permit"]["signature"]["v"]),
    ))(await fresh()))
    await case("value as a float with no fraction", changed(await fresh(), permit__value=10000.0))
    await case("no created_at", changed(await fresh(), permit__created_at=ABSENT, permit__signature__created_at=ABSENT))
    await case("unknown members", changed(await fresh(), extra=1, permit__extra=1, permit__signature__extra=1))
    await case("r without 0x", (lambda p: changed(p, permit__signature__r=p["permit"]["signature"]["r"][2:]))(await fresh()))
    await case("r and s in upper case", (lambda p: changed(
        p, permit__signature__r="0x" + p["permit"]["signature"]["r"][2:].upper(),
        permit__signature__s="0x" + p["permit"]["signature"]["s"][2:].upper(),
    ))(await fresh()))
    await case("addresses in lower case", (lambda p: changed(
        p, **{f"permit__{k}": p["permit"][k].lower() for k in ("token", "authorizer", "recipient")}
    ))(await fresh()))
    await case("nonce in upper case", (lambda p: changed(
        p, permit__nonce="0x" + p["permit"]["nonce"][2:].upper()))(await fresh()))
    await case("nonce without 0x", (lambda p: changed(p, permit__nonce=p["permit"]["nonce"][2:]))(await fresh()))
    await case("no permit_type", changed(await fresh(), permit__permit_type=ABSENT))
    await case("no content type", await fresh(), headers={})
    await case("too little", changed(await fresh(), permit__value=9999))
    await case("more than the price, signature does not cover it", changed(await fresh(), permit__value=10001))
    await case("other recipient", changed(await fresh(), permit__recipient=other))
    await case("other authorizer, no money", changed(await fresh(), permit__authorizer=other))
    await case("a payer without money", await fresh(poor))
    await case("expired", changed(await fresh(), permit__validBefore=now - 1))
    await case("not yet valid", changed(await fresh(), permit__validAfter=now + 300))
    await case("other chain", changed(await fresh(), permit__chain_id=1))
    await case("unknown token", changed(await fresh(), permit__token="0x" + "11" * 20))
    await case("changed s", changed(await fresh(), permit__signature__s="0x" + "11" * 32))
    await case("v of 0", changed(await fresh(), permit__signature__v=0))
    await case("no signature", changed(await fresh(), permit__signature=ABSENT))
    await case("signature null", changed(await fresh(), permit__signature=None))
    await case("permit_type EIP2612", changed(await fresh(), permit__permit_type="EIP2612"))
    await case("version Version 0.2", changed(await fresh(), version="Version 0.2"))
    await case("no version", changed(await fresh(), version=ABSENT))
    await case("no permit", {"version": "Version 0.1"})
    await case("not JSON", "permit=1")
    await case("empty body", "")
    await case("an array", "[]")
    await case("GET", "", method="GET", headers={})
    return cases


async def access(seller, brief):
    """What the paid route says to an Authorization field."""
    permit = await token_request(hub_of(), Offers((await challenge(seller))["payment_scheme"]["payment_components"]).typed)
    token = (await asked("POST", f"{seller.url}/token", content=permit, headers=JSON)).json()["access_token"]
    last = "A" if token[-2] != "A" else "B"
    rows = []

    async def row(name, value, at=seller):
        response = await asked("GET", f"{at.url}/weather", headers={"Authorization": value} if value is not None else {})
        body = answer(response)
        rows.append({"name": name, "authorization": value, "response": body})
        print(f"  {name}: {body.get('status', 'none')}")

    await row("none", None)
    await row("the token", f"Bearer {token}")
    await row("the token a second time", f"Bearer {token}")
    await row("bearer in lower case", f"bearer {token}")
    await row("two spaces", f"Bearer  {token}")
    await row("no scheme", token)
    await row("Basic", "Basic YTpi")
    await row("one part", "Bearer abc")
    await row("three parts", "Bearer a.b.c")
    await row("changed signature", f"Bearer {token[:-2]}{last}{token[-1]}")
    await row("a part that is no base64", "Bearer a.b")
    paid = await asked("POST", f"{brief.url}/token", content=await token_request(
        hub_of(), Offers((await challenge(brief))["payment_scheme"]["payment_components"]).typed), headers=JSON)
    await asyncio.sleep(2.1)
    await row("expired", f"Bearer {paid.json()['access_token']}", at=brief)
    return rows


async def main():
    OUT.mkdir(parents=True, exist_ok=True)
    env("RPC_URL")
    seller = Seller()
    write("01-erc3009.json", "Two purchases: GET /weather and POST /order, and what became of the money.",
          tokenKey=TOKEN_KEY, purchases=[
              await exchange(seller), await exchange(seller, "/order", "POST", json={"cups": 1})])
    wanted = {(63, 64), (62, 64), (64, 63), (64, 62), (63, 63)}
    rows, signed = await short_signatures(seller, wanted, post=True)
    permits = Seller(CURRENCY="TKN")
    os.environ["CURRENCY"] = "TKN"
    write("02-permit2.json", "One purchase with Permit2. The chain has no Permit2 contract, so no money moves; "
          "the seller looks at the status of its transaction only and believes that it was paid.", purchases=[await exchange(permits)])
    short2, signed2 = await short_signatures(permits, {(63, 64), (64, 63)}, post=True)
    del os.environ["CURRENCY"]
    permits.stop()
    write("03-short-signatures.json", f"Token requests whose r or s has lost leading zeros, out of {signed} (ERC-3009) "
          f"and {signed2} (Permit2) signed in a loop.", erc3009=rows, permit2=short2)
    write("04-token-answers.json", "Token requests, most of them changed in one way, and the answers.",
          cases=await answers(seller))
    brief = Seller(TOKEN_SECONDS="1")
    write("05-access.json", "What the paid route answers to Authorization fields.", tokenKey=TOKEN_KEY,
          cases=await access(seller, brief))
    brief.stop()
    seller.stop()


asyncio.run(main())
