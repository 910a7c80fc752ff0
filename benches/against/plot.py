#!/usr/bin/env python3
"""Draw what `models.py --json` has written.

    python plot.py RESULTS.json OUT.svg

A panel for each number of threads and batch size, with a group of bars for each model. A bar is as long as
the engine is fast, relative to the fastest one in its group; beside it stand its images per second (median).

Needs matplotlib.
"""

import json
import sys

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "mixfold"}
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from report import OURS, TITLES, count, speed

COLORS = {
    "pytorch": "#56b4e9",
    "compiled": "#0072b2",
    "onnxruntime": "#e69f00",
    "openvino": "#cc79a7",
    "mixfold": "#009e73",
}
"""Told apart by people of any colour vision (Okabe and Ito, 2008)."""

BAR = 0.17
"""Inches."""


def draw_panel(axes: Axes, cells: list[dict], engines: list[str]) -> None:
    """The cells of one number of threads and batch size."""
    step = 1 / (len(engines) + 1)
    for place, cell in enumerate(cells):
        speeds = {engine: cell["engines"][engine]["images_per_s_median"] for engine in engines}
        fastest = max(speeds.values())
        for bar, engine in enumerate(engines):
            y = place + (bar - (len(engines) - 1) / 2) * step
            label = TITLES[engine] if place == 0 else None
            axes.barh(y, speeds[engine] / fastest, 0.9 * step, color=COLORS[engine], label=label)
            weight = "bold" if engine == OURS else "normal"
            text = speed(speeds[engine])
            axes.text(speeds[engine] / fastest + 0.01, y, text, va="center", size=7, weight=weight)
    axes.set_title(f"{count(cells[0]['threads'], 'thread')}, batch {cells[0]['batch']}", size=10)
    axes.set_yticks(range(len(cells)), [cell["model"] for cell in cells], size=8)
    axes.set_ylim(len(cells) - 0.5, -0.5)
    axes.set_xlim(0, 1.12)
    axes.set_xticks([])
    axes.spines[["top", "right", "bottom"]].set_visible(False)


def draw(results: dict, path: str) -> None:
    """All panels, two in a row."""
    panels: dict[tuple[int, int], list[dict]] = {}
    for cell in results["cells"]:
        panels.setdefault((cell["threads"], cell["batch"]), []).append(cell)
    engines = [engine for engine in TITLES if engine in results["cells"][0]["engines"]]
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    height = rows * (max(map(len, panels.values())) * (len(engines) + 1) * BAR + 0.4) + 0.8
    figure, axes = plt.subplots(rows, columns, figsize=(5 * columns, height), squeeze=False, layout="constrained")
    for place, cells in zip(axes.flat, panels.values()):
        draw_panel(place, cells, engines)
    for place in axes.flat[len(panels) :]:
        place.remove()
    handles, labels = axes.flat[0].get_legend_handles_labels()
    across = 5 if columns > 1 else 3
    figure.legend(handles, labels, loc="outside lower center", ncols=across, fontsize=8, frameon=False)
    figure.suptitle("Images per second", size=12)
    figure.savefig(path, metadata={"Date": None})


def main() -> int:
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    with open(sys.argv[1]) as file:
        draw(json.load(file), sys.argv[2])
    return 0


if __name__ == "__main__":
    sys.exit(main())
