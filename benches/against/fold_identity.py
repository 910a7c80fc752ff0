#!/usr/bin/env python3
"""Fold RepMLPNet's convolutions into its fully connected layers, by the identity in PyTorch and by mixfold.

    python benches/against/fold_identity.py

For each layer of the benchmark `fold` (RepMLPNet T224 and B256), on one thread, in `f32`:

* conv-to-fc: the merged 3x3 kernel as a matrix. PyTorch convolves the identity, as the official conversion
  does, and leaves the result as a transposed view; mixfold fills the matrix by index.
* in-place: that, and the layer's own weight scaled by its batch norm and added. PyTorch makes new tensors;
  mixfold overwrites the weight.

PyTorch runs with the instructions that it finds, mixfold with those of every x86-64 processor. Shows
medians; `GB/s` counts the bytes of the folded weight once. The times of mixfold are those of
`cargo bench --bench fold`, which this script runs first.

Needs cargo, and Python with torch (CPU).
"""

import argparse
import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F

ROOT = Path(__file__).resolve().parents[2]
GROUPS = ["conv-to-fc", "in-place"]
KERNEL = 3


def bench_mixfold(arguments: list[str]) -> dict[tuple[str, str], float]:
    """Seconds by group and layer, which is called `{rows}x{cols}`."""
    bench = ["cargo", "bench", "-p", "mixfold-benches", "--bench", "fold", "--", "--quiet", *arguments]
    subprocess.run(bench, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    metadata = ["cargo", "metadata", "--format-version", "1", "--no-deps"]
    metadata = subprocess.run(metadata, cwd=ROOT, check=True, capture_output=True)
    criterion = Path(json.loads(metadata.stdout)["target_directory"]) / "criterion"
    seconds = {}
    for group in GROUPS:
        for layer in (criterion / f"fold_{group}" / "f32").glob("*x*"):
            estimates = json.loads((layer / "new" / "estimates.json").read_text())
            seconds[group, layer.name] = estimates["median"]["point_estimate"] * 1e-9
    return seconds


def identity_matrix(kernel: torch.Tensor, sets: int, side: int) -> torch.Tensor:
    """The matrix of a depthwise convolution of `sets` maps, from its responses to impulses."""
    pixels = side * side
    impulses = torch.eye(pixels).repeat(1, sets).reshape(pixels, sets, side, side)
    responses = F.conv2d(impulses, kernel, padding=KERNEL // 2, groups=sets)
    return responses.reshape(pixels, sets * pixels).t()


class Layer:
    """A fully connected layer of `sets` groups on maps of `side x side`, its batch norm and its kernel."""

    def __init__(self, rows: int, cols: int) -> None:
        self.sets, self.side = rows // cols, math.isqrt(cols)
        self.kernel = torch.randn(self.sets, 1, KERNEL, KERNEL)
        self.kernel_bias = torch.randn(self.sets)
        self.weight = torch.randn(rows, cols)
        self.gamma, self.beta, self.mean = torch.randn(3, self.sets)
        self.var = torch.rand(self.sets) + 0.5

    def conv_to_fc(self) -> object:
        return identity_matrix(self.kernel, self.sets, self.side)

    def in_place(self) -> object:
        scale = self.gamma / (self.var + 1e-5).sqrt()
        shift = self.beta - self.mean * scale + self.kernel_bias
        pixels = self.side * self.side
        weight = self.weight * scale.repeat_interleave(pixels)[:, None]
        return weight + self.conv_to_fc(), shift.repeat_interleave(pixels)


def median_seconds(work: Callable[[], object], runs: int) -> float:
    work()
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def shape(name: str) -> tuple[int, int]:
    """Rows and columns of a layer."""
    rows, cols = name.split("x")
    return int(rows), int(cols)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=10, help="runs of each layer in PyTorch")
    parser.add_argument("options", nargs="*", help="options of criterion, after `--`")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)

    mixfold = bench_mixfold(args.options)
    if not mixfold:
        print("the benchmark has left no results", file=sys.stderr)
        return 1
    print(f"PyTorch {torch.__version__}, one thread, f32; medians")
    pair = f"{'ms':>10}{'GB/s':>8}"
    print(f"{'':32}{'PyTorch':>18}{'mixfold':>18}")
    print(f"{'':12}{'layer':>12}{'MB':>8}{pair}{pair}{'ratio':>8}")
    for (group, name), ours in sorted(mixfold.items(), key=lambda item: (item[0][0], shape(item[0][1])[1])):
        rows, cols = shape(name)
        layer = Layer(rows, cols)
        work = layer.conv_to_fc if group == "conv-to-fc" else layer.in_place
        with torch.inference_mode():
            theirs = median_seconds(work, args.runs)
        gigabytes = 4e-9 * rows * cols
        print(
            f"{group:12}{name:>12}{gigabytes * 1e3:8.1f}"
            f"{theirs * 1e3:10.2f}{gigabytes / theirs:8.2f}"
            f"{ours * 1e3:10.2f}{gigabytes / ours:8.2f}{theirs / ours:8.1f}",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
