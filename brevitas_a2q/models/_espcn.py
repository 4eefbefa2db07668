"""ESPCN for colour images, as the A2Q papers use it on BSD300.

Source: W. Shi et al., *Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel Convolutional
Neural Network*, CVPR 2016; four convolutions of 64, 64 and 32 channels with batch norm as in the super-resolution
example of Brevitas. The papers end it with a nearest-neighbour resize convolution, which has no checkerboard and no
sub-pixel order to undo in hardware (A2Q+, appendix B); the example ends it with the sub-pixel convolution.
"""

from __future__ import annotations

from torch import Tensor, nn

from brevitas_a2q.models._layers import LayerFactory
from brevitas_a2q.models._upscaling import Upsampling, init_, upscaling_head

__all__ = ["Espcn"]


class Espcn(nn.Module):
    """Four convolutions at the low resolution; colour images in [0, 1], sides multiplied by ``upscale_factor``.

    The first and the last convolution are the unconstrained boundary layers; the hidden ones sum K = 576 products.

    Args:
        layers: Source of layers.
        upscale_factor: 2 or 3.
        upsampling: "resize" (nearest-neighbour resize, then the last convolution) or "subpixel" (pixel shuffle).
        width: Channels of the first two layers; 64 is the standard network, less makes a small one for tests.
    """

    input_shape = (3, 64, 64)

    def __init__(
        self, layers: LayerFactory, upscale_factor: int = 2, upsampling: Upsampling = "resize", width: int = 64
    ) -> None:
        super().__init__()
        blocks: list[nn.Module] = [layers.unit_input()]
        widths = ((3, width, 5), (width, width, 3), (width, width // 2, 3))  # inputs, outputs, kernel
        for index, (inputs, outputs, kernel) in enumerate(widths):
            blocks += [
                layers.conv(inputs, outputs, kernel, padding=kernel // 2, boundary=index == 0),
                nn.BatchNorm2d(outputs),
                layers.relu(),
            ]
        self.features = nn.Sequential(*blocks)
        self.head = upscaling_head(layers, width // 2, upscale_factor, upsampling)
        init_(self, self.head)

    def forward(self, images: Tensor) -> Tensor:
        """Images of shape (batch, 3, f * height, f * width) for those of shape (batch, 3, height, width)."""
        enlarged: Tensor = self.head(self.features(images))
        return enlarged
