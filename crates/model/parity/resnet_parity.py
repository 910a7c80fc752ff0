#!/usr/bin/env python3
"""Compare `mixfold run` and `mixfold fold` with PyTorch on ResNets with random weights.

    cargo build --release -p mixfold
    python resnet_parity.py --mixfold target/release/mixfold

A network in train form with random weights and BatchNorm statistics gives logits: for `resnet50`, it is
torchvision's, whose tensors get the official names here; for the ones with RepMLPs, that of `resnet.py`.
With them are compared:

* train: mixfold's in train form, with the convolutions beside the matrices of RepMLPs;
* load: mixfold's in deploy form, from the same file, folded while it is loaded;
* deploy: mixfold's, on the file that `mixfold fold` makes of it;
* fold: those of `resnet.py` in deploy form, on that folded file, which must have exactly its tensors;
* timm: of `resnet50`, those of timm's, which has the same tensors.

The error of a comparison is max |ours - theirs| / max |theirs|.
Exits with 1 if any comparison fails or the program does.

Needs torch (CPU), torchvision, timm, numpy and safetensors.
"""

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import comparison
import numpy as np
import timm
import torch
import torchvision
from comparison import Comparison, RunFailed, call, mixfold_logits, random_images, relative_error, torch_logits
from resnet import VARIANTS, ResNet
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

TOLERANCE = 2e-5
BRANCHES = re.compile(r"(layer\d\.\d+\.bn3|stage\d\.\d+\.(conv3|light_conv3|btnk_conv5)\.bn)\.")
"""The norms at the end of a residual branch."""
HEADS = ("fc.", "linear.")


@torch.no_grad()
def randomise(model: nn.Module, size: int, seed: int) -> nn.Module:
    """Gives a network in train form weights of which none is zero and every one shows in the logits.

    Weights have unit gain (the head's 4), scales are about 1, biases 0.2. What a residual branch adds has
    a scale of 0.25, as dozens of them in a row would otherwise magnify every rounding. The statistics are
    those of random images, displaced by 0.2, so that activations stay ordinary but are not normalised.
    """
    generator = torch.Generator().manual_seed(seed)

    def noise(like: torch.Tensor) -> torch.Tensor:
        return torch.randn(like.shape, generator=generator)

    for name, value in model.named_parameters():
        if value.ndim > 1:
            gain = 4 if name.startswith(HEADS) else 1
            value.copy_(noise(value) * gain / value[0].numel() ** 0.5)
        elif name.endswith("weight"):
            value.copy_((1 + 0.2 * noise(value)) * (0.25 if BRANCHES.match(name) else 1))
        else:
            value.copy_(0.2 * noise(value))

    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    for norm in norms:
        norm.momentum = 1.0
    model.train()(random_images(4, size, seed + 1))
    for norm in norms:
        norm.running_mean += 0.2 * noise(norm.running_mean) * norm.running_var.sqrt()
        norm.running_var *= torch.exp(0.2 * noise(norm.running_var))
    return model.eval()


def official_name(name: str) -> str:
    """`layer2.0.bn3.bias` of torchvision and timm is `stage2.0.conv3.bn.bias`."""
    for theirs, official in (
        (r"^conv1\.", "stage0.0.conv."),
        (r"^bn1\.", "stage0.0.bn."),
        (r"^fc\.", "linear."),
        (r"^layer", "stage"),
        (r"\.downsample\.0\.", ".shortcut.conv."),
        (r"\.downsample\.1\.", ".shortcut.bn."),
        (r"^(stage[1-4]\.\d+)\.conv(\d)\.", r"\1.conv\2.conv."),
        (r"^(stage[1-4]\.\d+)\.bn(\d)\.", r"\1.conv\2.bn."),
    ):
        name = re.sub(theirs, official, name)
    return name


def deploy_model(name: str, path: Path) -> ResNet:
    """The network in deploy form with the weights of a file."""
    model = ResNet(VARIANTS[name], deploy=True)
    try:
        model.load_state_dict(load_file(path), strict=True)
    except (RuntimeError, SafetensorError) as error:
        raise RunFailed(f"{path.name}: not a {name} in deploy form: {error}") from error
    return model


def compare(args: argparse.Namespace, name: str, folder: Path) -> Iterator[Comparison]:
    """The comparisons of one model, as they are made."""
    config = VARIANTS[name]
    images = random_images(args.images, config.image, args.seed)
    is_plain = name == "resnet50"
    model = torchvision.models.resnet50(weights=None) if is_plain else ResNet(config)
    model = randomise(model, config.image, args.seed)
    state = model.state_dict()
    if is_plain:
        state = {official_name(key): value for key, value in state.items()}
    train_file, deploy_file, input_file = (
        folder / file for file in ("train.safetensors", "deploy.safetensors", "X.npy")
    )
    save_file(state, train_file)
    deploy_file.unlink(missing_ok=True)
    np.save(input_file, images.numpy())

    exact = torch_logits(model, images)
    print(
        f"{name}: max |logit| {np.abs(exact).max():.2f}, standard deviation {exact.std():.2f} over all"
        f" and {exact.std(axis=0).mean():.2f} between images"
    )

    def run(weights: Path, form: str) -> np.ndarray:
        return mixfold_logits(args.mixfold, name, weights, input_file, exact.shape, "--form", form)

    yield "train", relative_error(run(train_file, "train"), exact), TOLERANCE
    yield "load", relative_error(run(train_file, "deploy"), exact), TOLERANCE
    call(args.mixfold, "fold", "--model", name, train_file, deploy_file)
    deploy = run(deploy_file, "deploy")
    yield "deploy", relative_error(deploy, exact), TOLERANCE
    folded = torch_logits(deploy_model(name, deploy_file), images)
    yield "fold", relative_error(folded, exact), TOLERANCE
    if is_plain:
        other = timm.create_model("resnet50", pretrained=False)
        other.load_state_dict(model.state_dict(), strict=True)
        yield "timm", relative_error(deploy, torch_logits(other, images)), TOLERANCE


if __name__ == "__main__":
    sys.exit(comparison.main(__doc__.split("\n\n")[0], list(VARIANTS), compare))
