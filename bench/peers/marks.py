"""The marks that groat is held to, and how each figure is read from the rows."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from dataclasses import dataclass

from rig import RESULTS

PARTS = ["start", "verify", "settle", "automine", "duplicate", "seller", "limits"]
# A figure of a system that failed more often than this does not count as that system's speed.
FAILED_MAX = 0.01


class Rows:
    """Everything in results/."""

    def __init__(self, rows):
        self.rows = rows

    @classmethod
    def read(cls):
        paths = [RESULTS / f"{part}.jsonl" for part in PARTS]
        return cls([json.loads(line) for p in paths if p.exists() for line in p.read_text().splitlines()])

    def of(self, **wanted):
        return Rows([row for row in self.rows if all(row.get(key) == value for key, value in wanted.items())])

    def median(self, figure, combine=statistics.median):
        """The median of a figure over the rounds; promises that must always hold are combined in another way."""
        values = [value for value in map(figure, self.rows) if value is not None]
        return combine(values) if values else None

    def sound(self):
        """Whether (almost) everything that was sent was answered as it should be."""
        return all(
            row.get("n", 0) - row.get("ok", row.get("n", 0)) <= FAILED_MAX * row.get("n", 0) for row in self.rows
        )

    def groups(self, *keys):
        found = {}
        for row in self.rows:
            found.setdefault(tuple(row.get(key) for key in keys), []).append(row)
        return {key: Rows(rows) for key, rows in found.items()}


def at(*path):
    """Reads a member of a row."""

    def read(row):
        for key in path:
            row = row.get(key) if isinstance(row, dict) else None
        return row

    return read


def per_moved(path):
    """A figure for each request, told for each payment that really moved."""
    return lambda row: (
        at(*path)(row) * row["n"] / row["moved"] if row.get("moved") and at(*path)(row) is not None else None
    )


def lost(row):
    return row["n"] - min(row["ok"], row["moved"]) + row["stuck"]


def one_for_all(row):
    """16 callers, one payment: how many got the one answer, when one transaction moved it and none failed."""
    once = row["moved"] == row["txs"] == row["payments"] and row["reverted"] == 0
    alike = all(count == 1 for count in row["distinct_answers_per_payment"])
    return min(row["success_replies_per_payment"]) if once and alike else 0


def added_us(rows, label):
    """What an unpaid visit costs above a free one, paired by round and turn."""
    pairs = []
    for group in rows.of(part="seller", label=label, c=64).groups("round", "turn").values():
        free, unpaid = (group.of(visit=visit).median(at("cpu_ms_per_op")) for visit in ("free", "unpaid"))
        if free is not None and unpaid is not None:
            pairs.append((unpaid - free) * 1000)
    return statistics.median(pairs) if pairs else None


@dataclass(frozen=True)
class Mark:
    """One line of the table."""

    title: str
    unit: str
    less_is_better: bool
    # The figure and whether it is sound, of one system; None when it was not measured.
    figure: Callable[[Rows, str], tuple[float, bool] | None]
    # A number, or (factor, name of the peer).
    mark: float | tuple[float, str]
    family: str = "facilitators"
    # Whose figure is compared with the mark.
    subject: str = "groat"
    note: str = ""

    def limit(self, figures):
        if not isinstance(self.mark, tuple):
            return self.mark
        factor, peer = self.mark
        return factor * figures[peer][0] if figures.get(peer) else None

    def met(self, figures):
        own, limit = figures.get(self.subject), self.limit(figures)
        if own is None or limit is None:
            return None
        return own[1] and (own[0] <= limit if self.less_is_better else own[0] >= limit)


def load(part, figure, combine=statistics.median, **wanted):
    def read(rows, label):
        found = rows.of(part=part, label=label, **wanted)
        value = found.median(figure, combine)
        return None if value is None else (value, found.sound())

    return read


def batched_gas(rows, label):
    """Gas of one payment where at least 50 shared a transaction."""
    found = [rows.of(part="settle", label=label, c=c) for c in (256, 1024, 8192)]
    full = Rows([row for group in found for row in group.rows if row["txs_per_payment"] <= 1 / 50])
    value = full.median(at("gas_per_payment"))
    return None if value is None else (value, True)


def gas_or_single(rows, label):
    """Systems that do not batch are shown with what one payment costs them at 256 callers."""
    return batched_gas(rows, label) or load("settle", at("gas_per_payment"), c=256)(rows, label)


def unpaid_added(rows, label):
    value = added_us(rows, label)
    return None if value is None else (value, True)


def us(figure):
    return lambda row: figure(row) * 1000 if figure(row) is not None else None


CPU, RATE = at("cpu_ms_per_op"), at("per_s")
P50, P99 = at("ms", "p50"), at("ms", "p99")
REQUESTS = ("rpc_per_op", "http_requests")
NEAR, FAR = {"variant": "chain"}, {"variant": "stub+20ms"}
PAID = {"visit": "paid", "c": 64}

MARKS = [
    Mark("CPU for a verify, 64 callers", "ms", True, load("verify", CPU, c=64, **NEAR), 0.06),
    Mark("Verifies a second, 64 callers", "/s", False, load("verify", RATE, c=64, **NEAR), (3, "x402-rs")),
    Mark("Verify, one caller, p50", "ms", True, load("verify", P50, c=1, **NEAR), 0.3),
    Mark("Verify, 64 callers, RPC 20 ms away, p50", "ms", True, load("verify", P50, c=64, **FAR), 23),
    Mark("Verifies a second, 512 callers, RPC 20 ms away", "/s", False, load("verify", RATE, c=512, **FAR), 8000),
    Mark("RPC requests for a verify, 64 callers", "", True, load("verify", at(*REQUESTS), c=64, **NEAR), 0.1),
    Mark(
        "Settle, one caller: answer after its block, p50",
        "ms",
        True,
        load("settle", at("after_block_ms", "p50"), c=1),
        100,
    ),
    Mark(
        "Settle, one caller: answer after its block, p99",
        "ms",
        True,
        load("settle", at("after_block_ms", "p99"), c=1),
        300,
    ),
    Mark("Settled a second, 256 callers", "/s", False, load("settle", RATE, c=256), 245),
    Mark("Settle, 256 callers, p99", "ms", True, load("settle", P99, c=256), 1100),
    Mark("Settled a second, 1,024 callers", "/s", False, load("settle", RATE, c=1024), 950),
    Mark("Settle, 1,024 callers, p99", "ms", True, load("settle", P99, c=1024), 1500),
    Mark("Settled a second, 8,192 callers", "/s", False, load("settle", RATE, c=8192), 4000),
    Mark(
        "Settled a second, 64 callers, a block for every transaction", "/s", False, load("automine", RATE, c=64), 2000
    ),
    Mark(
        "CPU for a settled payment, 256 callers", "ms", True, load("settle", per_moved(("cpu_ms_per_op",)), c=256), 0.15
    ),
    Mark("RPC requests for a settled payment, 256 callers", "", True, load("settle", per_moved(REQUESTS), c=256), 0.5),
    Mark("Gas for a payment in batches of 50 and more", "gas", True, gas_or_single, 47_000),
    Mark(
        "16 callers settle one payment: same answers by one transaction",
        "of 16",
        False,
        load("duplicate", one_for_all, min),
        16,
    ),
    Mark("Failed, lost or stuck at 256 callers", "", True, load("settle", lost, sum, c=256), 0),
    Mark("From start to ready", "s", True, load("start", at("ready_s")), 0.1),
    Mark("Memory when idle", "MB", True, load("start", at("idle_mb")), 15),
    Mark("CPU that an unpaid 402 adds", "µs", True, unpaid_added, 2, "sellers", "groat layer"),
    Mark(
        "CPU for a paid request, book in memory",
        "µs",
        True,
        load("seller", us(CPU), **PAID),
        45,
        "sellers",
        "groat layer in memory",
    ),
    Mark(
        "CPU for a paid request, book on SQLite",
        "µs",
        True,
        load("seller", us(CPU), **PAID),
        90,
        "sellers",
        "groat layer",
    ),
    Mark(
        "Paid requests a second, book on SQLite",
        "/s",
        False,
        load("seller", RATE, **PAID),
        8000,
        "sellers",
        "groat layer",
    ),
    Mark(
        "CPU for a request with a pass",
        "µs",
        True,
        load("seller", us(CPU), visit="pass", c=64),
        10,
        "sellers",
        "groat layer",
    ),
]
