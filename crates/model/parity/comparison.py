"""What the parity scripts share: images, calls of the program, comparisons and their table."""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn

Comparison = tuple[str, float, float]
"""A name, the error and the error allowed."""


class RunFailed(Exception):
    """`mixfold` ended with an error or wrote something that is not as it must be."""


def random_images(count: int, size: int, seed: int) -> torch.Tensor:
    """Images in [-1, 1] (N, 3, size, size): fine noise over a coarse pattern, so that images differ."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(count, 3, 5, 5, generator=generator)
    fine = torch.randn(count, 3, size, size, generator=generator)
    smooth = nn.functional.interpolate(coarse, size=(size, size), mode="bilinear")
    return torch.tanh(smooth + 0.5 * fine)


def call(program: Path, *arguments: str | Path) -> str:
    """Runs the program; its command line."""
    done = subprocess.run([str(program), *map(str, arguments)], capture_output=True, text=True)
    line = " ".join(done.args)
    if done.returncode != 0:
        raise RunFailed(f"{line}: exit code {done.returncode}\n{done.stderr}")
    return line


def mixfold_logits(
    program: Path, name: str, weights: Path, images: Path, shape: tuple[int, int], *options: str
) -> np.ndarray:
    """Logits of `mixfold run`, of the shape and type they must have."""
    output = weights.with_name("Y.npy")
    output.unlink(missing_ok=True)
    files = ["--weights", weights, "--input", images, "--output", output]
    line = call(program, "run", "--model", name, *files, *options)
    try:
        logits = np.load(output)
    except (OSError, ValueError) as error:
        raise RunFailed(f"{line}: no readable output: {error}") from error
    if logits.shape != shape or logits.dtype != np.float32 or not np.isfinite(logits).all():
        raise RunFailed(f"expected finite float32 {shape}, got {logits.dtype} {logits.shape}")
    return logits


def relative_error(ours: np.ndarray, theirs: np.ndarray) -> float:
    """max |ours - theirs| / max |theirs|, in binary64."""
    ours, theirs = ours.astype(np.float64), theirs.astype(np.float64)
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def main(
    description: str,
    models: list[str],
    compare: Callable[[argparse.Namespace, str, Path], Iterator[Comparison]],
) -> int:
    """Compares each model named on the command line, prints the table; 1 if anything failed.

    `compare` gets the options, a model's name and a folder for files, and yields its comparisons as
    they are made.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--mixfold", type=Path, default=Path("target/release/mixfold"), help="the program")
    parser.add_argument("--models", nargs="+", default=models, metavar="NAME")
    parser.add_argument("--images", type=int, default=3, metavar="N", help="batch size")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    rows, failed = [], False
    with tempfile.TemporaryDirectory() as folder:
        for name in args.models:
            try:
                for check, error, allowed in compare(args, name, Path(folder)):
                    passed = error <= allowed
                    failed |= not passed
                    rows.append((name, check, f"{error:.2e}", f"{allowed:.2e}", "ok" if passed else "FAILED"))
            except (RunFailed, OSError) as error:
                failed = True
                rows.append((name, "run", "-", "-", "FAILED"))
                print(error, file=sys.stderr)

    print()
    for row in [("model", "comparison", "error", "allowed", ""), *rows]:
        print("{:<16}{:<12}{:>10}{:>10}  {}".format(*row))
    return int(failed)
