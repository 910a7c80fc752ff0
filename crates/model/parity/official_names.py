"""The weights of timm's models under the names of the official checkpoints."""

import re

import numpy as np
import torch

FLAX_MIXER = {
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
FLAX_VIT = {
    "norm1": "LayerNorm_0",
    "attn.proj": "MultiHeadDotProductAttention_1/out",
    "norm2": "LayerNorm_2",
    "mlp.fc1": "MlpBlock_3/Dense_0",
    "mlp.fc2": "MlpBlock_3/Dense_1",
    "patch_embed.proj": "embedding",
    "norm": "Transformer/encoder_norm",
    "head": "head",
}
FLAX_VIT_TOKENS = {
    "cls_token": "cls",
    "pos_embed": "Transformer/posembed_input/pos_embedding",
}
FACEBOOK_RESMLP = {
    "stem.": "patch_embed.",
    "linear_tokens.": "attn.",
    "mlp_channels.": "mlp.",
    "ls1": "gamma_1",
    "ls2": "gamma_2",
}


def split(name: str) -> tuple[str | None, str, str]:
    """The block's number, the module and the parameter of `blocks.3.norm1.weight`."""
    return re.fullmatch(r"(?:blocks\.(\d+)\.)?(.+)\.(weight|bias)", name).groups()


def flax_parameter(module: str, parameter: str) -> str:
    """`scale` or `kernel` for `weight`."""
    if parameter == "bias":
        return parameter
    return "scale" if "norm" in module else "kernel"


def flax_layout(value: torch.Tensor) -> np.ndarray:
    """Dense kernels as [in, out], those of convolutions as [h, w, in, out]."""
    axes = {1: (0,), 2: (1, 0), 4: (2, 3, 1, 0)}
    return value.numpy().transpose(axes[value.ndim])


def flax_mixer(state: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    """A Mixer's: `blocks.3.norm1.weight` is `MixerBlock_3/LayerNorm_0/scale`."""
    arrays = {}
    for name, value in state.items():
        block, module, parameter = split(name)
        prefix = f"MixerBlock_{block}/" if block else ""
        path = f"{prefix}{FLAX_MIXER[module]}/{flax_parameter(module, parameter)}"
        arrays[path] = np.ascontiguousarray(flax_layout(value))
    return arrays


def flax_vit(state: dict[str, torch.Tensor], heads: int) -> dict[str, np.ndarray]:
    """A ViT's: `blocks.3.norm1.weight` is `Transformer/encoderblock_3/LayerNorm_0/scale`.

    Queries, keys and values have kernels [in, heads, width] and biases [heads, width] of their own; the
    projection behind them has a kernel [heads, width, out].
    """
    arrays = {}
    for name, value in state.items():
        if name in FLAX_VIT_TOKENS:
            arrays[FLAX_VIT_TOKENS[name]] = value.numpy()
            continue
        block, module, parameter = split(name)
        prefix = f"Transformer/encoderblock_{block}/" if block else ""
        kind = flax_parameter(module, parameter)
        if module == "attn.qkv":
            for part, rows in zip(("query", "key", "value"), value.chunk(3)):
                array = flax_layout(rows)
                array = array.reshape(*array.shape[:-1], heads, -1)
                arrays[f"{prefix}MultiHeadDotProductAttention_1/{part}/{kind}"] = array
            continue
        array = flax_layout(value)
        if module == "attn.proj" and kind == "kernel":
            array = array.reshape(heads, -1, array.shape[-1])
        arrays[f"{prefix}{FLAX_VIT[module]}/{kind}"] = array
    return {path: np.ascontiguousarray(array) for path, array in arrays.items()}


def facebook_resmlp(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A ResMLP's: `blocks.3.ls1` is `blocks.3.gamma_1`; the affine maps have the shape (C)."""
    renamed = {}
    for name, value in state.items():
        if name.endswith((".alpha", ".beta")):
            value = value.flatten()
        for ours, theirs in FACEBOOK_RESMLP.items():
            name = name.replace(ours, theirs)
        renamed[name] = value
    return renamed
