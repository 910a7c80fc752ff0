"""The FF-only models (arXiv:2105.02723) and the attention-only ablation in PyTorch.

FF-only is a ViT whose attention is a perceptron along the tokens, with the names of the official
state_dict. A block's perceptron along the channels comes first, as in the official code; the paper's
first figure has it second. The norm in front of the one along the tokens is over the tokens too.

Of the attention-only model, the paper gives no more than that attention over the channels takes the place
of the perceptron along them, and 4.0 M parameters. The one here is a reconstruction.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

EPS = 1e-6


@dataclass(frozen=True)
class Config:
    """Sizes of a model; `heads` is 0 for FF-only, or those of the attention over tokens."""

    channels: int
    depth: int
    patch: int = 16
    heads: int = 0
    stored_side: int = 14
    """Height and width of the stored map of positions."""
    image: int = 224
    classes: int = 1000

    @property
    def side(self) -> int:
        """Height and width of the map of patches."""
        return self.image // self.patch

    @property
    def tokens(self) -> int:
        """The class token and the patches."""
        return 1 + self.side**2


VARIANTS = {
    "linear_tiny": Config(192, 12),
    "linear_base": Config(768, 12),
    "linear_large": Config(1024, 24, patch=32),
    "attention_only_tiny": Config(192, 12, heads=3),
}


class Mlp(nn.Module):
    """A perceptron along the last axis with the exact GELU, four times as wide in the middle."""

    def __init__(self, width: int):
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc2(self.act(self.fc1(x)))


class Attention(nn.Module):
    """Attention over the last axis but one, with embeddings along the last."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, length, width = x.shape
        qkv = self.qkv(x).view(batch, length, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        scores = q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5
        mixed = scores.softmax(-1) @ v
        return self.proj(mixed.transpose(1, 2).reshape(x.shape))


class FeedForwardBlock(nn.Module):
    """A perceptron along the channels, then one along the tokens."""

    def __init__(self, config: Config):
        super().__init__()
        self.mlp1 = Mlp(config.channels)
        self.norm1 = nn.LayerNorm(config.channels, EPS)
        self.mlp2 = Mlp(config.tokens)
        self.norm2 = nn.LayerNorm(config.tokens, EPS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.mlp1(self.norm1(x))
        x = x.transpose(1, 2)
        x = x + self.mlp2(self.norm2(x))
        return x.transpose(1, 2)


class AttentionBlock(nn.Module):
    """Attention over the tokens, then over the channels, each with a norm along its embeddings."""

    def __init__(self, config: Config):
        super().__init__()
        self.norm1 = nn.LayerNorm(config.channels, EPS)
        self.attn = Attention(config.channels, config.heads)
        self.norm2 = nn.LayerNorm(config.tokens, EPS)
        # 197 tokens are a prime number: there can be one head only.
        self.attn_features = Attention(config.tokens, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attn(self.norm1(x))
        x = x.transpose(1, 2)
        x = x + self.attn_features(self.norm2(x))
        return x.transpose(1, 2)


class PatchEmbed(nn.Module):
    """Patches (N, patches, channels) of images."""

    def __init__(self, config: Config):
        super().__init__()
        self.proj = nn.Conv2d(3, config.channels, config.patch, stride=config.patch)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.proj(images).flatten(2).transpose(1, 2)


class Positions(nn.Module):
    """What is added to the tokens; the map of the patches is interpolated if its size is another."""

    def __init__(self, config: Config):
        super().__init__()
        self.side = config.side
        self.pos_embed = nn.Parameter(torch.zeros(1, config.channels, config.stored_side, config.stored_side))
        self.cls_pos_embed = nn.Parameter(torch.zeros(1, 1, config.channels))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        grid, size = self.pos_embed, (self.side, self.side)
        if grid.shape[2:] != size:
            grid = F.interpolate(grid, size=size, mode="bilinear", align_corners=False)
        return tokens + torch.cat([self.cls_pos_embed, grid.flatten(2).transpose(1, 2)], dim=1)


class Classifier(nn.Module):
    """Images (N, 3, image, image) to logits (N, classes), which are read from the class token."""

    def __init__(self, config: Config):
        super().__init__()
        block = AttentionBlock if config.heads else FeedForwardBlock
        self.cls_token = nn.Parameter(torch.zeros(1, 1, config.channels))
        self.patch_embed = PatchEmbed(config)
        self.pos_encoding = Positions(config)
        self.blocks = nn.Sequential(*(block(config) for _ in range(config.depth)))
        self.norm = nn.LayerNorm(config.channels, EPS)
        self.head = nn.Linear(config.channels, config.classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        tokens = torch.cat([self.cls_token.expand(len(images), -1, -1), self.patch_embed(images)], dim=1)
        x = self.norm(self.blocks(self.pos_encoding(tokens)))
        return self.head(x[:, 0])
