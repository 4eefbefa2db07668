"""MobileNetV1 for 32x32 images, as the A2Q papers use it on CIFAR-10.

Source: A. G. Howard et al., *MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications*,
arXiv 1704.04861, with stride 1 in the first convolution because the images are small.
"""

from __future__ import annotations

from torch import Tensor, nn

from brevitas_a2q.models._layers import LayerFactory

__all__ = ["MobileNetV1"]

# Output channels (of width 32) and stride of each depthwise separable block.
_BLOCKS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1))


class MobileNetV1(nn.Module):
    """Thirteen depthwise separable blocks; images of three channels in [0, 1].

    Args:
        layers: Source of layers.
        classes: Number of classes.
        width: Channels of the first convolution; 32 is the standard network.
    """

    input_shape = (3, 32, 32)

    def __init__(self, layers: LayerFactory, classes: int = 10, width: int = 32) -> None:
        super().__init__()
        blocks: list[nn.Module] = [layers.unit_input()]
        blocks += [layers.conv(3, width, 3, padding=1, boundary=True), nn.BatchNorm2d(width), layers.relu()]
        inputs = width
        for channels, stride in _BLOCKS:
            outputs = channels * width // 32
            blocks += [
                layers.conv(inputs, inputs, 3, stride=stride, padding=1, groups=inputs),
                nn.BatchNorm2d(inputs),
                layers.relu(),
                layers.conv(inputs, outputs, 1),
                nn.BatchNorm2d(outputs),
                layers.relu(),
            ]
            inputs = outputs
        self.features = nn.Sequential(*blocks)
        self.pool = layers.average_pool(2)
        self.classifier = layers.linear(inputs, classes, boundary=True)

    def forward(self, images: Tensor) -> Tensor:
        """Class scores, shape (batch, classes), of images of shape (batch, 3, 32, 32)."""
        scores: Tensor = self.classifier(self.pool(self.features(images)).flatten(1))
        return scores
