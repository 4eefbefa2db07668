"""One epoch of training, one pass of testing, and :func:`fit`, the plain loop made of them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from brevitas_a2q._brevitas import _BatchNorm
from brevitas_a2q.data._arrays import ImageData, batches
from brevitas_a2q.data._augment import as_float, resized
from brevitas_a2q.data._tasks import TASKS, Loss
from brevitas_a2q.errors import ModelError
from brevitas_a2q.quant._penalty import a2q_penalty
from brevitas_a2q.train._optim import make_optimizer, make_schedule
from brevitas_a2q.train._processes import SINGLE, Processes
from brevitas_a2q.train._recipes import Recipe

__all__ = ["Batches", "EpochRecord", "History", "Step", "accuracy", "fit", "mean_score", "train_epoch"]

Batches = Iterable[tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class EpochRecord:
    """What one epoch came to. ``test_accuracy`` is a share in [0, 1]; ``loss`` is the mean task loss."""

    epoch: int
    loss: float
    penalty: float
    test_accuracy: float
    seconds: float


@dataclass(frozen=True)
class History:
    """One record per epoch. The test set chooses nothing: ``last`` is the result, ``best`` is only reported."""

    epochs: tuple[EpochRecord, ...]

    @property
    def last(self) -> float:
        """Test accuracy after the last epoch."""
        return self.epochs[-1].test_accuracy

    @property
    def best(self) -> float:
        """Highest test accuracy of any epoch."""
        return max(record.test_accuracy for record in self.epochs)


@dataclass(frozen=True)
class Step:
    """What one step of training computes.

    Args:
        model: The network whose parameters are trained.
        loss: Mean over a batch, of outputs and targets.
        penalty: Lambda of A2Q's penalty.
        forward: The network as it is run, for example compiled; itself by default.
        autocast: Context that the network runs in.
        processes: Those that share the work.
    """

    model: nn.Module
    loss: Loss
    penalty: float
    forward: Callable[[Tensor], Tensor] | None = None
    autocast: AbstractContextManager[object] = nullcontext()  # noqa: RUF009 - it holds nothing
    processes: Processes = SINGLE

    def gradients(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Task loss and penalty of this process's part of a batch; their gradients are left in the parameters."""
        forward = self.model if self.forward is None else self.forward
        with self.autocast:
            outputs = forward(images)
        task = self.loss(outputs.float(), targets)
        penalty = a2q_penalty(self.model, self.penalty)
        self.model.zero_grad()
        (task + penalty).backward()
        self.processes.average_gradients(self.model)
        return task.detach(), penalty.detach()


def train_epoch(
    step: Step,
    data: Batches,
    optimizer: Optimizer,
    schedule: LRScheduler,
    place: str,
    remedy: str = "lower the learning rate",
    *,
    batch_statistics: bool = True,
) -> tuple[float, float]:
    """One pass over the training data; nothing is read back from the device before its end.

    Args:
        step: What is computed for each batch.
        data: Batches of inputs and targets. Each process takes its part; a batch with fewer than two examples for each
            is left out, because batch norm could not normalise it.
        optimizer: Takes a step after each batch.
        schedule: Likewise.
        place: How messages name the epoch.
        remedy: What they advise.
        batch_statistics: Whether batch norm normalises by each batch, or by its running statistics and leaves them.

    Returns:
        Means of the task loss and of the penalty.

    Raises:
        ModelError: The loss, or the weights after the last step, became NaN or infinite.
    """
    step.model.train()
    if not batch_statistics:
        for module in step.model.modules():
            if isinstance(module, _BatchNorm):
                module.eval()
    losses, sizes = [], []
    for images, targets in data:
        images, targets = step.processes.shard(images), step.processes.shard(targets)
        if len(images) < 2:
            continue
        losses.append(torch.stack(step.gradients(images, targets)))
        sizes.append(len(images))
        if losses[-1].is_cpu and step.processes.count == 1 and not losses[-1].isfinite().all():
            break  # where asking costs nothing; a GPU would have to stop, and says so at the epoch's end
        optimizer.step()
        schedule.step()
    if not losses:
        raise ModelError("found no batch with two examples for each process", where=place)
    means = step.processes.total(torch.stack(losses)).double().cpu() / step.processes.count
    for index, loss in enumerate(means[:, 0].tolist(), 1):
        if not math.isfinite(loss):
            raise ModelError(
                f"found a loss of {loss} in {place}, step {index}", expected="a finite loss", remedy=remedy
            )
    if not torch.stack([parameter.isfinite().all() for parameter in step.model.parameters()]).all():
        raise ModelError(
            f"found weights that are not finite after {place}, step {len(losses)}",
            expected="finite ones",
            remedy=remedy,
        )
    loss, penalty = torch.tensor(sizes, dtype=torch.float64) @ means / sum(sizes)
    return float(loss), float(penalty)


