"""scikit-learn's handwritten digits: 1,797 real 8x8 images that come with the package, so nothing is downloaded.

Source: E. Alpaydin and C. Kaynak, *Optical Recognition of Handwritten Digits*, UCI Machine Learning Repository, 1998
(its test part, as shipped by ``sklearn.datasets.load_digits``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from brevitas_a2q._extras import need
from brevitas_a2q.data._arrays import ImageData

__all__ = ["DigitsOptions", "load_digits"]

TEST_SHARE = 0.25


@dataclass(frozen=True)
class DigitsOptions:
    """What can be asked of the handwritten digits."""

    split_seed: int = 0  # of the split into training and test images
    validation: int = 0  # training images that take the place of the test images


def load_digits(split_seed: int = 0) -> ImageData:
    """Handwritten digits, a quarter of each class held out for the test.

    Args:
        split_seed: Seed of the split; the same seed gives the same images.

    Returns:
        Images of shape (count, 1, 8, 8) in [0, 1].
    """
    need("the digits data set", "sklearn")
    from sklearn.datasets import load_digits as sklearn_digits
    from sklearn.model_selection import train_test_split

    digits = sklearn_digits()
    images = (digits.images[:, None] / 16.0).astype(np.float32)
    x_train, x_test, y_train, y_test = train_test_split(
        images, digits.target.astype(np.int64), test_size=TEST_SHARE, random_state=split_seed, stratify=digits.target
    )
    return ImageData(
        "digits",
        x_train=torch.from_numpy(x_train),
        y_train=torch.from_numpy(y_train),
        x_test=torch.from_numpy(x_test),
        y_test=torch.from_numpy(y_test),
        classes=10,
    )
