#!/usr/bin/env python3
"""Measures groat beside its peers. `cargo xtask bench` runs it; see README.md.

bench.py setup    build and install everything
bench.py run      set up, measure, and write the page (the default)
bench.py page     write docs/bench again from results/
"""

from __future__ import annotations

import argparse
import json

import page
import rig
import steps

PARTS = ["start", "verify", "settle", "automine", "duplicate", "seller"]


def names(text):
    return [name.strip() for name in text.split(",") if name.strip()]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", nargs="?", choices=["setup", "run", "page"], default="run")
    parser.add_argument("--quick", action="store_true", help="one short round, without the largest loads")
    parser.add_argument("--rounds", type=int, help="3 by default; 1 with --quick")
    parser.add_argument("--only", type=names, default=[], help="systems of systems.json, by name or start of it")
    parser.add_argument("--parts", type=names, default=PARTS, help=f"of {', '.join([*PARTS, 'limits'])}")
    return parser.parse_args()


def chosen(systems, only):
    """Systems with their index, which is their port; `groat` names all rows of groat."""
    indexed = list(enumerate(systems))
    return [(i, s) for i, s in indexed if not only or any(s["name"].startswith(name) for name in only)]


def forget(parts, systems):
    """Drops the earlier rows of what is measured now."""
    labels = {system["name"] for _, system in systems}
    for part in parts:
        path = rig.RESULTS / f"{part}.jsonl"
        if path.exists():
            lines = path.read_text().splitlines(keepends=True)
            kept = [line for line in lines if part != "limits" and json.loads(line)["label"] not in labels]
            path.write_text("".join(kept))


def run(args):
    config = json.loads((rig.ROOT / "systems.json").read_text())
    facilitators, sellers = (chosen(config[kind], args.only) for kind in ("facilitators", "sellers"))
    if not facilitators and not sellers:
        raise SystemExit(f"no system is called {', '.join(args.only)}: see systems.json")
    unknown = set(args.parts) - {*PARTS, "limits"}
    if unknown:
        raise SystemExit(f"no part is called {', '.join(unknown)}: there are {', '.join([*PARTS, 'limits'])}")
    rig.setup()
    rig.raise_file_limit()
    forget(args.parts, facilitators + sellers)
    for round_no in range(args.rounds or (1 if args.quick else 3)):
        for part in args.parts:
            if part == "seller":
                steps.sellers(sellers, round_no, args.quick)
            elif part == "start":
                steps.starts(facilitators, round_no, args.quick)
            elif part == "limits":
                steps.limits(round_no)
            else:
                steps.facilitators(part, facilitators, round_no, args.quick)
    page.write()


def main():
    args = arguments()
    if args.command == "setup":
        rig.setup()
    elif args.command == "page":
        page.write()
    else:
        run(args)


if __name__ == "__main__":
    main()
