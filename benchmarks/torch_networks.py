"""Four networks for PyTorch, layer by layer those of torchvision, and of `keras.applications` likewise.

They are written out because each torchvision is tied to one build of PyTorch. That they are the same networks is
checked by their numbers of parameters (`PARAMETERS`, as torchvision publishes them) before anything is measured.
"""

from collections.abc import Callable

import torch
from torch import nn

PARAMETERS = {
    "ResNet50": 25_557_032,
    "DenseNet121": 7_978_856,
    "MobileNetV2": 3_504_872,
    "EfficientNetB0": 5_288_548,
}
CLASSES = 1000


def build(network: str) -> nn.Module:
    """Returns one of the networks, with random weights. Its last layer is `classifier`.

    Raises:
        RuntimeError: It has not as many parameters as torchvision's.
    """
    model = _NETWORKS[network]().eval()
    count = sum(parameter.numel() for parameter in model.parameters())
    if count != PARAMETERS[network]:
        raise RuntimeError(f"{network} is not torchvision's: {count} parameters instead of {PARAMETERS[network]}")
    return model


def conv(
    inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, act: type[nn.Module] = nn.Identity
) -> nn.Sequential:
    """Convolution, normalisation, activation."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        act(),
    )


class Network(nn.Module):
    """Features, their mean, and one dense layer."""

    def __init__(self, features: list[nn.Module], channels: int):
        super().__init__()
        self.features = nn.Sequential(*features)
        self.classifier = nn.Linear(channels, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.features(x).mean((2, 3)))


class Bottleneck(nn.Module):
    """A block of ResNet-50 (He et al. 2016)."""

    def __init__(self, inputs: int, width: int, stride: int):
        super().__init__()
        outputs = 4 * width
        self.branch = nn.Sequential(
            conv(inputs, width, 1, act=nn.ReLU),
            conv(width, width, 3, stride, act=nn.ReLU),
            conv(width, outputs, 1),
        )
        self.shortcut = conv(inputs, outputs, 1, stride) if inputs != outputs else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.branch(x) + self.shortcut(x))


def resnet50() -> Network:
    features: list[nn.Module] = [conv(3, 64, 7, 2, act=nn.ReLU), nn.MaxPool2d(3, 2, 1)]
    channels = 64
    for stage, blocks in enumerate((3, 4, 6, 3)):
        for block in range(blocks):
            width = 64 << stage
            features.append(Bottleneck(channels, width, 2 if stage and not block else 1))
            channels = 4 * width
    return Network(features, channels)


class DenseLayer(nn.Module):
    """A layer of DenseNet (Huang et al. 2017): its output follows its input."""

    def __init__(self, inputs: int, growth: int):
        super().__init__()
        self.layers = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.ReLU(),
            conv(inputs, 4 * growth, 1, act=nn.ReLU),
            nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x, self.layers(x)], 1)


def densenet121() -> Network:
    channels, growth = 64, 32
    features: list[nn.Module] = [conv(3, channels, 7, 2, act=nn.ReLU), nn.MaxPool2d(3, 2, 1)]
    for blocks in (6, 12, 24, 16):
        for _ in range(blocks):
            features.append(DenseLayer(channels, growth))
            channels += growth
        features += [nn.BatchNorm2d(channels), nn.ReLU()]
        if blocks != 16:
            features += [nn.Conv2d(channels, channels // 2, 1, bias=False), nn.AvgPool2d(2)]
            channels //= 2
    return Network(features, channels)


class InvertedResidual(nn.Module):
    """A block of MobileNetV2 (Sandler et al. 2018); with squeeze and excitation, of EfficientNet (Tan and Le 2019)."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        expansion: int,
        kernel: int,
        stride: int,
        act: type[nn.Module],
        squeeze: bool = False,
    ):
        super().__init__()
        width = inputs * expansion
        self.branch = nn.Sequential(
            *([conv(inputs, width, 1, act=act)] if expansion > 1 else []),
            conv(width, width, kernel, stride, groups=width, act=act),
            *([Squeeze(width, inputs // 4)] if squeeze else []),
            conv(width, outputs, 1),
        )
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.branch(x) if self.residual else self.branch(x)


class Squeeze(nn.Module):
    """A gate for each channel, computed from the means of all (Hu et al. 2018)."""

    def __init__(self, channels: int, width: int):
        super().__init__()
        self.reduce, self.expand = nn.Conv2d(channels, width, 1), nn.Conv2d(width, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        gate = nn.functional.silu(self.reduce(x.mean((2, 3), keepdim=True)))
        return x * torch.sigmoid(self.expand(gate))


# Expansion, outputs, blocks, stride of the first, kernel.
_MOBILENET = [(1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 32, 3, 2, 3), (6, 64, 4, 2, 3), (6, 96, 3, 1, 3)]
_MOBILENET += [(6, 160, 3, 2, 3), (6, 320, 1, 1, 3)]
_EFFICIENTNET = [(1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3), (6, 112, 3, 1, 5)]
_EFFICIENTNET += [(6, 192, 4, 2, 5), (6, 320, 1, 1, 3)]


def _inverted(stages: list[tuple[int, int, int, int, int]], act: type[nn.Module], squeeze: bool) -> Network:
    channels = 32
    features: list[nn.Module] = [conv(3, channels, 3, 2, act=act)]
    for expansion, outputs, blocks, stride, kernel in stages:
        for block in range(blocks):
            step = 1 if block else stride
            features.append(InvertedResidual(channels, outputs, expansion, kernel, step, act, squeeze))
            channels = outputs
    return Network([*features, conv(channels, 1280, 1, act=act)], 1280)


_NETWORKS: dict[str, Callable[[], Network]] = {
    "ResNet50": resnet50,
    "DenseNet121": densenet121,
    "MobileNetV2": lambda: _inverted(_MOBILENET, nn.ReLU6, squeeze=False),
    "EfficientNetB0": lambda: _inverted(_EFFICIENTNET, nn.SiLU, squeeze=True),
}
