"""Writes docs/bench: results.json, the generated parts of README.md, and the plot."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
from pathlib import Path

import plot
import rig
from marks import CPU, MARKS, P50, P99, RATE, Rows, at

DOCS = rig.REPOSITORY / "docs/bench"
OURS = "groat"


def write():
    rows = Rows.read()
    if not rows.rows:
        raise SystemExit("nothing has been measured: run bench.py run")
    config = json.loads((rig.ROOT / "systems.json").read_text())
    names = {family: [s["name"] for s in config[family]] for family in ("facilitators", "sellers")}
    lines = [line_of(mark, rows, names[mark.family]) for mark in MARKS]
    told = {
        "machine": machine(),
        "measured": span(rows),
        "rounds": {key[0]: len(group.groups("round")) for key, group in rows.groups("label").items()},
        "versions": versions(config),
        "marks": lines,
        "medians": medians(rows),
    }
    DOCS.mkdir(parents=True, exist_ok=True)
    (DOCS / "results.json").write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n")
    (DOCS / "plot.svg").write_text(plot.svg(lines))
    blocks = {"machine": machine_block(told, rows), "marks": marks_block(lines, names), "details": details(rows, names)}
    insert(DOCS / "README.md", blocks)
    print(marks_block(lines, names))


def line_of(mark, rows, names):
    """Everything the table says of one mark."""
    figures = {name: figure for name in names if (figure := mark.figure(rows, name))}
    own = figures.get(mark.subject)
    peers = {name: value for name, (value, sound) in figures.items() if sound and not name.startswith(OURS)}
    best = (min if mark.less_is_better else max)(peers, key=peers.get, default=None)
    ratio = None
    if own and own[1] and best and own[0] and peers[best]:
        ratio = peers[best] / own[0] if mark.less_is_better else own[0] / peers[best]
    return {
        "title": mark.title,
        "unit": mark.unit,
        "lessIsBetter": mark.less_is_better,
        "family": mark.family,
        "subject": mark.subject,
        "figures": {name: {"value": value, "sound": sound} for name, (value, sound) in figures.items()},
        "bestPeer": best,
        "timesBestPeer": ratio if ratio is None or ratio > 0 else None,
        "mark": mark.limit(figures),
        "met": mark.met(figures),
    }


def number(value):
    if value is None:
        return "–"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if abs(value) >= 100 or value == int(value):
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3g}"


def table(head, body):
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    return "\n".join([*lines, *("| " + " | ".join(line) + " |" for line in body)])


def marks_block(lines, names):
    """One table for facilitators and the binary, one for sellers."""
    parts = []
    for family, title in (("facilitators", "Facilitators"), ("sellers", "Sellers")):
        measured = [name for name in names[family] if any(name in line["figures"] for line in lines)]
        peers = [name for name in measured if not name.startswith(OURS)]
        ours = [name for name in measured if name.startswith(OURS)]
        head = [title, *peers, *(f"**{name}**" for name in ours), "times the best peer", "mark", ""]
        body = [cells(line, [*peers, *ours]) for line in lines if line["family"] == family]
        parts.append(table(head, body))
    met = sum(line["met"] is True for line in lines)
    parts.append(f"{met} of {len(lines)} marks are met, {sum(line['met'] is False for line in lines)} are missed.")
    return "\n\n".join(parts)


def cells(line, names):
    def shown(name):
        figure = line["figures"].get(name)
        return "–" if figure is None else number(figure["value"]) + ("" if figure["sound"] else "†")

    sign, unit = "≤" if line["lessIsBetter"] else "≥", line["unit"]
    verdict = {True: "met", False: "**missed**", None: "not measured"}[line["met"]]
    mark = "–" if line["mark"] is None else f"{sign} {number(line['mark'])}"
    title = line["title"] + (f" ({unit})" if unit else "")
    ratio = "–" if line["timesBestPeer"] is None else f"{number(line['timesBestPeer'])} ×"
    return [title, *map(shown, names), ratio, mark, verdict]


def medians(rows):
    """One entry for every load and system, without what nobody reads."""
    entries = []
    for key, group in rows.groups("part", "chain", "variant", "c", "label").items():
        if key[0] == "limits":
            continue
        entry = {
            name: value for name, value in zip(("part", "chain", "variant", "c", "label"), key) if value is not None
        }
        figures = {
            "perS": RATE, "p50Ms": P50, "p99Ms": P99, "cpuMs": CPU, "rssMb": at("rss_mb"), "busyCores": at("machine_busy_cores"),
            "rpcRequests": at("rpc_per_op", "http_requests"), "gas": at("gas_per_payment"), "transactions": at("txs_per_payment"),
            "afterBlockP50Ms": at("after_block_ms", "p50"), "readyS": at("ready_s"), "idleMb": at("idle_mb"),
        }  # fmt: skip
        entry |= {name: round(v, 5) for name, read in figures.items() if (v := group.median(read)) is not None}
        totals = {"sent": "n", "ok": "ok", "moved": "moved", "reverted": "reverted", "stuck": "stuck"}
        entry |= {name: sum(r[k] for r in group.rows) for name, k in totals.items() if k in group.rows[0]}
        entries.append(entry | {"runs": len(group.rows)})
    return entries


def details(rows, names):
    """Every load in full."""
    order = {name: place for place, name in enumerate(names["facilitators"] + names["sellers"])}
    parts = []
    columns = [
        ("ok/s", RATE),
        ("p50 ms", P50),
        ("p99 ms", P99),
        ("CPU ms", CPU),
        ("RPC requests", at("rpc_per_op", "http_requests")),
    ]
    more = {
        "verify": [("RSS MB", at("rss_mb")), ("busy cores", at("machine_busy_cores"))],
        "settle": [
            ("gas", at("gas_per_payment")),
            ("transactions", at("txs_per_payment")),
            ("after block ms", at("after_block_ms", "p50")),
        ],
        "automine": [("gas", at("gas_per_payment")), ("transactions", at("txs_per_payment"))],
        "seller": [("RSS MB", at("rss_mb")), ("busy cores", at("machine_busy_cores"))],
    }
    for part, extra in more.items():
        shown = [column for column in columns if part != "seller" or column[0] != "RPC requests"] + extra
        groups = rows.of(part=part).groups("variant", "c", "label")
        variants = list(dict.fromkeys(key[0] for key in groups))
        for variant in variants:
            mine = sorted((key for key in groups if key[0] == variant), key=lambda key: (key[1], order.get(key[2], 99)))
            body = [
                [f"{key[2]}, {key[1]}", ok_of(groups[key]), *(number(groups[key].median(read)) for _, read in shown)]
                for key in mine
            ]
            title = f"**{part}**" + ("" if variant == "chain" else f", {variant}")
            parts.append(title + "\n\n" + table(["system, callers", "ok of sent", *(name for name, _ in shown)], body))
    return "\n\n".join(parts)


def ok_of(group):
    return f"{sum(r['ok'] for r in group.rows):,} of {sum(r['n'] for r in group.rows):,}"


def said(*command, folder=rig.REPOSITORY):
    try:
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "?"


def machine():
    cpu = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
    memory = int(re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())[1])
    return {
        "cpu": cpu[1] if cpu else platform.machine(),
        "cores": os.cpu_count(),
        "memoryGb": round(memory / 2**20),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
    }


def span(rows):
    days = sorted(row["at"][:10] for row in rows.rows)
    return {"from": days[0], "to": days[-1]}


def versions(config):
    commit = said("git", "rev-parse", "--short", "HEAD") + (
        "+" if said("git", "status", "--porcelain", "crates") else ""
    )
    tools = {
        "groat": commit,
        "rustc": said("rustc", "--version").removeprefix("rustc ").split(" ")[0],
        "anvil": said(rig.anvil(), "--version").splitlines()[0].removeprefix("anvil Version: "),
        "node": said("node", "--version").removeprefix("v"),
        "python": platform.python_version(),
    }
    return tools | {
        s["name"]: s["version"]
        for family in ("facilitators", "sellers")
        for s in config[family]
        if not s["name"].startswith(OURS)
    }


def machine_block(told, rows):
    machine, days, versions = told["machine"], told["measured"], told["versions"]
    when = days["from"] if days["from"] == days["to"] else f"{days['from']} to {days['to']}"
    counts = sorted(set(told["rounds"].values()))
    rounds = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    load = rows.median(at("load1"))
    lines = [
        f"Measured {when}; rounds of each system: {rounds}; medians of all rounds. {machine['cpu']}, {machine['cores']} cores, "
        f"{machine['memoryGb']} GB, {machine['system']}; median load average during the run {number(load)}.",
        "",
        *(f"- {name}: {version}" for name, version in versions.items()),
    ]
    return "\n".join(lines)


def insert(path, blocks):
    """Puts the generated parts between their markers; the words around them are written by hand."""
    text = path.read_text()
    for name, block in blocks.items():
        pattern = rf"(<!-- generated: {name} -->\n).*?(<!-- end -->)"
        text, count = re.subn(pattern, lambda found: f"{found[1]}\n{block}\n\n{found[2]}", text, flags=re.S)
        if count != 1:
            raise SystemExit(f"{path} has no place for {name}")
    path.write_text(text)
