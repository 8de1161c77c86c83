"""What is measured: every step starts a fresh chain and a fresh system, and leaves one line in results/."""

from __future__ import annotations

import json
import os
import subprocess
import time
from dataclasses import dataclass
from datetime import datetime, timezone

import rig
from rig import FAKE, PROXY, RESULTS, TOOL, chain, http, process, rpc, running, say, tool


@dataclass(frozen=True)
class Load:
    """One load on a facilitator."""

    kind: str
    variant: str
    c: int
    block_time: int = 1
    n: int | None = None  # None: as many as the system is said to need
    seconds: float = 4
    stub: int = 0
    delay_ms: int = 0


def loads(part, quick):
    """The loads of a part, lightest first."""
    seconds = 2 if quick else 4
    if part == "verify":
        near = [Load("verify", "chain", c, seconds=seconds) for c in (1, 16, 64)]
        stub = [Load("verify", "stub", 64, seconds=seconds, stub=1)]
        far = [Load("verify", "stub+20ms", c, seconds=seconds, stub=1, delay_ms=20) for c in (64, 512)]
        return near + stub + far
    if part == "settle":
        waves = {1: 6, 16: 2, 256: 4} if quick else {1: 20, 16: 4, 256: 8, 1024: 6, 8192: 3}
        return [Load("settle", "chain", c, n=c * waves[c], seconds=25 if c == 1 else 10) for c in waves]
    if part == "automine":
        return [Load("settle", "chain", 64, block_time=0, seconds=seconds)]
    if part == "duplicate":
        return [Load("duplicate", "chain", 16, n=3)]
    return []


class Sink:
    """Appends rows to results/PART.jsonl and says them."""

    def __init__(self, part, **common):
        self.path = RESULTS / f"{part}.jsonl"
        self.common = {"part": part, "at": datetime.now(timezone.utc).isoformat(timespec="seconds"), **common}

    def put(self, rows, **extra):
        with self.path.open("a") as file:
            for row in rows:
                row = {**row, **self.common, **extra, "load1": os.getloadavg()[0]}
                file.write(json.dumps(row) + "\n")
                say(f"   {row['kind']}", *(f"{name}={value}" for name, value in told(row).items()))


def told(row):
    """The members of a row that somebody who waits wants to see."""
    names = [
        "variant",
        "c",
        "ok",
        "n",
        "per_s",
        "ms",
        "cpu_ms_per_op",
        "moved",
        "txs",
        "failures",
        "ready_s",
        "idle_mb",
    ]
    short = {name: f"{row[name]:.4g}" if isinstance(row[name], float) else row[name] for name in names if name in row}
    return {name: value for name, value in short.items() if value not in (None, {})}


def rotated(items, by):
    by %= max(len(items), 1)
    return items[by:] + items[:by]


def due(systems, round_no):
    """The systems of this round; slow ones are measured in fewer rounds."""
    return rotated([(i, s) for i, s in systems if round_no < s.get("rounds", round_no + 1)], round_no)


def facilitators(part, systems, round_no, quick):
    for load in loads(part, quick):
        for index, system in due(systems, round_no):
            if load.c > system.get(f"{load.kind}_max_c", load.c):
                continue
            mode = f"{load.block_time} s blocks" if load.block_time else "automine"
            say(f"round {round_no}, {part}, {mode}: {system['name']}")
            with chain(load.block_time):
                one_load(Sink(part, round=round_no, chain=mode), index, system, load)


