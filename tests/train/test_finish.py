"""What a trained network comes to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from brevitas_a2q.errors import ExportError
from brevitas_a2q.hw._target import Target
from brevitas_a2q.models import QuantSpec
from brevitas_a2q.models._digits_cnn import DigitsCnn
from brevitas_a2q.models._layers import LayerFactory
from brevitas_a2q.quant._layers import accumulator_layers
from brevitas_a2q.train._config import RunConfig
from brevitas_a2q.train._finish import CERTIFICATE, NETWORK, OUTCOME, finish
from brevitas_a2q.verify._certificate import Certificate
from brevitas_a2q.verify._certify import certify


class Images:
    """Training inputs."""

    def examples(self, count: int) -> Tensor:
        return torch.rand(count, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def network(method: str = "projected") -> nn.Module:
    torch.manual_seed(0)
    model = DigitsCnn(LayerFactory(QuantSpec(method, 4, 4, 12)))
    model(Images().examples(16))
    return model


def config(part: str = "xc7z020", target_fps: float | None = None) -> RunConfig:
    return RunConfig(estimate=Target(part, target_fps))


def test_a_network_is_measured_certified_exported_and_costed(tmp_path: Path) -> None:
    model = network()
    outcome = finish(model, config(), Images(), tmp_path)
    codes = torch.cat([layer.weight_quant.integer_weight().flatten() for _, layer in accumulator_layers(model)])
    assert outcome.sparsity == pytest.approx(float((codes == 0).double().mean()))
    assert outcome.compression == pytest.approx(4 / outcome.hidden.entropy_bits)
    assert outcome.all_layers.layers == 5

    assert outcome.certificate["holds"]
    assert outcome.certificate["targets"] == 3
    assert outcome.certificate["widest_required_bit_width"] <= 12
    whole = Certificate.from_json((tmp_path / CERTIFICATE).read_text())
    assert (
        [layer["required_bit_width"] for layer in outcome.certificate["layers"]]
        == [layer.required_bit_width for layer in certify(tmp_path / NETWORK).layers]
        == [layer.required_bit_width for layer in whole.layers]
    )

    assert outcome.qonnx == NETWORK
    assert outcome.qonnx_reason is None
    assert outcome.checks["layers driven by their witness"] == 5
    assert outcome.estimate is not None
    assert outcome.estimate_reason is None
    assert 0 < outcome.estimate["trained"]["lut"] < outcome.estimate["32"]["lut"]
    assert outcome.estimate["trained"]["part"] == "xc7z020"
    assert json.loads((tmp_path / OUTCOME).read_text()) == json.loads(json.dumps(outcome.to_json()))

    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert finish(model, config(), Images(), tmp_path) == outcome
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert set(before) == {NETWORK, CERTIFICATE, OUTCOME}


def test_an_estimate_that_is_refused_leaves_its_reason(tmp_path: Path) -> None:
    outcome = finish(network(), config("xc7z0200"), Images(), tmp_path)
    assert outcome.estimate is None
    assert "xc7z0200" in (outcome.estimate_reason or "")
    assert outcome.qonnx == NETWORK


@pytest.mark.parametrize("step", ["estimate", "export_qonnx"])
def test_a_step_that_fails_as_nobody_foresaw_loses_nothing(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise MemoryError("bad allocation")

    monkeypatch.setattr(f"brevitas_a2q.train._finish.{step}", fail)
    outcome = finish(network(), config(), Images(), tmp_path)
    reason = outcome.estimate_reason if step == "estimate" else outcome.qonnx_reason
    assert reason == "failed with MemoryError: bad allocation"
    assert outcome.certificate["holds"]
    assert json.loads((tmp_path / OUTCOME).read_text())["sparsity"] == outcome.sparsity


def test_no_estimate_is_made_unasked(tmp_path: Path) -> None:
    outcome = finish(network("none"), RunConfig(), Images(), tmp_path)
    assert (outcome.estimate, outcome.estimate_reason) == (None, "none was asked for")
    assert outcome.certificate["targets"] == 0
    assert outcome.hidden.layers == 3


class Doubled(DigitsCnn):
    """Its output is no function of the file that QONNX could hold."""

    def forward(self, images: Tensor) -> Tensor:
        return torch.special.bessel_j0(super().forward(images))


def test_an_export_that_is_refused_leaves_its_reason_and_a_certificate(tmp_path: Path) -> None:
    (tmp_path / NETWORK).write_bytes(b"of an earlier network")
    torch.manual_seed(0)
    model = Doubled(LayerFactory(QuantSpec("projected", 4, 4, 12)))
    model(Images().examples(16))
    outcome = finish(model, config(), Images(), tmp_path)
    assert outcome.qonnx is None
    assert outcome.qonnx_reason
    assert outcome.checks == {}
    assert outcome.estimate_reason == "no QONNX file"
    assert outcome.certificate["holds"]
    assert (tmp_path / CERTIFICATE).exists()
    assert not (tmp_path / NETWORK).exists()


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="cannot be written"):
        finish(network(), RunConfig(), Images(), tmp_path / "nowhere")
