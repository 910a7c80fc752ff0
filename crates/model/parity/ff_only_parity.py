#!/usr/bin/env python3
"""Compare `mixfold run` with PyTorch on FF-only and attention-only models with random weights.

    cargo build --release -p mixfold
    python ff_only_parity.py --mixfold target/release/mixfold
    python ff_only_parity.py --check    # the models of this script, without mixfold

For each model (`ff_only.py`), the same weights and images give logits in PyTorch and in mixfold. The error
is max |ours - theirs| / max |theirs|; it may also be at most a quarter of the distance between the logits
with the exact and the tanh GELU, where there is one. Exits with 1 if any comparison fails or the program
does.

With `--check`, these are compared with their bounds for each model:

* visible, invisible, rounding: what the weights do (`random_weights.py`);
* parameters: their number, against that of the official code, or of the reconstruction;
* positions: if their map is stored at twice the size, the interpolated one against means of 2x2;
* golden: a small FF-only block, against outputs of the official code in binary64.

Needs torch (CPU), numpy and safetensors.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import comparison
import ff_only
import numpy as np
import random_weights
import torch
import torch.nn.functional as F
from comparison import Comparison, exact_and_tanh, mixfold_logits, random_images, relative_error, torch_logits
from safetensors.torch import save_file
from torch import nn

TOLERANCE = 1e-4
PARAMETERS = {
    "linear_tiny": 7_676_332,
    "linear_base": 61_943_020,
    "linear_large": 206_363_576,
    "attention_only_tiny": 4_039_360,
}
GOLDEN_FIRST = (0.830236595, 0.782116097, 0.449130410, 1.694141585, 1.353303668, 0.506548494)
GOLDEN_LAST, GOLDEN_SUM, GOLDEN_SQUARES = -0.086264242, 16.624130765, 41.642723654


def random_model(name: str, seed: int) -> nn.Module:
    """A model in which nothing is 0."""
    model = ff_only.Classifier(ff_only.VARIANTS[name])
    random_weights.randomise(model, seed)
    return model.eval()


def compare(args: argparse.Namespace, name: str, folder: Path) -> Iterator[Comparison]:
    """The comparison of one model."""
    images = random_images(args.images, 224, args.seed)
    model = random_model(name, args.seed)
    weights, input_file = folder / "weights.safetensors", folder / "X.npy"
    save_file(model.state_dict(), weights)
    np.save(input_file, images.numpy())
    exact, _, tolerance = exact_and_tanh(name, model, images, TOLERANCE)
    ours = mixfold_logits(args.mixfold, name, weights, input_file, exact.shape)
    yield "torch", relative_error(ours, exact), tolerance


@torch.no_grad()
def golden_error() -> float:
    """The largest error of a block (6 channels, 5 tokens) whose weights and inputs are sines."""

    def sines(shape: torch.Size, step: float, phase: float = 0.0) -> torch.Tensor:
        steps = torch.arange(1, shape.numel() + 1, dtype=torch.float64)
        return torch.sin(step * steps + phase).view(shape)

    block = ff_only.FeedForwardBlock(ff_only.Config(6, 1, patch=8, image=16)).double()
    for number, (name, value) in enumerate(block.named_parameters(), 1):
        value.copy_(0.3 * sines(value.shape, 0.7, 1.3 * number))
        if name in ("norm1.weight", "norm2.weight"):
            value += 1
    y = block(sines(torch.Size((2, 5, 6)), 0.11)).flatten()
    found = [*y[:6].tolist(), y[-1].item(), y.sum().item(), y.square().sum().item()]
    expected = [*GOLDEN_FIRST, GOLDEN_LAST, GOLDEN_SUM, GOLDEN_SQUARES]
    return max(abs(f - e) for f, e in zip(found, expected))


@torch.no_grad()
def check(args: argparse.Namespace, name: str, folder: Path) -> Iterator[Comparison]:
    """The checks of one model and its weights."""
    images = random_images(args.images, 224, args.seed)
    model = random_model(name, args.seed)
    yield from random_weights.check(name, model, images, args.seed, TOLERANCE)
    count = sum(value.numel() for value in model.parameters())
    yield "parameters", abs(count - PARAMETERS[name]), 0.0
    config = ff_only.VARIANTS[name]
    if not config.heads:
        yield "golden", golden_error(), 1e-9
    if config.stored_side == 2 * config.side:
        logits, grid = torch_logits(model, images), model.pos_encoding.pos_embed
        model.pos_encoding.pos_embed = nn.Parameter(F.avg_pool2d(grid, 2))
        yield "positions", relative_error(torch_logits(model, images), logits), TOLERANCE / 10


if __name__ == "__main__":
    sys.exit(comparison.main(__doc__.split("\n\n")[0], list(ff_only.VARIANTS), compare, check=check))