def one_load(sink, index, system, load):
    http(f"{PROXY}/__config?stub={load.stub}&delay_ms={load.delay_ms}", "POST")
    n = load.n or (system["verify_n"] if load.c > 1 else min(system["verify_n"], 16_000))
    with running(system, index) as (url, pid):
        common = ["--url", url, "--label", system["name"]]
        tool("verify", *common, "-c", 8, "-n", min(400, system["verify_n"] // 4), "--quiet")
        arguments = [*common, "-c", load.c, "-n", n, "--proxy", PROXY, "--seconds", load.seconds, "--pid", pid]
        if load.kind == "settle" and load.c == 1:
            arguments.append("--inclusion")
        sink.put(tool(load.kind, *arguments), variant=load.variant)
    rpc("anvil_dropAllTransactions")


def sellers(systems, round_no, quick):
    """Free, unpaid and paid visits in front of a facilitator that agrees to everything at once."""
    command = [TOOL, "fake-facilitator", "--port", str(rig.FAKE_PORT)]
    sink = Sink("seller", round=round_no, chain="none")
    with process(command, ready=FAKE + "/supported", name="fake"):
        for index, system in due(systems, round_no):
            say(f"round {round_no}, seller: {system['name']}")
            with running(system, index, {"FACILITATOR_URL": FAKE}, ready="/free") as (url, pid):
                one_seller(sink, system, url, pid, quick)


def one_seller(sink, system, url, pid, quick):
    """Visits of all kinds in turns, so that they are compared under the same load of the machine."""
    common = ["--url", url, "--label", system["name"]]
    for visit in system["visit_n"]:
        tool("seller", *common, "--visit", visit, "-c", 8, "-n", 300, "--quiet")
    for turn in range(1 if quick else 3):
        for visit, n in system["visit_n"].items():
            for c in (1, 64) if turn == 0 and not quick else (64,):
                run = ["-c", c, "-n", n, "--seconds", 2, "--pid", pid]
                sink.put(tool("seller", *common, "--visit", visit, *run), visit=visit, variant=visit, turn=turn)


def starts(systems, round_no, quick):
    """From the start of the process to its first answer, and its memory when it has nothing to do."""
    sink = Sink("start", round=round_no, chain="1 s blocks")
    with chain(1):
        for index, system in due(systems, round_no):
            say(f"round {round_no}, start: {system['name']}")
            for _ in range(2 if quick else 5):
                sink.put([one_start(system, index)])


def one_start(system, index):
    port = rig.FIRST_PORT + index
    command, env = rig.command_of(system, port, {})
    with open(RESULTS / f"{rig.plain(system['name'])}.log", "ab") as log:
        begun = time.perf_counter()
        child = subprocess.Popen(command, cwd=rig.ROOT, env={**os.environ, **env}, stdout=log, stderr=log)
        try:
            rig.wait_up(f"http://127.0.0.1:{port}/supported", child, interval=0.001)
            ready = time.perf_counter() - begun
            time.sleep(2)
            memory = rig.memory_mb(child.pid)
        finally:
            child.kill()
            child.wait()
    return {"kind": "start", "label": system["name"], "n": 1, "ok": 1, "ready_s": ready, "idle_mb": memory}


def limits(round_no):
    """The physical limits behind the figures: crypto, parsing, loopback HTTP, the chain itself, gas."""
    sink = Sink("limits", round=round_no)
    sink.put(tool("limits", "--rounds", 5))
    with process([TOOL, "hello", "--port", str(rig.FAKE_PORT)], ready=FAKE, name="hello") as hello:
        for c in (1, 16, 64):
            run = ["-c", c, "-n", 200_000, "--seconds", 3, "--pid", hello.pid]
            rows = tool("seller", "--url", FAKE, "--visit", "free", "--label", "hyper hello world", *run)
            sink.put(rows, kind="hello")
    with chain(0) as node:
        sink.put(tool("reads", "--anvil-pid", node.pid))
    for block_time, c, batch, n in ((0, 1, 1, 600), (1, 16, 1, 3000), (0, 1, 100, 6400), (1, 1, 100, 12_800)):
        with chain(block_time) as node:
            mode = f"{block_time} s blocks" if block_time else "automine"
            run = ["-c", c, "-n", n, "--batch", batch, "--anvil-pid", node.pid, "--label", mode]
            sink.put(tool("chain-ceiling", *run))
    with chain(0):
        sink.put(tool("gas"))
