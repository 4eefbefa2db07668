"""One phase of a run: epochs of one recipe, with a checkpoint after each."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from brevitas_a2q.data._augment import resized
from brevitas_a2q.data._registry import Data
from brevitas_a2q.data._tasks import TASKS, Task
from brevitas_a2q.errors import ConfigError, ModelError
from brevitas_a2q.train._checkpoints import Checkpoint, save_checkpoint
from brevitas_a2q.train._config import RunConfig
from brevitas_a2q.train._loop import Batches, Step, mean_score, train_epoch
from brevitas_a2q.train._optim import make_optimizer, make_schedule
from brevitas_a2q.train._processes import Processes
from brevitas_a2q.train._recipes import Recipe
from brevitas_a2q.train._result import EpochResult
from brevitas_a2q.train._runtime import autocast, compiled, lay_out_, memory_format
from brevitas_a2q.train._seeds import epoch_seed, seed_everything

__all__ = ["Session"]


@dataclass
class Session:
    """What the phases of one run share.

    Attributes:
        config: What was asked for.
        folder: Of checkpoints.
        data: On the device.
        processes: Those that share the work.
        report: Gets messages.
        on_epoch: Gets every epoch, with its last learning rate.
        curve: Every epoch so far.
    """

    config: RunConfig
    folder: Path
    data: Data
    processes: Processes
    report: Callable[[str], None]
    on_epoch: Callable[[EpochResult, float], None]
    curve: list[EpochResult] = field(default_factory=list)

    @property
    def task(self) -> Task:
        """What the network is trained for."""
        return TASKS[self.data.task]

    def score(self, model: nn.Module, batch_size: int) -> float:
        """The test metric."""
        return mean_score(model, self._laid_out(self.data.test_batches(batch_size)), self.task.scores, self.processes)

    def steps_per_epoch(self, recipe: Recipe) -> int:
        """Steps of every epoch.

        Raises:
            ConfigError: None, because no batch has two examples for each process.
        """
        whole, rest = divmod(self.data.len_train, recipe.batch_size)
        steps = (whole if recipe.batch_size // self.processes.count >= 2 else 0) + (rest // self.processes.count >= 2)
        if not steps:
            raise ConfigError(
                f"found {self.data.len_train} training examples in batches of {recipe.batch_size}",
                where=f"data set {self.data.name}",
                expected=f"two in a batch for each of {self.processes.count} processes, because of batch norm",
            )
        return steps

    def train(self, model: nn.Module, phase: str, recipe: Recipe, checkpoint: Checkpoint | None) -> None:
        """Train in place, from a checkpoint of this phase or from the start.

        Raises:
            ModelError: The loss became NaN or infinite; the last checkpoint is from before.
            DataError: The checkpoint is of another network.
        """
        step = self._step(model, recipe)
        optimizer = make_optimizer(model, recipe)
        schedule = make_schedule(optimizer, recipe, self.steps_per_epoch(recipe))
        done = 0
        if checkpoint is not None:
            checkpoint.restore(model, optimizer, schedule)
            done = checkpoint.epoch
        for epoch in range(done + 1, recipe.epochs + 1):
            started = time.perf_counter()
            batches = self._batches(phase, epoch, recipe)
            place, settled = f"epoch {epoch} of {phase} training", recipe.batch_norm_epochs
            loss, penalty = train_epoch(
                step,
                batches,
                optimizer,
                schedule,
                place,
                _remedy(phase, epoch),
                batch_statistics=settled is None or epoch <= settled,
            )
            self.processes.average_buffers(model)
            self.processes.require_agreement(model)
            metric = self.score(model, recipe.batch_size)
            if not math.isfinite(metric):
                raise ModelError(
                    f"found a test metric of {metric} after {place}",
                    expected="a finite one",
                    remedy=_remedy(phase, epoch),
                )
            self.curve.append(EpochResult(phase, epoch, loss, penalty, metric, time.perf_counter() - started))
            if self.processes.is_main:
                save_checkpoint(self.folder, self.curve, model, optimizer, schedule, self.data.input_shape)
                self.on_epoch(self.curve[-1], float(schedule.get_last_lr()[0]))

    def _step(self, model: nn.Module, recipe: Recipe) -> Step:
        runtime, device = self.config.runtime, self.processes.device
        loss = self.task.loss(recipe.loss)
        context = autocast(runtime, device)
        lay_out_(model, runtime, device)
        with torch.no_grad():  # quantizers that initialise from weights and input widths do so once, before compilation
            model.eval()(self.data.examples(2))

        def try_out(forward: nn.Module) -> None:
            model.train()
            images, targets = next(iter(self._batches("trial", 0, recipe)))
            Step(model, loss, recipe.penalty, forward, context).gradients(
                self.processes.shard(images), self.processes.shard(targets)
            )
            model.zero_grad()

        forward = compiled(model, runtime, try_out, self.report)
        return Step(model, loss, recipe.penalty, forward, context, self.processes)

    def _batches(self, phase: str, epoch: int, recipe: Recipe) -> Batches:
        seed = epoch_seed(self.config.seed, phase, epoch)
        seed_everything(seed)
        generator = torch.Generator(self.processes.device).manual_seed(seed)
        height = recipe.image_size(max(1, epoch), self.data.input_shape[-2])
        batches = self.data.train_batches(recipe.batch_size, generator)
        return self._laid_out((resized(images, height), targets) for images, targets in batches)

    def _laid_out(self, batches: Batches) -> Batches:
        layout = memory_format(self.config.runtime, self.processes.device)
        return ((images.contiguous(memory_format=layout), targets) for images, targets in batches)


def _remedy(phase: str, epoch: int) -> str:
    kept = f"the checkpoint of epoch {epoch - 1} is kept" if epoch > 1 else "nothing of this phase is kept"
    key = "recipe.learning_rate, or float_recipe.learning_rate" if phase == "float" else "recipe.learning_rate"
    return f"lower {key} and start in a new folder; {kept}"
