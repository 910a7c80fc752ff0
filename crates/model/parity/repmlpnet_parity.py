#!/usr/bin/env python3
"""Compare `mixfold run` and `mixfold fold` with PyTorch on RepMLPNets with random weights.

    cargo build --release -p mixfold
    python repmlpnet_parity.py --mixfold target/release/mixfold

For each model, a network in train form (`repmlpnet.py`) with random weights and BatchNorm statistics
gives logits, with which four others are compared:

* train: mixfold's in train form, with the convolutions;
* load: mixfold's in deploy form, from the same file, folded while it is loaded;
* deploy: mixfold's, on the file that `mixfold fold` makes of it;
* fold: PyTorch's in deploy form, on that folded file, which must have exactly its tensors.

The error of a comparison is max |ours - theirs| / max |theirs|. The network has the exact GELU, so the
error may also be at most a quarter of the distance to the tanh one.
Exits with 1 if any comparison fails or the program does.

Needs torch (CPU), numpy and safetensors.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import comparison
import numpy as np
import torch
from comparison import (
    Comparison,
    RunFailed,
    call,
    exact_and_tanh,
    mixfold_logits,
    random_images,
    relative_error,
    torch_logits,
)
from repmlpnet import VARIANTS, Config, RepMlpNet
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

TOLERANCE = 2e-5
BRANCH_NORMS = (".fc3_bn.", ".repconv", ".ffn_fc2.bn.")


@torch.no_grad()
def random_model(config: Config, seed: int) -> RepMlpNet:
    """A network in train form in which nothing is zero and every part shows in the logits.

    Weights have unit gain (the gates and the head 4), scales are about 1, biases 0.2. What the residual
    branches add has a scale of 0.25, as in a trained network: otherwise dozens of units in a row magnify
    every rounding. The statistics are those of random images, displaced by 0.2, so that activations stay
    ordinary but are not normalised.
    """
    generator = torch.Generator().manual_seed(seed)

    def noise(like: torch.Tensor) -> torch.Tensor:
        return torch.randn(like.shape, generator=generator)

    model = RepMlpNet(config)
    for name, value in model.named_parameters():
        if value.ndim > 1:
            gain = 4 if ".gp." in name or name.startswith("head.") else 1
            value.copy_(noise(value) * gain / value[0].numel() ** 0.5)
        elif name.endswith("weight"):
            branch = any(part in name for part in BRANCH_NORMS)
            value.copy_((1 + 0.2 * noise(value)) * (0.25 if branch else 1))
        else:
            value.copy_(0.2 * noise(value))

    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    model.train()(random_images(2, config.image, seed + 1))
    for norm in norms:
        norm.running_mean += 0.2 * noise(norm.running_mean) * norm.running_var.sqrt()
        norm.running_var *= torch.exp(0.2 * noise(norm.running_var))
    return model.eval()


def deploy_model(config: Config, path: Path) -> RepMlpNet:
    """The network in deploy form with the weights of a file."""
    model = RepMlpNet(config, deploy=True)
    try:
        model.load_state_dict(load_file(path), strict=True)
    except (RuntimeError, SafetensorError) as error:
        raise RunFailed(f"{path.name}: not a RepMLPNet in deploy form: {error}") from error
    return model


def compare(args: argparse.Namespace, name: str, folder: Path) -> Iterator[Comparison]:
    """The comparisons of one model, as they are made."""
    config = VARIANTS[name]
    images = random_images(args.images, config.image, args.seed)
    model = random_model(config, args.seed)
    train_file, deploy_file, input_file = (
        folder / file for file in ("train.safetensors", "deploy.safetensors", "X.npy")
    )
    save_file(model.state_dict(), train_file)
    deploy_file.unlink(missing_ok=True)
    np.save(input_file, images.numpy())

    exact, _, tolerance = exact_and_tanh(name, model, images, TOLERANCE)

    def run(weights: Path, form: str) -> np.ndarray:
        return mixfold_logits(args.mixfold, name, weights, input_file, exact.shape, "--form", form)

    yield "train", relative_error(run(train_file, "train"), exact), tolerance
    yield "load", relative_error(run(train_file, "deploy"), exact), tolerance
    call(args.mixfold, "fold", "--model", name, train_file, deploy_file)
    yield "deploy", relative_error(run(deploy_file, "deploy"), exact), tolerance
    folded = torch_logits(deploy_model(config, deploy_file), images)
    yield "fold", relative_error(folded, exact), tolerance


if __name__ == "__main__":
    sys.exit(comparison.main(__doc__.split("\n\n")[0], list(VARIANTS), compare))
