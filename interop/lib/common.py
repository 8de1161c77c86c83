"""What the Python peers share: environment, one JSON line out, orderly start and stop."""

import asyncio
import base64
import json
import os
import signal
import socket
import sys
import threading
import time
from importlib.metadata import version

PRICES = {"weather": "$0.01", "order": "$0.02"}


def env(name, fallback=None):
    value = os.environ.get(name) or fallback
    if value is None:
        raise RuntimeError(f"environment variable {name} is missing")
    return value


def print_line(line):
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def decode_header(value):
    return json.loads(base64.b64decode(value)) if value else None


def request_arguments():
    arguments = {"method": env("METHOD", "GET"), "url": env("URL")}
    body = os.environ.get("BODY")
    if body:
        arguments["content"] = body.encode()
        arguments["headers"] = {"Content-Type": env("CONTENT_TYPE", "application/json")}
    return arguments


def run_client(attempt, receipt_headers, sdk_decode):
    """Runs `attempt` once, prints the one result line, exits 0 only for a paid 200.

    `sdk_decode` is the package's own receipt reader: it must accept the header, the line shows all of it.
    """
    line = {
        "client": "pypi:x402",
        "version": version("x402"),
        "status": 0,
        "body": "",
        "receipt": None,
        "error": None,
        "ms": 0,
    }
    started = time.perf_counter()
    try:
        response = asyncio.run(attempt(request_arguments()))
        line["ms"] = round((time.perf_counter() - started) * 1000)
        line["status"] = response.status_code
        line["body"] = response.text
        raw = next((v for v in map(response.headers.get, receipt_headers) if v), None)
        if raw:
            sdk_decode(raw)
            line["receipt"] = decode_header(raw)
        if response.status_code != 200:
            challenge = decode_header(response.headers.get("PAYMENT-REQUIRED")) or {}
            reason = challenge.get("error") or (line["receipt"] or {}).get("errorReason") or response.text
            line["error"] = f"status {response.status_code}: {reason}"
        elif not line["receipt"]:
            line["error"] = "no payment receipt header"
        elif line["receipt"].get("success") is not True:
            line["error"] = "receipt without success"
    except Exception as error:  # noqa: BLE001 - every failure belongs in the line
        line["ms"] = round((time.perf_counter() - started) * 1000)
        line["error"] = f"{type(error).__name__}: {error}"
    print_line(line)
    sys.exit(0 if line["error"] is None else 1)


def add_routes(app):
    from fastapi import Request

    @app.get("/free")
    async def free():
        return {"free": True}

    @app.get("/weather")
    async def weather():
        return {"city": "Lisbon", "celsius": 21}

    @app.post("/order")
    async def order(request: Request):
        return {"ordered": await request.json()}


def serve(app, peer, package="x402"):
    """Listens on 127.0.0.1, prints the ready line, and ends with SIGTERM, SIGINT or (if asked) stdin."""
    import uvicorn

    listener = socket.create_server(("127.0.0.1", int(env("PORT", "0"))))
    # A request that is never answered must not keep the process alive.
    config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)

    async def main():
        task = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started and not task.done():
            await asyncio.sleep(0.005)
        if server.started:
            print_line({"listening": listener.getsockname()[1], "peer": peer, "version": version(package)})
        await task

    # uvicorn stops gracefully on these and then raises the signal again: a requested stop is exit code 0.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(0))
    if os.environ.get("STOP_WITH_STDIN") == "1":

        def watch():
            sys.stdin.buffer.read()
            os.kill(os.getpid(), signal.SIGTERM)

        threading.Thread(target=watch, daemon=True).start()
    asyncio.run(main())
