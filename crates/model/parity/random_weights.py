"""Random weights with which every tensor of a model shows in its logits, and a check that it does."""

import copy
import re
from collections.abc import Iterator

import numpy as np
import torch
from comparison import Comparison, relative_error, torch_logits
from torch import nn

INVISIBLE = {
    "blocks.*.mlp_tokens.fc2.bias": "adds the same to all channels, which every norm takes away",
    "blocks.*.attn.qkv.bias[k]": "adds the same to all scores of a query, which softmax takes away",
    "blocks.*.attn_features.qkv.bias[k]": "adds the same to all scores of a query, which softmax takes away",
}
"""The kinds of tensors (see `kind_of`) that cannot show in the logits, and why."""

FAINT = {
    "blocks.*.mlp2.fc2.bias",
    "blocks.*.attn_features.qkv.bias[v]",
    "blocks.*.attn_features.proj.bias",
}
"""Those that add the same to all channels and hence show only through the norms over tokens of later blocks."""


@torch.no_grad()
def randomise(model: nn.Module, seed: int) -> None:
    """Overwrites all parameters; nothing stays 0, or nearly so, as several are when a training begins.

    Matrices have unit gain, with these exceptions:

    * 4 in the heads;
    * √3 for queries and keys, so that scores have a standard deviation of about 3, and √5 over channels,
      where what is the same for all of them is lost;
    * 1/2 for the gates of a GLU, with biases of about 1: products of two equal factors would let single
      channels grow from block to block, and with them every rounding;
    * the matrices whose outputs are tokens have a part that is the same for all of these: it remains in
      the mean over the tokens.

    Scales are about 1, biases and shifts 0.4; a gMLP's gates are about 1, as in the beginning. Layer scales
    are about 1/4: in ResMLP nothing else keeps dozens of blocks from magnifying activations. Tokens and
    their positions have unit size.
    """
    generator = torch.Generator().manual_seed(seed)
    gated = {f"{name}.fc1" for name, module in model.named_modules() if type(module).__name__ == "GluMlp"}
    for name, value in model.named_parameters():
        noise = torch.randn(value.shape, generator=generator)
        module, _, parameter = name.rpartition(".")
        if parameter in ("ls1", "ls2"):
            noise = 0.25 + 0.05 * noise
        elif parameter == "alpha" or (parameter == "weight" and value.ndim == 1):
            noise = 1 + 0.2 * noise
        elif parameter == "weight":
            noise /= value[0].numel() ** 0.5
            if module.startswith("head"):
                noise *= 4
            elif module.endswith("qkv"):
                noise[: 2 * len(noise) // 3] *= (5 if module.endswith("attn_features.qkv") else 3) ** 0.5
            elif module in gated:
                noise[len(noise) // 2 :] /= 2
            elif module.endswith(("mlp_tokens.fc2", "linear_tokens")):
                noise = (noise + noise[:1]) / 2**0.5
        elif parameter in ("bias", "beta"):
            noise *= 0.4
            if module.endswith("gate.proj"):
                noise += 1
            elif module in gated:
                noise[len(noise) // 2 :] += 1
        value.copy_(noise)


def kind_of(name: str) -> str:
    """A tensor's name without the number of its block."""
    return re.sub(r"\.\d+\.", ".*.", name)


def parts(kind: str, value: torch.Tensor) -> Iterator[tuple[str, torch.Tensor]]:
    """A tensor as a whole, but those of queries, keys and values apart."""
    if ".qkv." in kind:
        yield from ((f"{kind}[{part}]", rows) for part, rows in zip("qkv", value.chunk(3)))
    else:
        yield kind, value


@torch.no_grad()
def visibility(model: nn.Module, images: torch.Tensor, seed: int) -> dict[str, float]:
    """By how much, relative to the largest logit, the logits change without a tensor of each kind.

    The tensor of a randomly chosen block is set to 0, or those of all blocks if each of them is faint, and
    then restored.
    """
    generator = np.random.default_rng(seed)
    kinds = {}
    for name, value in model.named_parameters():
        for kind, part in parts(kind_of(name), value):
            kinds.setdefault(kind, []).append(part)
    logits = torch_logits(model, images)
    changes = {}
    for kind, values in kinds.items():
        chosen = values if kind in FAINT else [values[generator.integers(len(values))]]
        kept = [value.clone() for value in chosen]
        for value in chosen:
            value.zero_()
        changes[kind] = relative_error(torch_logits(model, images), logits)
        for value, before in zip(chosen, kept):
            value.copy_(before)
    return changes


def check(
    name: str, model: nn.Module, images: torch.Tensor, seed: int, tolerance: float
) -> Iterator[Comparison]:
    """Whether an error of the tolerance is far below the part of any tensor, and far above roundings.

    * visible: 100 tolerances, of which the smallest change without a tensor must be more;
    * invisible: the largest change where there should be none;
    * rounding: the logits in binary32, from those in binary64.
    """
    changes = visibility(model, images, seed)
    visible = {kind: change for kind, change in changes.items() if kind not in INVISIBLE}
    least = min(visible, key=visible.get)
    print(f"{name}: of {len(visible)} kinds of tensors, {least} shows least: {visible[least]:.1e}")
    yield "visible", 100 * tolerance, visible[least]
    hidden = [change for kind, change in changes.items() if kind in INVISIBLE]
    yield "invisible", max(hidden, default=0.0), tolerance
    exact = torch_logits(copy.deepcopy(model).double(), images.double())
    yield "rounding", relative_error(torch_logits(model, images), exact), tolerance / 10
