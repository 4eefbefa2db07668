"""The tables of docs/results.md: a network at one pair of widths, by method and P."""

from __future__ import annotations

__all__ = ["LADDERS"]

_WHOLE_ESPCN = (
    "The papers' network and protocol (512x512 pixels around each photograph's centre, black outside; bicubic "
    "upscaling: 28.75 dB), trained for six epochs of 8,000 windows of 64 pixels of that square, in bf16; the published "
    "ones for 300 epochs. Rates were chosen on training images held out, the quantized one for A2Q+ "
    "([results](../benchmarks/results/recipes.json)). A2Q and A2Q+ start with EP-init, all with bias correction."
)
_WHOLE_RESNET18 = (
    "The papers' network, 15 epochs in float, on images that grow from 16 pixels to their 32, and 3 quantized, in "
    "bf16; the published ones 100. A2Q and A2Q+ start with EP-init, all with bias correction."
)
_SHORT_ESPCN = (
    "Half the channels, three epochs of 24,000 windows of 32 pixels, on a CPU. Judged by whole photographs (bicubic "
    "upscaling: 28.42 dB, [protocols](../benchmarks/results/super_resolution_protocols.md)), because the windows do "
    "not show the published protocol's black surroundings. Compare the methods with each other, not with the papers."
)
_SHORT_RESNET18 = (
    "A quarter of the channels, two thousand training images, ten epochs on a CPU: compare the methods with each other."
)

# Title, network, M = N, published tables, what is short about it.
LADDERS: tuple[tuple[str, str, int, tuple[str, ...], str | None], ...] = (
    ("Whole: ESPCN x2, BSD300, W4A4", "whole-espcn-x2", 4, ("espcn-x2-w4a4",), _WHOLE_ESPCN),
    ("Whole: ESPCN x2, BSD300, W8A8", "whole-espcn-x2", 8, ("espcn-x2-w8a8",), _WHOLE_ESPCN),
    ("Whole: ResNet18, CIFAR-10, W4A4", "whole-resnet18", 4, ("resnet18-w4a4-ladder",), _WHOLE_RESNET18),
    ("ResNet18, CIFAR-10, W4A4", "resnet18", 4, ("resnet18-w4a4-ladder", "resnet18-best"), None),
    ("ESPCN x2, BSD300, W8A8", "espcn-x2", 8, ("espcn-x2-w8a8",), None),
    ("ESPCN x2, BSD300, W4A4", "espcn-x2", 4, ("espcn-x2-w4a4",), None),
    ("MobileNetV1, CIFAR-10, W4A4", "mobilenet-v1", 4, ("mobilenet-v1-best",), None),
    ("ESPCN x3, BSD300, W8A8", "espcn-x3", 8, ("espcn-x3-best",), None),
    ("U-Net x3, BSD300, W4A4", "unet-x3", 4, ("unet-x3-best",), None),
    ("Short: ESPCN x2 of half the width, BSD300, W4A4", "cpu-espcn-half-x2", 4, (), _SHORT_ESPCN),
    ("Short: ESPCN x2 of half the width, BSD300, W8A8", "cpu-espcn-half-x2", 8, (), _SHORT_ESPCN),
    (
        "Short: ResNet18 at a quarter of its width, 2,000 images of CIFAR-10, W4A4",
        "cpu-resnet18-quarter",
        4,
        (),
        _SHORT_RESNET18,
    ),
    (
        "Short: ResNet18 at a quarter of its width, 2,000 images of CIFAR-10, W8A8",
        "cpu-resnet18-quarter",
        8,
        (),
        _SHORT_RESNET18,
    ),
    (
        "Short: MobileNetV1 at a quarter of its width, CIFAR-10, W8A8",
        "cpu-mobilenet-v1-quarter",
        8,
        (),
        "A quarter of the channels, three epochs of float and one of quantized training on a CPU: compare methods.",
    ),
    (
        "Short: U-Net x3 of half the width, BSD300, W8A8",
        "cpu-unet-half-x3",
        8,
        (),
        "Half the channels, three epochs of 24,000 windows of 48 pixels, on a CPU. Judged as published, with black "
        "around the photographs, which the windows do not show: some tenths of a decibel mean nothing.",
    ),
)
