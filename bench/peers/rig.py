"""The rig: one chain, a counting proxy in front of it, and the processes that are measured."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent
REPOSITORY = ROOT.parent.parent
RESULTS = ROOT / "results"
BOOKS = ROOT / "books"
TOOL = str(ROOT / "rust/target/release/x4bench")
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target")) / "release"
# Not the usual ports, where somebody may have a chain already; x4bench expects the chain at the same place.
CHAIN_PORT, PROXY_PORT, FAKE_PORT, FIRST_PORT = 18545, 18546, 14019, 14040
CHAIN, PROXY, FAKE = (f"http://127.0.0.1:{port}" for port in (CHAIN_PORT, PROXY_PORT, FAKE_PORT))
PAY_TO = "0x5e11e50000000000000000000000000000000001"
# One of the well-known development keys that anvil funds (public, worthless).
SIGNER_KEY = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d"


def say(*parts):
    print(time.strftime("%H:%M:%S"), *parts, flush=True)


def raise_file_limit():
    """Thousands of callers are thousands of sockets; the limit is inherited by everything started here."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def http(url, method="GET", timeout=5):
    with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=timeout) as reply:
        return reply.read()


def free(port):
    """Whoever answers there already would be measured instead of ours."""
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise SystemExit(f"something listens on port {port}: stop it first")


def rpc(method, *params):
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}).encode()
    request = urllib.request.Request(CHAIN, body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as reply:
        return json.load(reply).get("result")


def wait_up(url, process=None, seconds=40, interval=0.05):
    end = time.time() + seconds
    while time.time() < end:
        if process is not None and process.poll() is not None:
            raise RuntimeError(f"process ended with {process.returncode}")
        try:
            http(url)
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(interval)
    raise RuntimeError(f"{url} did not come up")


@contextmanager
def process(command, env=None, ready=None, name="process"):
    """Runs a program while the block runs; its output goes to results/NAME.log."""
    with open(RESULTS / f"{name}.log", "ab") as log:
        child = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **(env or {})}, stdout=log, stderr=log, start_new_session=True
        )
        try:
            if ready:
                wait_up(ready, child)
            yield child
        finally:
            child.send_signal(signal.SIGTERM)
            try:
                child.wait(5)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def anvil():
    """The binary inside the npm package of this platform."""
    found = sorted((ROOT / "ts/node_modules/@foundry-rs").glob("anvil-*/bin/anvil*"))
    if not found:
        raise SystemExit("anvil is not installed: run bench.py setup")
    return str(found[0])


@contextmanager
def chain(block_time):
    """A fresh chain with the contracts and balances of the bench, and the counting proxy in front of it."""
    # Without --prune-history anvil keeps a copy of the state for each block, some 20 MB each. The gas limit of one
    # transaction (EIP-7825, 2^24) holds on the networks that payments are settled on, so it holds here.
    command = [anvil(), "--chain-id", "84532", "--gas-limit", "400000000", "--enable-tx-gas-limit"]
    command += ["--prune-history", "4", "--silent", "--port", str(CHAIN_PORT)]
    if block_time:
        command += ["--block-time", str(block_time)]
    free(CHAIN_PORT)
    with process(command, name="anvil") as node:
        for _ in range(200):
            try:
                rpc("eth_chainId")
                break
            except OSError:
                time.sleep(0.05)
        subprocess.run([TOOL, "init-chain"], cwd=ROOT, check=True)
        with process([TOOL, "rpc-proxy", "--port", str(PROXY_PORT)], ready=f"{PROXY}/__stats", name="proxy"):
            yield node


def plain(name):
    return re.sub(r"[^A-Za-z0-9]+", "-", name)


def filled(text, port, data):
    """Puts this run's places into a word of `cmd` or `env`."""
    places = {"{port}": str(port), "{rpc}": PROXY, "{key}": SIGNER_KEY, "{data}": str(data), "{target}": str(TARGET)}
    for place, value in places.items():
        text = text.replace(place, value)
    return text


def command_of(system, port, extra_env):
    """The command line and environment of a system, with an empty folder for its book."""
    data = BOOKS / plain(system["name"])
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir(parents=True, mode=0o700)
    given = {"PORT": str(port), "RPC_URL": PROXY + "/", "SIGNER_KEYS": SIGNER_KEY, "PAY_TO": PAY_TO, "AMOUNT": "1000"}
    env = {**given, **extra_env}
    env |= {name: filled(value, port, data) for name, value in system.get("env", {}).items()}
    return [filled(word, port, data) for word in system["cmd"]], env


@contextmanager
def running(system, index, extra_env=None, ready="/supported"):
    """Starts a system; gives its URL and process id."""
    port = FIRST_PORT + index
    free(port)
    command, env = command_of(system, port, extra_env or {})
    url = f"http://127.0.0.1:{port}"
    with process(command, env, ready=url + ready, name=plain(system["name"])) as child:
        yield url, child.pid


def tool(*arguments):
    """Runs x4bench and returns its JSON lines."""
    out = subprocess.run([TOOL, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True)
    if out.returncode:
        say("   failed:", *out.stderr.strip().splitlines()[:1])
    return [json.loads(line) for line in out.stdout.splitlines() if line.startswith("{")]


def memory_mb(pid):
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024


def setup():
    """Builds and installs everything inside this folder and the project's target folder."""
    RESULTS.mkdir(exist_ok=True)

    def run(folder, *command):
        subprocess.run(command, cwd=ROOT / folder, check=True)

    # The hosts of the peers keep their own target folder, whatever CARGO_TARGET_DIR says.
    env = {name: value for name, value in os.environ.items() if name != "CARGO_TARGET_DIR"}
    say("setup: load generator and x402-rs")
    subprocess.run(["cargo", "build", "--release", "--locked", "--quiet"], cwd=ROOT / "rust", env=env, check=True)
    say("setup: groat")
    ours = ["-p", "groat", "-p", "groat-bench", "--bins"]
    subprocess.run(["cargo", "build", "--release", "--quiet", *ours], cwd=REPOSITORY, check=True)
    if stale("ts", "package-lock.json", "node_modules"):
        say("setup: npm peers and anvil")
        # Not `npm ci`: the lock lists anvil for one platform only.
        run("ts", "npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error")
        done("ts", "package-lock.json", "node_modules")
    if stale("py", "requirements.lock", ".venv"):
        say("setup: PyPI peers")
        run("py", sys.executable, "-m", "venv", ".venv")
        run("py", ".venv/bin/pip", "install", "-q", "--disable-pip-version-check", "-r", "requirements.lock")
        done("py", "requirements.lock", ".venv")
    run("ts", "node", "compile.mjs")


def stale(folder, lock, installed):
    stamp = ROOT / folder / installed / ".setup-stamp"
    return not stamp.exists() or stamp.read_text() != (ROOT / folder / lock).read_text()


def done(folder, lock, installed):
    (ROOT / folder / installed / ".setup-stamp").write_text((ROOT / folder / lock).read_text())
