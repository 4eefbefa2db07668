"""ResNet18 for 32x32 images, as the A2Q papers use it on CIFAR-10.

Source: K. He et al., *Deep Residual Learning for Image Recognition*, CVPR 2016, in the usual form for small images: a
3x3 stem of stride 1 and no max pool in front.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from brevitas_a2q.models._layers import LayerFactory

__all__ = ["ResNet18"]


class _BasicBlock(nn.Module):
    def __init__(self, layers: LayerFactory, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            layers.conv(inputs, outputs, 3, stride=stride, padding=1),
            nn.BatchNorm2d(outputs),
            layers.relu(),
            layers.conv(outputs, outputs, 3, padding=1),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(layers.conv(inputs, outputs, 1, stride=stride), nn.BatchNorm2d(outputs))
        self.residual = layers.residual()
        self.activation = layers.relu()

    def forward(self, x: Tensor) -> Tensor:
        total = self.residual(self.branch(x)) + self.residual(self.shortcut(x))
        out: Tensor = self.activation(total)
        return out


class ResNet18(nn.Module):
    """Eighteen weight layers in four stages of two blocks; images of three channels in [0, 1].

    Args:
        layers: Source of layers.
        classes: Number of classes.
        width: Channels of the first stage; 64 is the standard network, less makes a small one for tests.
    """

    input_shape = (3, 32, 32)

    def __init__(self, layers: LayerFactory, classes: int = 10, width: int = 64) -> None:
        super().__init__()
        widths = (width, width, 2 * width, 4 * width, 8 * width)
        blocks: list[nn.Module] = [
            layers.unit_input(),
            layers.conv(3, width, 3, padding=1, boundary=True),
            nn.BatchNorm2d(width),
            layers.relu(),
        ]
        for stage, (inputs, outputs) in enumerate(pairwise(widths)):
            blocks += [
                _BasicBlock(layers, inputs, outputs, 1 if stage == 0 else 2),
                _BasicBlock(layers, outputs, outputs, 1),
            ]
        self.features = nn.Sequential(*blocks)
        self.pool = layers.average_pool(4)
        self.classifier = layers.linear(8 * width, classes, boundary=True)

    def forward(self, images: Tensor) -> Tensor:
        """Class scores, shape (batch, classes), of images of shape (batch, 3, 32, 32)."""
        scores: Tensor = self.classifier(self.pool(self.features(images)).flatten(1))
        return scores