@torch.no_grad()
def mean_score(
    model: nn.Module, data: Batches, scores: Callable[[Tensor, Tensor], Tensor], processes: Processes = SINGLE
) -> float:
    """Mean score per example, in evaluation mode.

    Args:
        model: Put in evaluation mode.
        data: Batches of inputs and targets; processes take turns.
        scores: One number per example of a batch, of outputs and targets.
        processes: Those that share the work.
    """
    model.eval()
    sums = [torch.zeros(2, dtype=torch.float64, device=processes.device)]
    for index, (images, targets) in enumerate(data):
        if index % processes.count == processes.rank:
            found = scores(model(images), targets)
            sums.append(torch.stack([found.double().sum(), torch.full_like(found[0], len(found), dtype=torch.float64)]))
    score, count = processes.total(torch.stack([part.to(sums[-1].device) for part in sums]).sum(0)).tolist()
    return float(score / count)


def accuracy(model: nn.Module, x: Tensor, y: Tensor, batch_size: int = 256) -> float:
    """Share of images whose highest score is their label's, in evaluation mode.

    Args:
        model: Classifier; put in evaluation mode.
        x: Images, float or uint8, shape (count, channels, height, width).
        y: Labels, shape (count,).
        batch_size: Images per forward pass.
    """
    found = ((as_float(images), labels) for images, labels in batches(x, y, batch_size, None))
    return mean_score(model, found, TASKS["classification"].scores)


def fit(
    model: nn.Module,
    data: ImageData,
    recipe: Recipe | None = None,
    *,
    seed: int = 0,
    on_epoch: Callable[[EpochRecord], None] | None = None,
) -> History:
    """Train a classifier in place by its loss plus A2Q's penalty (lambda times what norms exceed their caps by).

    The plain loop, in memory; :func:`brevitas_a2q.train.run` is the one with data by name and checkpoints.

    Args:
        model: Classifier, float or quantized; left in evaluation mode.
        data: Images and labels.
        recipe: Optimizer, schedule and epochs; Adam under a one-cycle schedule by default.
        seed: Orders the batches.
        on_epoch: Called after each epoch, for progress bars.

    Returns:
        One record per epoch.

    Raises:
        ModelError: The loss became NaN or infinite.
    """
    recipe = recipe or Recipe()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():  # quantizers that initialise from data or input widths do so before the optimizer is made
        model.train()(data.examples(recipe.batch_size))
    optimizer = make_optimizer(model, recipe)
    schedule = make_schedule(optimizer, recipe, math.ceil(data.len_train / recipe.batch_size))
    task = TASKS["classification"]
    step = Step(model, task.loss(recipe.loss), recipe.penalty)
    records = []
    for epoch in range(1, recipe.epochs + 1):
        started = time.perf_counter()
        height = recipe.image_size(epoch, data.input_shape[-2])
        batches = ((resized(x, height), y) for x, y in data.train_batches(recipe.batch_size, generator))
        own = recipe.batch_norm_epochs is None or epoch <= recipe.batch_norm_epochs
        loss, penalty = train_epoch(step, batches, optimizer, schedule, f"epoch {epoch}", batch_statistics=own)
        score = mean_score(model, data.test_batches(256), task.scores)
        records.append(EpochRecord(epoch, loss, penalty, score, time.perf_counter() - started))
        if on_epoch is not None:
            on_epoch(records[-1])
    return History(tuple(records))
