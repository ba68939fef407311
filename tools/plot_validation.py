"""Draw measured against predicted for the tables of `chipmeter validate --rows`: docs/validation.svg.

    chipmeter validate FOLDER --rows rows.csv && python tools/plot_validation.py rows.csv docs/validation.svg

Points are thinned out evenly to 250 a table; the grey band is a factor of 1.25 either way.
"""

from __future__ import annotations

import csv
import math
import sys
from pathlib import Path

PANELS = {
    "op_gemm": "matrix products, s",
    "op_attention": "attention, s",
    "op_collectives": "collectives, s",
    "energy_op_power": "board power, W",
    "training_nvidia_bridge_dgxc": "training step, s",
    "training_fsdp_llmfoundry": "FSDP training step, s",
    "inference_inferencex_silicon": "time per token, s",
    "inference_inferencex_silicon:ttft": "time to first token, s",
    "inference_trtllm": "throughput, tokens/s",
}
SIZE, GAP, MOST = 220, 46, 250


def panel(title: str, points: list[tuple[float, float]], left: float, top: float) -> list[str]:
    """Draw one table: a square with both axes logarithmic and alike."""
    low = math.floor(min(math.log10(min(pair)) for pair in points))
    high = math.ceil(max(math.log10(max(pair)) for pair in points))

    def at(value: float) -> float:
        return (math.log10(value) - low) / (high - low) * SIZE

    band = math.log10(1.25) / (high - low) * SIZE
    parts = [
        f'<g transform="translate({left},{top})"><text x="0" y="-8">{title}</text>',
        f'<clipPath id="c{left}-{top}"><rect width="{SIZE}" height="{SIZE}"/></clipPath>',
        (
            f'<g clip-path="url(#c{left}-{top})"><path class="band" d="M{-band:.1f} {SIZE}L{SIZE - band:.1f} 0'
            f'L{SIZE + band:.1f} 0L{band:.1f} {SIZE}Z"/>'
        ),
    ]
    parts += [f'<circle cx="{at(x):.1f}" cy="{SIZE - at(y):.1f}" r="1.6"/>' for x, y in points]
    parts.append(f'</g><rect class="frame" width="{SIZE}" height="{SIZE}"/>')
    for power in range(low, high + 1):
        place = (power - low) / (high - low) * SIZE
        parts.append(f'<text class="tick" x="{place:.0f}" y="{SIZE + 13}">1e{power}</text>')
    return [*parts, "</g>"]


def main(rows: Path, out: Path) -> None:
    """Read the rows and write the picture."""
    points: dict[str, list[tuple[float, float]]] = {name: [] for name in PANELS}
    with rows.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["table"] in points:
                points[row["table"]].append((float(row["measured"]), float(row["predicted"])))
    shown = [name for name in PANELS if points[name]]
    parts = []
    for number, name in enumerate(shown):
        step = max(1, len(points[name]) // MOST)
        left, top = 20 + number % 3 * (SIZE + GAP), 34 + number // 3 * (SIZE + GAP + 6)
        parts += panel(PANELS[name], points[name][::step], left, top)
    wide, tall = 3 * (SIZE + GAP) + 10, math.ceil(len(shown) / 3) * (SIZE + GAP + 6) + 44
    style = (
        "text{font:12px sans-serif;fill:#333}.tick{font-size:9px;text-anchor:middle;fill:#777}"
        "circle{fill:#0b62a4;fill-opacity:.45}.band{fill:#e6e6e6}.frame{fill:none;stroke:#999}"
    )
    note = f'<text x="20" y="{tall - 12}">across: measured; up: predicted; grey: within a factor of 1.25</text>'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {tall}" width="{wide}" height="{tall}">'
    ground = f'<rect width="{wide}" height="{tall}" fill="#fff"/>'
    out.write_text("\n".join([head, f"<style>{style}</style>", ground, *parts, note, "</svg>", ""]), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
