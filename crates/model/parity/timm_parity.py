#!/usr/bin/env python3
"""Compare `mixfold run` with timm on models of every family that timm has too, with random weights.

    cargo build --release -p mixfold
    python timm_parity.py --mixfold target/release/mixfold
    python timm_parity.py --all
    python timm_parity.py --models resmlp_12_224 gmlp_s16_224
    python timm_parity.py --check    # this script itself, without mixfold

For each model, the same weights and images give logits several times, and up to three comparisons:

* timm: timm, against mixfold on timm's state_dict (.safetensors);
* names: mixfold on the state_dict, against mixfold on the official names where these differ: Flax's for
  Mixer and ViT (.npz, with `--gelu erf`), Facebook's for ResMLP (.safetensors);
* tanh: timm with the tanh GELU, against mixfold on the .npz, whose GELU is the tanh one.

The error of a comparison is max |ours - theirs| / max |theirs|. The two GELUs themselves lie close
together, so the first and the last also demand an error of at most a quarter of that distance.
Exits with 1 if any comparison fails or the program does.

With `--check`, these are compared with their bounds for each model:

* visible, invisible, rounding: what the weights do (`random_weights.py`);
* loads: timm on the state_dict, against timm on the official names, by timm's own loader.

Needs torch (CPU), timm, numpy and safetensors.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import comparison
import numpy as np
import random_weights
import timm
from comparison import Comparison, exact_and_tanh, mixfold_logits, random_images, relative_error, torch_logits
from official_names import facebook_resmlp, flax_mixer, flax_vit
from safetensors.torch import load_file, save_file
from timm.models.mlp_mixer import checkpoint_filter_fn
from torch import nn

TIMM_TOLERANCE = 1e-4
NAMES_TOLERANCE = 1e-6
MODELS = [
    "mixer_s32_224",
    "mixer_s16_224",
    "mixer_b16_224",
    "gmixer_12_224",
    "gmixer_24_224",
    "resmlp_12_224",
    "resmlp_24_224",
    "gmlp_ti16_224",
    "gmlp_s16_224",
    "vit_base_patch16_224",
    "vit_base_patch32_224",
    "deit_tiny_patch16_224",
    "deit_small_patch16_224",
    "deit_tiny_distilled_patch16_224",
    "deit_small_distilled_patch16_224",
]
OTHERS = [
    "mixer_b32_224",
    "mixer_l32_224",
    "mixer_l16_224",
    "resmlp_36_224",
    "resmlp_big_24_224",
    "gmlp_b16_224",
    "vit_large_patch16_224",
    "vit_large_patch32_224",
    "deit_base_patch16_224",
    "deit_base_distilled_patch16_224",
]


def random_model(name: str, seed: int) -> nn.Module:
    """timm's model with random weights and 1000 classes, as not all of timm's configurations have."""
    model = timm.create_model(name, num_classes=1000)
    random_weights.randomise(model, seed)
    return model.eval()


def save_official(name: str, model: nn.Module, folder: Path) -> Path | None:
    """Writes the weights under the official names, where these are not timm's."""
    state = model.state_dict()
    if name.startswith("resmlp_"):
        save_file(facebook_resmlp(state), folder / "official.safetensors")
        return folder / "official.safetensors"
    if name.startswith("mixer_"):
        arrays = flax_mixer(state)
    elif name.startswith("vit_"):
        arrays = flax_vit(state, model.blocks[0].attn.num_heads)
    else:
        return None
    np.savez(folder / "official.npz", **arrays)
    return folder / "official.npz"


def compare(args: argparse.Namespace, name: str, folder: Path) -> Iterator[Comparison]:
    """The comparisons of one model, as they are made."""
    images = random_images(args.images, 224, args.seed)
    model = random_model(name, args.seed)
    timm_file, input_file = folder / "timm.safetensors", folder / "X.npy"
    save_file(model.state_dict(), timm_file)
    np.save(input_file, images.numpy())
    exact, tanh, tolerance = exact_and_tanh(name, model, images, TIMM_TOLERANCE)

    def run(weights: Path, *options: str) -> np.ndarray:
        return mixfold_logits(args.mixfold, name, weights, input_file, exact.shape, *options)

    ours = run(timm_file)
    yield "timm", relative_error(ours, exact), tolerance
    official_file = save_official(name, model, folder)
    if official_file is not None:
        # Of the official checkpoints, only Flax's are for the tanh GELU.
        flax = official_file.suffix == ".npz"
        same = run(official_file, "--gelu", "erf") if flax else run(official_file)
        yield "names", relative_error(same, ours), NAMES_TOLERANCE
        if flax:
            yield "tanh", relative_error(run(official_file), tanh), tolerance


def check(args: argparse.Namespace, name: str, folder: Path) -> Iterator[Comparison]:
    """The checks of one model's weights and files."""
    images = random_images(args.images, 224, args.seed)
    model = random_model(name, args.seed)
    yield from random_weights.check(name, model, images, args.seed, TIMM_TOLERANCE)
    official_file = save_official(name, model, folder)
    # timm has no loader of Flax's Mixers.
    if official_file is not None and not name.startswith("mixer_"):
        other = random_model(name, args.seed + 1)
        if official_file.suffix == ".npz":
            other.load_pretrained(str(official_file))
        else:
            other.load_state_dict(checkpoint_filter_fn(load_file(official_file), other), strict=True)
        yield "loads", relative_error(torch_logits(other, images), torch_logits(model, images)), 0.0


if __name__ == "__main__":
    sys.exit(comparison.main(__doc__.split("\n\n")[0], MODELS, compare, OTHERS, check))
