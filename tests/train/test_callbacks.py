"""Callbacks of other training loops: the penalty's gradient is in every step, and a certificate at the end."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import brevitas.nn as qnn
import pytest
import torch
from brevitas.quant import Int8ActPerTensorFloat
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from brevitas_a2q import Int8A2QWeightPerChannelFloat
from brevitas_a2q.errors import CertificateError, ConfigError
from brevitas_a2q.quant import a2q_penalty
from brevitas_a2q.train import _callbacks, lightning_callback, trainer_callback
from brevitas_a2q.train._callbacks import Guard
from brevitas_a2q.verify._certificate import certify_layers, read_certificate
from brevitas_a2q.verify._torch_model import layers_of

# Of the frameworks, none of which is ours to mend.
pytestmark = pytest.mark.filterwarnings("ignore")


def network(bits: int = 14) -> nn.Sequential:
    torch.manual_seed(0)
    layer: dict[str, Any] = {
        "input_quant": Int8ActPerTensorFloat, "weight_quant": Int8A2QWeightPerChannelFloat,
        "weight_accumulator_bit_width": bits, "bias": True,
    }  # fmt: skip
    return nn.Sequential(qnn.QuantLinear(8, 16, **layer), nn.ReLU(), qnn.QuantLinear(16, 3, **layer))


def data() -> TensorDataset:
    x = torch.randn(64, 8, generator=torch.Generator().manual_seed(1))
    return TensorDataset(x, x[:, :3].argmax(1))


def test_the_gradient_is_that_of_the_penalty() -> None:
    model, x = network(), torch.randn(4, 8)
    model(x).square().sum().backward()
    plain = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    wanted = torch.autograd.grad(a2q_penalty(model, 0.5), list(model.parameters()), allow_unused=True)
    assert Guard(penalty=0.5).before_step(model) == pytest.approx(float(a2q_penalty(model, 0.5).detach()))
    moved = 0
    for (name, parameter), extra in zip(model.named_parameters(), wanted, strict=True):
        if extra is not None and extra.any():
            moved += 1
            torch.testing.assert_close(parameter.grad, plain[name] + extra)
    assert moved
    assert Guard(penalty=0.0).before_step(model) == 0


def test_the_end_certifies_or_says_why_not(tmp_path: Path) -> None:
    model, x = network(), torch.randn(4, 8)
    model(x)
    guard = Guard(x, path=tmp_path / "certificate.json")
    found = guard.finish(model.eval())
    assert found is not None
    assert found.holds
    assert read_certificate((tmp_path / "certificate.json").read_text(), "file").holds
    with pytest.raises(ConfigError, match="no example inputs"):
        Guard().finish(model)
    assert Guard(x).finish(nn.Linear(2, 2)) is None


def test_a_broken_promise_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = network(), torch.randn(4, 8)
    model(x)
    narrow = [dataclasses.replace(layer, accumulator_bit_width=2) for layer in layers_of(model.eval(), x)]
    broken = certify_layers(narrow)
    monkeypatch.setattr(_callbacks, "certify", lambda model, inputs: broken)
    with pytest.raises(CertificateError, match="layer 0"):
        Guard(x).finish(model)
    assert Guard(x, require=False).finish(model) is broken


def test_lightning(tmp_path: Path) -> None:
    lightning = pytest.importorskip("lightning.pytorch")

    class Module(lightning.LightningModule):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.net = network()

        def forward(self, x: Tensor) -> Tensor:
            return self.net(x)

        def training_step(self, batch: Any, index: int) -> Tensor:
            return nn.functional.cross_entropy(self(batch[0]), batch[1])

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), 0.1)

    callback = lightning_callback(path=tmp_path / "certificate.json")
    module = Module()
    module(torch.randn(2, 8))
    before = {name: p.detach().clone() for name, p in module.named_parameters()}
    trainer = lightning.Trainer(
        max_epochs=1, callbacks=[callback], logger=False, enable_checkpointing=False, enable_progress_bar=False,
        accelerator="cpu", accumulate_grad_batches=2, default_root_dir=tmp_path,
    )  # fmt: skip
    trainer.fit(module, DataLoader(data(), batch_size=16))
    assert any((p.detach() != before[name]).any() for name, p in module.named_parameters())
    assert callback.guard.certificate.holds
    assert (tmp_path / "certificate.json").is_file()


def test_hugging_face(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("accelerate")

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = network()

        def forward(self, x: Tensor, labels: Tensor | None = None) -> Any:
            scores = self.net(x)
            return scores if labels is None else {"loss": nn.functional.cross_entropy(scores, labels), "out": scores}

    rows = [{"x": x, "labels": y} for x, y in data()]
    model = Model()
    model(torch.randn(2, 8))
    callback = trainer_callback(torch.randn(2, 8), path=tmp_path / "certificate.json")
    steps: list[float] = []
    before_step = callback.guard.before_step
    callback.guard.before_step = lambda model: steps.append(before_step(model))
    arguments = transformers.TrainingArguments(
        output_dir=str(tmp_path), num_train_epochs=1, per_device_train_batch_size=16, report_to=[], use_cpu=True,
        save_strategy="no", disable_tqdm=True,
    )  # fmt: skip
    transformers.Trainer(model=model, args=arguments, train_dataset=rows, callbacks=[callback]).train()
    assert len(steps) == 4
    assert callback.guard.certificate.holds
    assert (tmp_path / "certificate.json").is_file()
