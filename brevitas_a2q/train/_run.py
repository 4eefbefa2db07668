"""A whole training run: float network, quantized start, quantization-aware training, and what comes of it."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn

from brevitas_a2q._files import atomic_target
from brevitas_a2q.data import load_data
from brevitas_a2q.errors import ConfigError, DataError, ModelError
from brevitas_a2q.hw._devices import find_part
from brevitas_a2q.models import build_model
from brevitas_a2q.train._checkpoints import Checkpoint, latest_checkpoint, load_tensors, save_tensors
from brevitas_a2q.train._config import RunConfig
from brevitas_a2q.train._finish import Outcome, finish
from brevitas_a2q.train._folder import CHECKPOINTS, RESULT, claim, claimable, gone_unless_begun, locked
from brevitas_a2q.train._phase import Session
from brevitas_a2q.train._preflight import require_fit, require_size, require_task
from brevitas_a2q.train._processes import Processes, start_processes
from brevitas_a2q.train._result import EpochResult, RunResult, versions
from brevitas_a2q.train._runtime import arithmetic
from brevitas_a2q.train._scalars import scalars
from brevitas_a2q.train._seeds import seed_everything
from brevitas_a2q.train._start import quantize_start, quantized_form
from brevitas_a2q.train._trackers import require_tracker, tracked

__all__ = ["check", "run"]

FLOAT_WEIGHTS: Final = "float.safetensors"


def _ignore(_: object) -> None:
    """Default of the callbacks."""


def check(config: RunConfig, out: Path, report: Callable[[str], None] = _ignore) -> None:
    """Try all that a run would try before it trains: folder, data, network, recipes, rules and part; write nothing.

    Args:
        config: As for :func:`run`.
        out: Folder of the run; need not exist.
        report: Told what was found.

    Raises:
        A2QError: What :func:`run` would raise before the first epoch.
    """
    if out.exists():
        claimable(out, config)
    processes = start_processes(config.runtime.device)
    data = load_data(config.data, config.data_root, **config.data_options).to(processes.device)
    report(f"data {data.name}: {data.len_train} training examples of shape {tuple(data.input_shape)}, {data.task}")
    session = Session(config, out / CHECKPOINTS, data, processes, report, lambda epoch, rate: None)
    model = _new_float_network(session)
    report(f"model {config.model}: {sum(p.numel() for p in model.parameters()):,} parameters; takes these data")
    if config.float_checkpoint is not None:
        source = Path(config.float_checkpoint)
        _load_float(model, source / FLOAT_WEIGHTS if source.is_dir() else source)
        report(f"float weights: {source}")
    for name, recipe in (("float_recipe", config.float_recipe), ("recipe", config.recipe)):
        if recipe is not None:
            report(f"{name}: {recipe.epochs} epochs of {session.steps_per_epoch(recipe)} steps")


def run(
    config: RunConfig,
    out: Path,
    on_epoch: Callable[[EpochResult], None] = _ignore,
    report: Callable[[str], None] = _ignore,
) -> RunResult:
    """Train, certify, export and cost a network; go on where an interrupted run of the same configuration stopped.

    Args:
        config: What to do.
        out: Folder of the run; ``result.json``, ``float.safetensors``, ``checkpoints``, ``tensorboard``, and what
            :func:`brevitas_a2q.train._finish.finish` writes go there. With several processes, all must see it.
        on_epoch: Called after each epoch, in the main process.
        report: Called with messages, in the main process.

    Returns:
        The result; that of a finished run without doing anything again.

    Raises:
        ConfigError: The folder is another run's or in use, or the configuration names something that is not there.
        DataError: A data set is missing, or a checkpoint damaged.
        ModelError: The loss became NaN or infinite.
    """
    processes = start_processes(config.runtime.device)
    with ExitStack() as stack:
        if processes.is_main:
            stack.enter_context(gone_unless_begun(out))
            out.mkdir(parents=True, exist_ok=True)
            stack.enter_context(locked(out))
            claim(out, config)
        processes.wait()
        if not (out / RESULT).exists():
            stack.enter_context(arithmetic(config.runtime, processes.device))
            try:
                _train(config, out, processes, on_epoch, report if processes.is_main else _ignore)
            except torch.OutOfMemoryError as error:
                raise ModelError(
                    f"the memory of {processes.device} does not suffice",
                    where=f"process {processes.rank}",
                    remedy="lower recipe.batch_size, or crop of data_options",
                ) from error
        processes.wait()
        return RunResult.load(out / RESULT)


def _train(
    config: RunConfig,
    out: Path,
    processes: Processes,
    on_epoch: Callable[[EpochResult], None],
    report: Callable[[str], None],
) -> None:
    data = load_data(config.data, config.data_root, **config.data_options).to(processes.device)
    checkpoint = latest_checkpoint(out / CHECKPOINTS)
    curve = [] if checkpoint is None else list(checkpoint.curve)
    if checkpoint is not None:
        report(f"going on after epoch {checkpoint.epoch} of {checkpoint.phase} training")
    with _watched(config, out, processes, len(curve), on_epoch, report) as watch:
        session = Session(config, out / CHECKPOINTS, data, processes, report, watch, curve)
        model = _new_float_network(session)
        float_last = _train_float(session, model, out, checkpoint)
        if config.quant is not None:
            model = _quantized_network(session, model, checkpoint)
    if processes.is_main:
        outcome = None if config.quant is None else finish(model.cpu(), config, data, out)
        _result(session, float_last, outcome).save(out / RESULT)


@contextmanager
def _watched(
    config: RunConfig,
    out: Path,
    processes: Processes,
    epochs_done: int,
    on_epoch: Callable[[EpochResult], None],
    report: Callable[[str], None],
) -> Iterator[Callable[[EpochResult, float], None]]:
    """What to tell of every epoch, in the main process."""
    if not processes.is_main:
        yield lambda epoch, rate: None
        return
    with ExitStack() as stack:
        records = [stack.enter_context(scalars(out / "tensorboard", epochs_done, report))]
        tracker = config.runtime.tracker
        if tracker != "none":
            records.append(stack.enter_context(tracked(tracker, config.to_dict(), out, epochs_done, report)))

        def watch(epoch: EpochResult, rate: float) -> None:
            for record in records:
                record(epoch, rate)
            on_epoch(epoch)

        yield watch


def _new_float_network(session: Session) -> nn.Module:
    """The float network before training, once everything that can be wrong with the configuration has been tried."""
    config = session.config
    require_task(config.model, session.data)
    if config.runtime.tracker != "none":
        require_tracker(config.runtime.tracker)
    for recipe in (config.float_recipe, config.recipe):
        if recipe is not None:
            session.task.loss(recipe.loss)
            session.steps_per_epoch(recipe)
    if config.estimate is not None:
        find_part(config.estimate.part)
    seed_everything(config.seed)
    model = build_model(config.model, None, **config.model_options).to(session.processes.device)
    session.processes.broadcast(model)
    require_fit(config.model, model, session.data)
    floating = config.float_recipe if config.quant is not None else config.recipe
    if floating is not None and floating.first_image_size is not None:
        require_size(config.model, model, session.data, floating.first_image_size)
    if config.quant is not None:
        quantized_form(model, config)
    return model


def _train_float(session: Session, model: nn.Module, out: Path, checkpoint: Checkpoint | None) -> float | None:
    """Train the float network if that is asked for; its test metric if it has been trained, now or before."""
    config, weights = session.config, out / FLOAT_WEIGHTS
    recipe = config.recipe if config.quant is None else config.float_recipe
    if recipe is not None:
        if checkpoint is not None and checkpoint.phase != "float":
            _load_float(model, weights)
        else:
            session.train(model, "float", recipe, checkpoint)
            if session.processes.is_main:
                with atomic_target(weights) as temporary:
                    save_tensors(temporary, model.state_dict())
        return next(epoch.metric for epoch in reversed(session.curve) if epoch.phase == "float")
    if config.float_checkpoint is None:
        return None
    source = Path(config.float_checkpoint)
    _load_float(model, source / FLOAT_WEIGHTS if source.is_dir() else source)
    return session.score(model, config.recipe.batch_size)


def _load_float(model: nn.Module, path: Path) -> None:
    tensors, own = load_tensors(path), model.state_dict()
    wrong = set(tensors) ^ set(own) or {name for name in own if own[name].shape != tensors[name].shape}
    if wrong:
        raise ConfigError(
            f"found the weights of another network ({', '.join(sorted(wrong)[:3])})",
            where=str(path),
            expected=f"those of a float {type(model).__name__} with the same options",
        )
    if not all(bool(tensor.isfinite().all()) for tensor in tensors.values()):
        raise DataError("found weights that are NaN or infinite", where=str(path), expected="finite ones")
    model.load_state_dict(tensors)


def _quantized_network(session: Session, float_model: nn.Module, checkpoint: Checkpoint | None) -> nn.Module:
    config, processes = session.config, session.processes
    if checkpoint is not None and checkpoint.phase == "quantized":
        model = quantized_form(float_model, config).to(processes.device)
    else:
        checkpoint = None
        model = quantize_start(
            float_model, config, session.data, lambda step: session.report(f"{step.name}: {step.message}")
        )
        processes.broadcast(model)
    session.train(model, "quantized", config.recipe, checkpoint)
    return model


def _result(session: Session, float_last: float | None, outcome: Outcome | None) -> RunResult:
    config, curve = session.config, session.curve
    last_phase = [epoch.metric for epoch in curve if epoch.phase == curve[-1].phase]
    device = session.processes.device
    named = ("sparsity", "compression", "certificate", "qonnx", "qonnx_reason", "estimate", "estimate_reason")
    found: dict[str, Any] = {name: getattr(outcome, name, None) for name in named}
    return RunResult(
        config=config,
        metric=session.task.metric,
        curve=tuple(curve),
        last=last_phase[-1],
        best=max(last_phase),
        float_last=float_last if config.quant is not None else last_phase[-1],
        **found,
        seconds=sum(epoch.seconds for epoch in curve),
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or "cpu",
        versions=versions(),
        seed=config.seed,
    )
