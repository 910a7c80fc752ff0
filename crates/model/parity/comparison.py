"""What the parity scripts share: images, PyTorch's logits, calls of the program, comparisons and their table."""

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

Compare = Callable[[argparse.Namespace, str, Path], Iterator[Comparison]]
"""Gets the options, a model's name and a folder for files; yields comparisons as they are made."""


class RunFailed(Exception):
    """`mixfold` ended with an error or wrote something that is not as it must be."""


def random_images(count: int, size: int, seed: int) -> torch.Tensor:
    """Images in [-1, 1] (N, 3, size, size): fine noise over a coarse pattern, so that images differ."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(count, 3, 5, 5, generator=generator)
    fine = torch.randn(count, 3, size, size, generator=generator)
    smooth = nn.functional.interpolate(coarse, size=(size, size), mode="bilinear")
    return torch.tanh(smooth + 0.5 * fine)


def torch_logits(model: nn.Module, images: torch.Tensor, gelu: str = "none") -> np.ndarray:
    """PyTorch's logits in evaluation mode, with the GELU `none` (exact) or `tanh`."""
    for module in model.modules():
        if isinstance(module, nn.GELU):
            module.approximate = gelu
    with torch.inference_mode():
        return model.eval()(images).numpy()


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


def exact_and_tanh(
    name: str, model: nn.Module, images: torch.Tensor, tolerance: float
) -> tuple[np.ndarray, np.ndarray, float]:
    """PyTorch's logits with either GELU, and the error to allow; prints how the logits scatter.

    An error of more than a quarter of the distance between the two could be the wrong GELU.
    """
    tanh, exact = torch_logits(model, images, "tanh"), torch_logits(model, images)
    distance = relative_error(tanh, exact)
    print(
        f"{name}: max |logit| {np.abs(exact).max():.2f}, standard deviation {exact.std():.2f} over all"
        f" and {exact.std(axis=0).mean():.2f} between images, tanh from exact {distance:.1e}"
    )
    return exact, tanh, min(tolerance, distance / 4) if distance > 0 else tolerance


def main(
    description: str, models: list[str], compare: Compare, others: list[str] = [], check: Compare | None = None
) -> int:
    """Compares each model named on the command line, prints the table; 1 if anything failed.

    Without names, these are `models`; with `--all`, `others` too. With `--check`, `check` is run, which
    needs no program.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--mixfold", type=Path, default=Path("target/release/mixfold"), help="the program")
    known = [*models, *others]
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--models", nargs="+", default=models, choices=known, metavar="NAME", help=", ".join(known))
    if others:
        choice.add_argument("--all", action="store_const", const=known, dest="models", help="all models")
    parser.add_argument("--images", type=int, default=3, metavar="N", help="batch size")
    parser.add_argument("--seed", type=int, default=0)
    if check:
        parser.add_argument("--check", action="store_true", help="check this script itself, without the program")
    args = parser.parse_args()
    if check and args.check:
        compare = check

    rows, failed = [("model", "comparison", "error", "allowed", "")], False
    with tempfile.TemporaryDirectory() as folder:
        for name in args.models:
            try:
                for comparison, error, allowed in compare(args, name, Path(folder)):
                    passed = error <= allowed
                    failed |= not passed
                    rows.append((name, comparison, f"{error:.2e}", f"{allowed:.2e}", "ok" if passed else "FAILED"))
            except (RunFailed, OSError) as error:
                failed = True
                rows.append((name, "run", "-", "-", "FAILED"))
                print(error, file=sys.stderr)

    print()
    width = 2 + max(len(row[0]) for row in rows)
    for name, *rest in rows:
        print(name.ljust(width) + "{:<12}{:>10}{:>10}  {}".format(*rest))
    return int(failed)
