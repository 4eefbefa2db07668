"""What each of two processes does in test_processes.py; started by torchrun with a folder."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from unittest import mock

import torch
from torch import nn

from brevitas_a2q.data import load_data
from brevitas_a2q.data._tasks import TASKS
from brevitas_a2q.errors import ModelError
from brevitas_a2q.train._checkpoints import save_tensors
from brevitas_a2q.train._config import RunConfig
from brevitas_a2q.train._loop import Step, mean_score, train_epoch
from brevitas_a2q.train._model_state import model_tensors
from brevitas_a2q.train._phase import Session
from brevitas_a2q.train._processes import SINGLE, Processes, start_processes
from brevitas_a2q.train._run import run


def trained(processes: Processes) -> tuple[nn.Module, float, float]:
    """A network without batch norm after one epoch; its loss and test accuracy."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))
    data = load_data("digits", validation=1147)  # which leaves 200 images: six batches of 32 and one of 8
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    constant = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    task = TASKS[data.task]
    step = Step(model, task.loss(), 0.0, processes=processes)
    batches = data.train_batches(32, torch.Generator().manual_seed(0))
    loss, _ = train_epoch(step, batches, optimizer, constant, "epoch 1")
    return model, loss, mean_score(model, data.test_batches(32), task.scores, processes)


def refuses_disagreement(processes: Processes) -> bool:
    """Whether one bit of one buffer is noticed."""
    layer = nn.BatchNorm1d(4)
    processes.require_agreement(layer)
    if not processes.is_main:
        layer.running_mean[2] = 1e-30
    try:
        processes.require_agreement(layer)
    except ModelError as error:
        return "running_mean" in str(error)
    return False


def main(folder: Path, config: RunConfig) -> None:
    """Compare, train, and leave what this process found."""
    torch.set_num_threads(1)
    processes = start_processes("cpu")
    assert processes.count == 2
    (ours, loss, score), (whole, whole_loss, _) = trained(processes), trained(SINGLE)
    data = load_data("digits", validation=1147)
    found = {
        "loss": [loss, whole_loss],
        "score": [score, mean_score(ours, data.test_batches(32), TASKS[data.task].scores)],
        "refuses": refuses_disagreement(processes),
    }
    save_tensors(folder / f"shared{processes.rank}.safetensors", model_tensors(ours))
    save_tensors(folder / f"whole{processes.rank}.safetensors", model_tensors(whole))
    models: list[nn.Module] = []
    train = Session.train

    def remember(self: Session, model: nn.Module, *args: object) -> None:
        train(self, model, *args)
        models.append(model)

    with mock.patch.object(Session, "train", remember):
        result = run(config, folder / "run")
    found["result"] = result.to_json()
    save_tensors(folder / f"trained{processes.rank}.safetensors", model_tensors(models[-1]))
    (folder / f"found{processes.rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), RunConfig.from_dict(json.loads(sys.argv[2])))
