"""A small convolutional network for 8x8 images that trains on a CPU in seconds."""

from __future__ import annotations

from torch import Tensor, nn

from brevitas_a2q.models._layers import LayerFactory

__all__ = ["DigitsCnn"]


class DigitsCnn(nn.Module):
    """Three 3x3 convolutions, two of them pooled, and two dense layers; 8x8 images of one channel in [0, 1].

    The first convolution and the last dense layer are the unconstrained boundary layers; dot products of the hidden
    ones sum K = 144, 288 and 128 products.
    """

    input_shape = (1, 8, 8)

    def __init__(self, layers: LayerFactory, classes: int = 10) -> None:
        super().__init__()
        self.features = nn.Sequential(
            layers.unit_input(),
            layers.conv(1, 16, 3, padding=1, boundary=True),
            nn.BatchNorm2d(16),
            layers.relu(),
            layers.conv(16, 32, 3, padding=1),
            nn.BatchNorm2d(32),
            layers.relu(),
            nn.MaxPool2d(2),
            layers.conv(32, 32, 3, padding=1),
            nn.BatchNorm2d(32),
            layers.relu(),
            nn.MaxPool2d(2),
        )
        self.classifier = nn.Sequential(
            layers.linear(128, 64),
            nn.BatchNorm1d(64),
            layers.relu(),
            layers.linear(64, classes, boundary=True),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Class scores, shape (batch, classes), of images of shape (batch, 1, 8, 8)."""
        scores: Tensor = self.classifier(self.features(images).flatten(1))
        return scores
