"""ResNet-50 and the ones with RepMLPs (arXiv:2105.01883) in PyTorch, with the official names in their state_dict.

Both forms: while training, a BatchNorm stands behind each convolution, and in a RepMLP, convolutions beside
the matrix (`fc3`) and a BatchNorm behind the means; to deploy, all of that is folded in.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn


@dataclass(frozen=True)
class Part:
    """The RepMLPs of a stage: what is around them, their channels and groups."""

    place: str
    channels: int
    groups: int


@dataclass(frozen=True)
class Config:
    """Sizes of a ResNet-50; `parts` has an entry for each stage."""

    image: int
    parts: tuple[Part | None, ...] = (None,) * 4
    partition: int = 7
    kernels: tuple[int, ...] = (1, 3, 5)
    channels: tuple[int, ...] = (256, 512, 1024, 2048)
    blocks: tuple[int, ...] = (3, 4, 6, 3)
    classes: int = 1000


def _light(groups: int) -> tuple[Part | None, ...]:
    return (None, Part("light", 64, groups), Part("light", 128, groups), None)


def _bottleneck(second: int, third: int) -> tuple[Part | None, ...]:
    return (None, Part("btnk", 64, second), Part("btnk", 64, third), None)


VARIANTS = {
    "resnet50": Config(224),
    "repmlp_res50_light_224": Config(224, _light(4)),
    "repmlp_res50_light_224_g8": Config(224, _light(8)),
    "repmlp_res50_bottleneck_224": Config(224, _bottleneck(8, 8)),
    "repmlp_res50_bottleneck_320_g8_16": Config(320, _bottleneck(8, 16), 10, (1, 3, 5, 7)),
}


class ConvBn(nn.Module):
    """A convolution and its BatchNorm; to deploy, a convolution with a bias. ReLU behind it on request."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, deploy: bool, stride: int = 1, groups: int = 1, relu: bool = False
    ):
        super().__init__()
        padding = kernel // 2
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=deploy)
        self.bn = None if deploy else nn.BatchNorm2d(outputs)
        self.relu = relu

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv(x)
        if self.bn is not None:
            y = self.bn(y)
        return F.relu(y) if self.relu else y


class RepMlp(nn.Module):
    """A matrix over the channels and pixels of each partition, with the means of all partitions added in front."""

    def __init__(self, config: Config, part: Part, side: int, deploy: bool):
        super().__init__()
        self.channels, self.groups, self.partition = part.channels, part.groups, config.partition
        self.grid = side // config.partition
        if self.grid > 1:
            features = self.channels * self.grid**2
            layers = {"fc1": nn.Linear(features, features), "fc2": nn.Linear(features, features)}
            self.fc1_fc2 = nn.ModuleDict(layers)
            self.avg = nn.ModuleDict({} if deploy else {"bn": nn.BatchNorm2d(self.channels)})
        features = self.channels * self.partition**2
        # Only its weight and bias are used: a matrix product is faster than a convolution in groups.
        self.fc3 = nn.Conv2d(features, features, 1, groups=self.groups, bias=deploy)
        self.kernels = () if deploy else config.kernels
        if not deploy:
            self.fc3_bn = nn.BatchNorm1d(features)
        for k in self.kernels:
            branch = ConvBn(self.channels, self.channels, k, deploy, groups=self.groups)
            self.add_module(f"repconv{k}", branch)

    def means(self, x: torch.Tensor) -> torch.Tensor:
        """What is added to each partition, (N, C, grid, grid)."""
        v = F.avg_pool2d(x, self.partition)
        if "bn" in self.avg:
            v = self.avg["bn"](v)
        return self.fc1_fc2["fc2"](F.relu(self.fc1_fc2["fc1"](v.flatten(1)))).view_as(v)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        p, grid = self.partition, self.grid
        if grid > 1:
            x = x + self.means(x).repeat_interleave(p, 2).repeat_interleave(p, 3)
        parts = x.unflatten(3, (grid, p)).unflatten(2, (grid, p))
        parts = parts.permute(0, 2, 4, 1, 3, 5).flatten(0, 2)
        weight = self.fc3.weight.view(self.groups, -1, self.fc3.weight.shape[1])
        y = torch.einsum("mgi,goi->mgo", parts.reshape(len(parts), self.groups, -1), weight).flatten(1)
        if self.fc3.bias is not None:
            y = y + self.fc3.bias
        if self.kernels:
            y = self.fc3_bn(y)
        y = y.view_as(parts)
        for k in self.kernels:
            y = y + getattr(self, f"repconv{k}")(parts)
        y = y.unflatten(0, (-1, grid, grid)).permute(0, 3, 1, 4, 2, 5)
        return y.flatten(4, 5).flatten(2, 3)


