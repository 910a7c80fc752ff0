"""RepMLPNet (arXiv:2112.11081) in PyTorch, with the official names in its state_dict.

Both forms: while training, each block has a matrix (`fc3`) and depthwise convolutions side by side,
each with a BatchNorm; to deploy, `folded` makes one matrix with a bias of them. All other layers,
with their BatchNorms, are the same in both.

Images have the one size at which each map is a single partition; the official code scrambles the
partitions of larger ones.
"""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import nn


@dataclass(frozen=True)
class Config:
    """Sizes of a RepMLPNet; the tuples have an entry for each stage."""

    image: int
    channels: tuple[int, ...]
    units: tuple[int, ...]
    share_sets: tuple[int, ...]
    image_channels: int = 3
    patch: int = 4
    kernels: tuple[int, ...] = (1, 3)
    gate_reduction: int = 4
    expansion: int = 4
    classes: int = 1000

    def side(self, stage: int) -> int:
        """Height and width of the maps of a stage."""
        return self.image // self.patch >> stage


_T224 = Config(224, (64, 128, 256, 512), (2, 2, 6, 2), (1, 4, 16, 128))
_B224 = Config(224, (96, 192, 384, 768), (2, 2, 12, 2), (1, 4, 32, 128))

VARIANTS = {
    "repmlpnet_t224": _T224,
    "repmlpnet_t256": replace(_T224, image=256),
    "repmlpnet_b224": _B224,
    "repmlpnet_b256": replace(_B224, image=256),
    "repmlpnet_d256": replace(_T224, image=256, channels=(80, 160, 320, 640), units=(2, 2, 18, 2)),
    "repmlpnet_l256": replace(_B224, image=256, units=(2, 2, 18, 2), share_sets=(1, 4, 32, 256)),
}


class ConvBn(nn.Module):
    """A convolution without bias, and its BatchNorm."""

    def __init__(self, inputs: int, outputs: int, kernel: int, **options: int):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, bias=False, **options)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.bn(self.conv(x))


