"""A small convolutional network for colour images, for experiments on a CPU."""

from __future__ import annotations

from torch import Tensor, nn

from brevitas_a2q.models._layers import LayerFactory

__all__ = ["SmallCnn"]


class SmallCnn(nn.Module):
    """Four 3x3 convolutions and a dense layer; 16x16 images of three channels in [0, 1].

    The first convolution and the dense layer are the unconstrained boundary layers; the hidden convolutions sum
    K = 216, 432 and 432 products.
    """

    input_shape = (3, 16, 16)

    def __init__(self, layers: LayerFactory, classes: int = 10) -> None:
        super().__init__()
        widths = ((3, 24, 1), (24, 48, 2), (48, 48, 1), (48, 64, 2))  # inputs, outputs, stride
        blocks: list[nn.Module] = [layers.unit_input()]
        for index, (inputs, outputs, stride) in enumerate(widths):
            blocks += [
                layers.conv(inputs, outputs, 3, stride=stride, padding=1, boundary=index == 0),
                nn.BatchNorm2d(outputs),
                layers.relu(),
            ]
        self.features = nn.Sequential(*blocks, nn.MaxPool2d(2))
        self.classifier = layers.linear(64 * 4, classes, boundary=True)

    def forward(self, images: Tensor) -> Tensor:
        """Class scores, shape (batch, classes), of images of shape (batch, 3, 16, 16)."""
        scores: Tensor = self.classifier(self.features(images).flatten(1))
        return scores
