"""The networks that come with the package are what their cards, certificates and files say."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from brevitas_a2q.data import load_data
from brevitas_a2q.errors import ConfigError
from brevitas_a2q.models import pretrained, pretrained_files
from brevitas_a2q.models._pretrained import PRETRAINED
from brevitas_a2q.models._registry import MODELS
from brevitas_a2q.verify import Certificate, certify, differences, simulate


def image(name: str) -> Tensor:
    shape = MODELS[pretrained_files(name).card["model"]].input_shape
    return torch.rand(1, *shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", PRETRAINED)
def test_certificates_of_network_and_file_are_the_one_that_comes_along(name: str) -> None:
    files = pretrained_files(name)
    kept = Certificate.from_json(files.certificate.read_text())
    of_model = certify(pretrained(name), image(name))
    assert kept.holds
    assert of_model.holds
    width = files.card["quant"]["accumulator_bit_width"]
    hidden = [layer for layer in kept.layers if layer.accumulator_bit_width is not None]
    assert hidden
    assert all(layer.accumulator_bit_width == width >= layer.required_bit_width for layer in hidden)
    for ours, files_own in zip(of_model.layers, kept.layers, strict=True):  # which knows more of what is reached
        assert all(low <= other for low, other in zip(ours.sums.lower, files_own.sums.lower, strict=True))
        assert all(high >= other for high, other in zip(ours.sums.upper, files_own.sums.upper, strict=True))
    assert not differences(kept, certify(files.network))


def test_accuracy_is_that_on_the_card() -> None:
    name = "digits-cnn-w4a4-p11"
    data, network = load_data("digits"), pretrained(name)
    with torch.no_grad():
        right = (network(data.x_test).argmax(1) == data.y_test).double().mean()
    assert float(right) == pytest.approx(pretrained_files(name).card["last"])


def test_file_and_network_agree() -> None:
    name = "digits-cnn-w4a4-p11"
    x = load_data("digits").x_test[:8]
    with torch.no_grad():
        expected = pretrained(name)(x).numpy()
    found = simulate(pretrained_files(name).network, x.numpy(), overflow="check")
    assert set(found.overflows.values()) == {0}
    np.testing.assert_allclose(found.outputs, expected, rtol=1e-5, atol=1e-5)


def test_names_that_are_not_there() -> None:
    with pytest.raises(ConfigError, match="found pretrained network 'digits'; expected one of digits-cnn-w4a4-p11"):
        pretrained("digits")