class Base(nn.Module):
    """1x1, 3x3 with the stride, 1x1."""

    def __init__(self, inputs: int, channels: int, stride: int, deploy: bool):
        super().__init__()
        middle = channels // 4
        self.shortcut = None
        if stride > 1 or inputs != channels:
            self.shortcut = ConvBn(inputs, channels, 1, deploy, stride)
        self.conv1 = ConvBn(inputs, middle, 1, deploy, relu=True)
        self.conv2 = ConvBn(middle, middle, 3, deploy, stride, relu=True)
        self.conv3 = ConvBn(middle, channels, 1, deploy)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv3(self.conv2(self.conv1(x)))
        return F.relu(y + (x if self.shortcut is None else self.shortcut(x)))


class Light(nn.Module):
    """1x1, RepMLP, 1x1."""

    def __init__(self, config: Config, part: Part, channels: int, side: int, deploy: bool):
        super().__init__()
        self.light_conv1 = ConvBn(channels, part.channels, 1, deploy, relu=True)
        self.light_repmlp = RepMlp(config, part, side, deploy)
        self.light_conv3 = ConvBn(part.channels, channels, 1, deploy)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.relu(self.light_repmlp(self.light_conv1(x)))
        return F.relu(self.light_conv3(y) + x)


class Bottleneck(nn.Module):
    """1x1, 3x3, RepMLP, 3x3, 1x1."""

    def __init__(self, config: Config, part: Part, channels: int, side: int, deploy: bool):
        super().__init__()
        middle = channels // 4
        self.btnk_conv1 = ConvBn(channels, middle, 1, deploy, relu=True)
        self.btnk_conv2 = ConvBn(middle, part.channels, 3, deploy, relu=True)
        self.btnk_repmlp = RepMlp(config, part, side, deploy)
        self.btnk_conv4 = ConvBn(part.channels, middle, 3, deploy, relu=True)
        self.btnk_conv5 = ConvBn(middle, channels, 1, deploy)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.relu(self.btnk_repmlp(self.btnk_conv2(self.btnk_conv1(x))))
        return F.relu(self.btnk_conv5(self.btnk_conv4(y)) + x)


class ResNet(nn.Module):
    """Images (N, 3, image, image) to logits (N, classes)."""

    def __init__(self, config: Config, deploy: bool = False):
        super().__init__()
        self.stage0 = nn.Sequential(ConvBn(3, 64, 7, deploy, 2, relu=True), nn.MaxPool2d(3, 2, 1))
        places = {"light": Light, "btnk": Bottleneck}
        inputs = 64
        for i, (channels, blocks, part) in enumerate(zip(config.channels, config.blocks, config.parts)):
            stage = [Base(inputs, channels, 1 if i == 0 else 2, deploy)]
            for _ in range(1, blocks):
                if part is None:
                    stage.append(Base(channels, channels, 1, deploy))
                else:
                    side = config.image // 4 >> i
                    stage.append(places[part.place](config, part, channels, side, deploy))
            self.add_module(f"stage{i + 1}", nn.Sequential(*stage))
            inputs = channels
        self.linear = nn.Linear(inputs, config.classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = self.stage0(images)
        for i in range(1, 5):
            x = getattr(self, f"stage{i}")(x)
        return self.linear(x.mean((2, 3)))
