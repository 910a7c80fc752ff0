#!/usr/bin/env python3
"""Logits of small networks in PyTorch, in double precision, on the contents of the module `fill`.

    python golden.py > golden.txt

Of timm's classes with the arguments of its registry, but for the sizes; and of FF-only and the
attention-only network, which timm does not have, as written down here. For each network: its name,
a line for each tensor of the state dict, in order, and the logits of each image after `=`.

Needs torch (CPU) and timm.
"""

import math
from functools import partial

import torch
import torch.nn.functional as F
from timm.layers import GatedMlp, GluMlp, Mlp
from timm.models.deit import VisionTransformerDistilled
from timm.models.mlp_mixer import Affine, MlpMixer, ResBlock, SpatialGatingBlock
from timm.models.vision_transformer import Attention, VisionTransformer
from torch import nn

LayerNorm = partial(nn.LayerNorm, eps=1e-6)

BATCH, IMAGE, PATCH = 2, (8, 12), 4
GRID = (IMAGE[0] // PATCH, IMAGE[1] // PATCH)
TOKENS, CHANNELS, DEPTH, CLASSES = GRID[0] * GRID[1], 12, 2, 3


class Positions(nn.Module):
    """Positions of the class token and of a grid of patches, resized if theirs is another."""

    def __init__(self, grid: tuple[int, int]):
        super().__init__()
        self.pos_embed = nn.Parameter(torch.zeros(1, CHANNELS, *grid))
        self.cls_pos_embed = nn.Parameter(torch.zeros(1, 1, CHANNELS))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        grid = F.interpolate(self.pos_embed, size=GRID, mode="bilinear", align_corners=False)
        return x + torch.cat([self.cls_pos_embed, grid.flatten(2).transpose(1, 2)], dim=1)


class FfOnlyBlock(nn.Module):
    """An MLP over channels, then an MLP over tokens with a norm over tokens."""

    def __init__(self):
        super().__init__()
        self.mlp1 = Mlp(CHANNELS, 4 * CHANNELS)
        self.norm1 = LayerNorm(CHANNELS)
        self.mlp2 = Mlp(1 + TOKENS, 4 * (1 + TOKENS))
        self.norm2 = LayerNorm(1 + TOKENS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = (x + self.mlp1(self.norm1(x))).transpose(1, 2)
        return (x + self.mlp2(self.norm2(x))).transpose(1, 2)


class AttentionOnlyBlock(nn.Module):
    """Attention among tokens, then attention among channels with a norm over tokens."""

    def __init__(self):
        super().__init__()
        self.attn = Attention(CHANNELS, num_heads=3, qkv_bias=True)
        self.norm1 = LayerNorm(CHANNELS)
        self.attn_features = Attention(1 + TOKENS, num_heads=1, qkv_bias=True)
        self.norm2 = LayerNorm(1 + TOKENS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = (x + self.attn(self.norm1(x))).transpose(1, 2)
        return (x + self.attn_features(self.norm2(x))).transpose(1, 2)


class ClassTokenNetwork(nn.Module):
    """FF-only and the attention-only network."""

    def __init__(self, block: type[nn.Module], position_grid: tuple[int, int]):
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, CHANNELS))
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, CHANNELS, PATCH, stride=PATCH)})
        self.pos_encoding = Positions(position_grid)
        self.blocks = nn.Sequential(*(block() for _ in range(DEPTH)))
        self.norm = LayerNorm(CHANNELS)
        self.head = nn.Linear(CHANNELS, CLASSES)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = self.patch_embed["proj"](images).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], dim=1)
        x = self.norm(self.blocks(self.pos_encoding(x)))
        return self.head(x[:, 0])


def networks() -> dict[str, nn.Module]:
    """The networks by name."""
    vit = {"img_size": IMAGE, "patch_size": PATCH, "embed_dim": CHANNELS, "depth": DEPTH}
    vit |= {"num_heads": 3, "num_classes": CLASSES}
    mixer = {"img_size": IMAGE, "patch_size": PATCH, "embed_dim": CHANNELS, "num_blocks": DEPTH}
    mixer |= {"num_classes": CLASSES}
    tanh = partial(nn.GELU, approximate="tanh")
    return {
        "ff_only": ClassTokenNetwork(FfOnlyBlock, GRID),
        "ff_only, positions resized": ClassTokenNetwork(FfOnlyBlock, (5, 4)),
        "attention_only": ClassTokenNetwork(AttentionOnlyBlock, GRID),
        "vit": VisionTransformer(**vit),
        "vit, tanh": VisionTransformer(**vit, act_layer=tanh),
        "vit, distilled": VisionTransformerDistilled(**vit),
        "resmlp": MlpMixer(**mixer, mlp_ratio=4, block_layer=ResBlock, norm_layer=Affine),
        "gmlp": MlpMixer(**mixer, mlp_ratio=6, block_layer=SpatialGatingBlock, mlp_layer=GatedMlp),
        "gmixer": MlpMixer(**mixer, mlp_ratio=(1.0, 4.0), mlp_layer=GluMlp, act_layer=nn.SiLU),
    }


def wave(shape: torch.Size, amplitude: float, frequency: float, phase: float) -> torch.Tensor:
    """amplitude * sin(frequency * i + phase), i = 1, 2, ... in row-major order."""
    values = [amplitude * math.sin(frequency * i + phase) for i in range(1, shape.numel() + 1)]
    return torch.tensor(values, dtype=torch.float64).reshape(shape)


def is_scale(name: str) -> bool:
    """Whether a tensor is a norm's `weight`: those are about 1."""
    *_, module, parameter = ["", *name.split(".")]
    return "norm" in module and parameter == "weight"


def main() -> None:
    images = wave(torch.Size([BATCH, 3, *IMAGE]), 1, 0.11, 0)
    for name, network in networks().items():
        state = network.state_dict()
        print(name)
        for t, (key, value) in enumerate(state.items(), start=1):
            state[key] = is_scale(key) + wave(value.shape, 0.3, 0.7, 1.3 * t)
            print(f"{key} {list(value.shape)}")
        network = network.double().eval()
        network.load_state_dict(state)
        with torch.inference_mode():
            for logits in network(images).tolist():
                print("=", *(f"{logit:.12f}" for logit in logits))
        print()


if __name__ == "__main__":
    main()
