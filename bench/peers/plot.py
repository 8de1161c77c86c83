"""The plot: one small panel for each figure, the mark as a dashed line.

Bars begin at zero, except where the figures are too far apart to be seen together: those panels are logarithmic and say so.
"""

from __future__ import annotations

import math
from html import escape

# The figures worth a picture, by the start of their title.
PANELS = [
    "CPU for a verify", "Verifies a second, 64", "Verify, 64 callers, RPC", "Verifies a second, 512", "RPC requests for a verify",
    "Settle, one caller: answer after its block, p50", "Settled a second, 256", "Settled a second, 1,024",
    "Settled a second, 64 callers, a block", "CPU for a settled payment", "Gas for a payment", "Memory when idle",
    "CPU that an unpaid 402 adds", "CPU for a paid request, book on SQLite", "Paid requests a second",
]  # fmt: skip
COLUMNS, WIDTH, GAP, BAR, TOP = 3, 360, 24, 17, 40
NAMES, VALUES = 132, 58
# Figures further apart than this are drawn on a logarithmic scale.
APART = 25
OURS, PEER, MARK, INK, FAINT = "#0b7a5b", "#9aa5b1", "#c2410c", "#1f2933", "#616e7c"


def short(value):
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2g}"


def svg(lines):
    chosen = [line for start in PANELS for line in lines if line["title"].startswith(start) and line["figures"]]
    rows = [chosen[i : i + COLUMNS] for i in range(0, len(chosen), COLUMNS)]
    parts, y = [], GAP
    for row in rows:
        for column, line in enumerate(row):
            parts += panel(line, GAP + column * (WIDTH + GAP), y)
        y += TOP + BAR * max(len(line["figures"]) for line in row) + GAP
    width = GAP + COLUMNS * (WIDTH + GAP)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {y}" width="{width}" height="{y}" '
        'font-family="system-ui, sans-serif" font-size="11" role="img">'
        "<title>groat beside its peers; the dashed line is the mark</title>"
        f'<rect width="{width}" height="{y}" fill="#ffffff"/>'
    )
    return "\n".join([head, *parts, "</svg>"]) + "\n"


def scale(values):
    """How long a bar is, and whether the scale is logarithmic."""
    room, most = WIDTH - NAMES - VALUES, max(values) or 1
    least = min((value for value in values if value > 0), default=most)
    if most / least <= APART:
        return (lambda value: value * room / most), False
    floor = 10 ** math.floor(math.log10(least * 0.9))
    decades = math.log10(most / floor)
    return (lambda value: room * math.log10(max(value, floor) / floor) / decades), True


def panel(line, x, y):
    figures, mark = line["figures"], line["mark"]
    plain = {name: max(figure["value"], 0) for name, figure in figures.items()}
    length_of, log = scale([*plain.values(), mark or 0])
    wish = ("less is better" if line["lessIsBetter"] else "more is better") + (", log scale" if log else "")
    unit = f"{line['unit']}, " if line["unit"] else ""
    title = [text(x, y + 12, line["title"], INK, weight=600), text(x, y + 26, unit + wish, FAINT)]
    top, bars, labels, dashes = y + TOP - 6, [], [], []
    for place, (name, value) in enumerate(plain.items()):
        middle = top + place * BAR
        colour = OURS if name.startswith("groat") else PEER
        length = max(length_of(value), 1)
        label = short(figures[name]["value"]) + ("" if figures[name]["sound"] else "†")
        labels.append(text(x + NAMES - 6, middle + 11, name, INK, anchor="end"))
        bars.append(f'<rect x="{x + NAMES}" y="{middle + 2}" width="{length:.1f}" height="{BAR - 5}" fill="{colour}"/>')
        labels.append(text(x + NAMES + length + 4, middle + 11, label, INK))
    if mark is not None:
        at, bottom = x + NAMES + length_of(mark), top + BAR * len(plain)
        dashes.append(
            f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{top}" y2="{bottom}" stroke="{MARK}" stroke-width="1.5" stroke-dasharray="4 3"/>'
        )
    # The labels last, with a rim, so that the mark does not strike them out.
    return [*title, *bars, *dashes, *labels]


def text(x, y, words, colour, anchor="start", weight=400):
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" text-anchor="{anchor}" font-weight="{weight}" stroke="#ffffff" stroke-width="3" paint-order="stroke">{escape(words)}</text>'