class SharedConvBn(ConvBn):
    """A depthwise convolution whose channel c uses kernel c mod S, and a BatchNorm of S; S share-sets.

    Maps (N, C, h, w) to (N · C/S, S, h, w).
    """

    def __init__(self, share_sets: int, kernel: int):
        super().__init__(share_sets, share_sets, kernel, padding=kernel // 2, groups=share_sets)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        channels, share_sets = x.shape[1], self.conv.groups
        # One group for each channel, not each share-set: the same sums, and much faster.
        kernels = self.conv.weight.repeat(channels // share_sets, 1, 1, 1)
        out = F.conv2d(x, kernels, padding=self.conv.padding, groups=channels)
        return self.bn(out.view(-1, share_sets, *x.shape[2:]))


class Gate(nn.Module):
    """A factor in (0, 1) for each channel (N, C, 1, 1), from the means of all channels."""

    def __init__(self, channels: int, hidden: int):
        super().__init__()
        self.fc1 = nn.Conv2d(channels, hidden, 1)
        self.fc2 = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        means = x.mean((2, 3), keepdim=True)
        return torch.sigmoid(self.fc2(F.relu(self.fc1(means))))


class RepMlpBlock(nn.Module):
    """A matrix over the pixels of each channel, times the gate. Channel c uses matrix c mod share_sets."""

    def __init__(self, config: Config, stage: int, deploy: bool):
        super().__init__()
        channels, side = config.channels[stage], config.side(stage)
        self.share_sets, self.side, self.pixels = config.share_sets[stage], side, side * side
        features = self.share_sets * self.pixels
        self.gp = Gate(channels, channels // config.gate_reduction)
        # Only its weight and bias are used: a matrix product is faster than a convolution in groups.
        self.fc3 = nn.Conv2d(features, features, 1, groups=self.share_sets, bias=deploy)
        self.kernels = () if deploy else config.kernels
        if not deploy:
            self.fc3_bn = nn.BatchNorm2d(self.share_sets)
        for k in self.kernels:
            self.add_module(f"repconv{k}", SharedConvBn(self.share_sets, k))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape[2:] != (self.side, self.side):
            raise ValueError(f"maps of {tuple(x.shape[2:])}, not {self.side} x {self.side}")
        maps = x.reshape(-1, self.share_sets, self.side, self.side)
        weight = self.fc3.weight.view(self.share_sets, self.pixels, self.pixels)
        # [S, maps, pixels], as a product in batches and not an einsum, which ONNX Runtime is slow at.
        out = (maps.flatten(2).transpose(0, 1) @ weight.transpose(1, 2)).transpose(0, 1)
        if self.fc3.bias is not None:
            out = out + self.fc3.bias.view(self.share_sets, self.pixels)
        out = out.reshape(maps.shape)
        if self.kernels:
            out = self.fc3_bn(out)
        for k in self.kernels:
            out = out + getattr(self, f"repconv{k}")(x)
        return out.reshape(x.shape) * self.gp(x)


class Ffn(nn.Module):
    """Two 1x1 convolutions with the exact GELU between them."""

    def __init__(self, channels: int, hidden: int):
        super().__init__()
        self.ffn_fc1 = ConvBn(channels, hidden, 1)
        self.act = nn.GELU()
        self.ffn_fc2 = ConvBn(hidden, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.ffn_fc2(self.act(self.ffn_fc1(x)))


class Unit(nn.Module):
    """Block and FFN, each with a BatchNorm in front and a residual."""

    def __init__(self, config: Config, stage: int, deploy: bool):
        super().__init__()
        channels = config.channels[stage]
        self.repmlp_block = RepMlpBlock(config, stage, deploy)
        self.ffn_block = Ffn(channels, config.expansion * channels)
        self.prebn1 = nn.BatchNorm2d(channels)
        self.prebn2 = nn.BatchNorm2d(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x + self.repmlp_block(self.prebn1(x))
        return y + self.ffn_block(self.prebn2(y))


class RepMlpNet(nn.Module):
    """Images (N, image_channels, image, image) to logits (N, classes)."""

    def __init__(self, config: Config, deploy: bool = False):
        super().__init__()
        channels, stages = config.channels, range(len(config.channels))
        self.conv_embedding = ConvBn(
            config.image_channels, channels[0], config.patch, stride=config.patch
        )
        self.stages = nn.ModuleList(
            nn.ModuleList(Unit(config, stage, deploy) for _ in range(config.units[stage]))
            for stage in stages
        )
        self.embeds = nn.ModuleList(
            ConvBn(channels[stage], channels[stage + 1], 2, stride=2) for stage in stages[:-1]
        )
        self.head_norm = nn.BatchNorm2d(channels[-1])
        self.head = nn.Linear(channels[-1], config.classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.conv_embedding(images))
        for stage, units in enumerate(self.stages):
            if stage > 0:
                x = F.relu(self.embeds[stage - 1](x))
            for unit in units:
                x = unit(x)
        return self.head(self.head_norm(x).mean((2, 3)))


def _scale_and_shift(bn: nn.BatchNorm2d) -> tuple[torch.Tensor, torch.Tensor]:
    """The s and t in binary64 with which a BatchNorm in evaluation mode is s·x + t."""
    weight, bias, mean, var = (v.double() for v in (bn.weight, bn.bias, bn.running_mean, bn.running_var))
    scale = weight / torch.sqrt(var + bn.eps)
    return scale, bias - mean * scale


def _convolution_matrices(kernels: torch.Tensor, side: int) -> torch.Tensor:
    """Matrices (S, side², side²) of depthwise convolutions (S, K, K) that keep the size of a map.

    The matrix of output pixel (oy, ox) and input pixel (iy, ix) holds kernel[iy - oy + p, ix - ox + p],
    p = K div 2, or 0 where that is outside the kernel.
    """
    size = kernels.shape[-1]
    steps = torch.arange(side)
    offset = steps[None, :] - steps[:, None] + size // 2
    inside = (offset >= 0) & (offset < size)
    offset = offset.clamp(0, size - 1)
    values = kernels[:, offset[:, None, :, None], offset[None, :, None, :]]
    values = values * (inside[:, None, :, None] & inside[None, :, None, :])
    return values.reshape(-1, side * side, side * side)


@torch.no_grad()
def folded(model: RepMlpNet) -> dict[str, torch.Tensor]:
    """The state_dict in deploy form of a model in train form: computed in binary64, in the model's type."""
    state = dict(model.state_dict())
    for name, block in model.named_modules():
        if not isinstance(block, RepMlpBlock):
            continue
        scale, bias = _scale_and_shift(block.fc3_bn)
        matrices = block.fc3.weight.double().view(block.share_sets, block.pixels, block.pixels)
        matrices = matrices * scale[:, None, None]
        for k in block.kernels:
            branch = getattr(block, f"repconv{k}")
            scale, shift = _scale_and_shift(branch.bn)
            kernels = branch.conv.weight.double()[:, 0] * scale[:, None, None]
            matrices += _convolution_matrices(kernels, block.side)
            bias = bias + shift
        for key in [key for key in state if key.startswith((f"{name}.fc3_bn.", f"{name}.repconv"))]:
            del state[key]
        weight = block.fc3.weight
        state[f"{name}.fc3.weight"] = matrices.reshape(weight.shape).to(weight.dtype)
        state[f"{name}.fc3.bias"] = bias.repeat_interleave(block.pixels).to(weight.dtype)
    return state
