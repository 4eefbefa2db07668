"""A small U-Net for colour images, for super-resolution on BSD300.

Source: O. Ronneberger, P. Fischer, T. Brox, *U-Net: Convolutional Networks for Biomedical Image Segmentation*, MICCAI
2015. As in the A2Q papers it resizes by nearest neighbour instead of transposed convolutions, and its skip connections
are sums with the bit width of the activations (A2Q+, appendix B). They print no table of its layers: how many encoders
and decoders it has, and their channels, are ours.
"""

from __future__ import annotations

from torch import Tensor, nn

from brevitas_a2q.models._layers import LayerFactory
from brevitas_a2q.models._upscaling import Upsampling, init_, upscaling_head

__all__ = ["UNet"]


class _Block(nn.Sequential):
    """A 3x3 convolution and batch norm; the activation is its caller's, because it may be shared."""

    def __init__(self, layers: LayerFactory, inputs: int, outputs: int, *, boundary: bool = False) -> None:
        super().__init__(layers.conv(inputs, outputs, 3, padding=1, boundary=boundary), nn.BatchNorm2d(outputs))


class _Skip(nn.Module):
    """Sum of an encoder's and a decoder's output; both leave by one activation, so that their scales are equal."""

    def __init__(self, layers: LayerFactory) -> None:
        super().__init__()
        self.activation = layers.relu()
        self.total = layers.relu()

    def forward(self, encoded: Tensor, decoded: Tensor) -> Tensor:
        total: Tensor = self.total(encoded + self.activation(decoded))
        return total


class UNet(nn.Module):
    """Two poolings down and two resizes up; colour images in [0, 1], sides multiplied by ``upscale_factor``.

    Sides of the input are multiples of four. The first and the last convolution are the unconstrained boundary layers.

    Args:
        layers: Source of layers.
        upscale_factor: 2 or 3.
        upsampling: "resize" (nearest-neighbour resize, then the last convolution) or "subpixel" (pixel shuffle).
        width: Channels at the full resolution; twice and four times as many at a half and a quarter of it.
    """

    input_shape = (3, 40, 40)

    def __init__(
        self, layers: LayerFactory, upscale_factor: int = 3, upsampling: Upsampling = "resize", width: int = 32
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(layers.unit_input(), _Block(layers, 3, width, boundary=True), layers.relu())
        self.encoder1 = _Block(layers, width, width)
        self.encoder2 = _Block(layers, width, 2 * width)
        self.encoder3 = nn.Sequential(_Block(layers, 2 * width, 4 * width), layers.relu())
        self.pool = nn.MaxPool2d(2)
        self.decoder3 = nn.Sequential(nn.UpsamplingNearest2d(scale_factor=2), _Block(layers, 4 * width, 2 * width))
        self.decoder2 = nn.Sequential(nn.UpsamplingNearest2d(scale_factor=2), _Block(layers, 2 * width, width))
        self.decoder1 = nn.Sequential(_Block(layers, width, width), layers.relu())
        self.skip2 = _Skip(layers)
        self.skip1 = _Skip(layers)
        self.head = upscaling_head(layers, width, upscale_factor, upsampling)
        init_(self, self.head)

    def forward(self, images: Tensor) -> Tensor:
        """Images of shape (batch, 3, f * height, f * width) for those of shape (batch, 3, height, width)."""
        full = self.skip1.activation(self.encoder1(self.stem(images)))
        half = self.skip2.activation(self.encoder2(self.pool(full)))
        quarter = self.encoder3(self.pool(half))
        decoded = self.skip2(half, self.decoder3(quarter))
        decoded = self.skip1(full, self.decoder2(decoded))
        enlarged: Tensor = self.head(self.decoder1(decoded))
        return enlarged
