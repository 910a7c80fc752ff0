#!/usr/bin/env python3
"""Compare `mixfold run` with timm on MLP-Mixers with random weights.

    cargo build --release -p mixfold
    python timm_parity.py --mixfold target/release/mixfold

For each model, the same weights and images give logits four times, and three comparisons:

* erf: timm, against mixfold on timm's state_dict (.safetensors), whose GELU is the exact one;
* names: mixfold on the state_dict, against mixfold with `--gelu erf` on the official Flax names (.npz);
* tanh: timm with the tanh GELU, against mixfold on the .npz, whose GELU is the tanh one.

The error of a comparison is max |ours - theirs| / max |theirs|. The two GELUs themselves lie close
together, so the erf and tanh comparisons also demand an error of at most a quarter of that distance.
Exits with 1 if any comparison fails or the program does.

Needs torch (CPU), timm, numpy and safetensors.
"""

import argparse
import re
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import comparison
import numpy as np
import timm
import torch
from comparison import Comparison, mixfold_logits, random_images, relative_error
from safetensors.torch import save_file
from torch import nn

MODELS = ["mixer_s32_224", "mixer_s16_224", "mixer_b16_224"]
TIMM_TOLERANCE = 1e-4
NAMES_TOLERANCE = 1e-6

FLAX_LAYERS = {
    "norm1": "LayerNorm_0",
    "mlp_tokens.fc1": "token_mixing/Dense_0",
    "mlp_tokens.fc2": "token_mixing/Dense_1",
    "norm2": "LayerNorm_1",
    "mlp_channels.fc1": "channel_mixing/Dense_0",
    "mlp_channels.fc2": "channel_mixing/Dense_1",
    "stem.proj": "stem",
    "norm": "pre_head_layer_norm",
    "head": "head",
}


def random_state(model: nn.Module, seed: int) -> dict[str, torch.Tensor]:
    """Weights of unit gain, norm scales about 1, biases of 0.2: nothing is zero, as timm's head starts."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, value in model.state_dict().items():
        noise = torch.randn(value.shape, generator=generator)
        if value.ndim > 1:
            state[name] = noise / value[0].numel() ** 0.5
        elif name.endswith("weight"):
            state[name] = 1 + 0.2 * noise
        else:
            state[name] = 0.2 * noise
    state["head.weight"] *= 4
    return state


def flax_name(name: str) -> str:
    """The official name of a timm tensor: `blocks.3.norm1.weight` is `MixerBlock_3/LayerNorm_0/scale`."""
    block, layer, kind = re.fullmatch(r"(?:blocks\.(\d+)\.)?(.+)\.(weight|bias)", name).groups()
    prefix = f"MixerBlock_{block}/" if block else ""
    if kind == "weight":
        kind = "scale" if "norm" in layer else "kernel"
    return f"{prefix}{FLAX_LAYERS[layer]}/{kind}"


def flax_state(state: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    """The same weights under the official names: dense kernels [in, out], the stem's [h, w, in, out]."""
    axes = {1: (0,), 2: (1, 0), 4: (2, 3, 1, 0)}
    return {
        flax_name(name): np.ascontiguousarray(value.numpy().transpose(axes[value.ndim]))
        for name, value in state.items()
    }


def timm_logits(name: str, state: dict[str, torch.Tensor], images: torch.Tensor, gelu: str) -> np.ndarray:
    """timm's logits with the GELU `none` (exact) or `tanh`."""
    model = timm.create_model(name, act_layer=partial(nn.GELU, approximate=gelu)).eval()
    model.load_state_dict(state, strict=True)
    with torch.inference_mode():
        return model(images).numpy()


def compare(args: argparse.Namespace, name: str, folder: Path) -> Iterator[Comparison]:
    """The comparisons of one model, as they are made."""
    images = random_images(args.images, 224, args.seed)
    state = random_state(timm.create_model(name), args.seed)
    timm_file, flax_file, input_file = (folder / file for file in ("timm.safetensors", "flax.npz", "X.npy"))
    save_file(state, timm_file)
    np.savez(flax_file, **flax_state(state))
    np.save(input_file, images.numpy())

    exact = timm_logits(name, state, images, "none")
    tanh = timm_logits(name, state, images, "tanh")
    distance = relative_error(tanh, exact)
    print(
        f"{name}: max |logit| {np.abs(exact).max():.2f}, standard deviation {exact.std():.2f} over all"
        f" and {exact.std(axis=0).mean():.2f} between images, tanh from erf {distance:.1e}"
    )
    tolerance = min(TIMM_TOLERANCE, distance / 4)

    def run(weights: Path, *options: str) -> np.ndarray:
        return mixfold_logits(args.mixfold, name, weights, input_file, exact.shape, *options)

    ours = run(timm_file)
    yield "erf", relative_error(ours, exact), tolerance
    yield "names", relative_error(run(flax_file, "--gelu", "erf"), ours), NAMES_TOLERANCE
    yield "tanh", relative_error(run(flax_file), tanh), tolerance


if __name__ == "__main__":
    sys.exit(comparison.main(__doc__.split("\n\n")[0], MODELS, compare))
