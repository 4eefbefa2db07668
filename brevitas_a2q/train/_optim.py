"""Optimizer and schedule of a recipe."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

from brevitas_a2q.train._recipes import Recipe

__all__ = ["make_optimizer", "make_schedule"]


def make_optimizer(model: nn.Module, recipe: Recipe) -> Optimizer:
    """The optimizer of all parameters of the model; on a GPU the kind that takes one launch for all of them."""
    parameters = list(model.parameters())
    options: dict[str, Any] = {"lr": recipe.learning_rate}
    if parameters[0].is_cuda:
        options["fused"] = True
    groups = _groups(model, recipe)
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, momentum=recipe.momentum, nesterov=recipe.nesterov, **options)
    kind = torch.optim.Adam if recipe.optimizer == "adam" else torch.optim.AdamW
    return kind(groups, **options)


def _groups(model: nn.Module, recipe: Recipe) -> list[dict[str, Any]]:
    """Parameters with and without weight decay; one group where all decay."""
    named = list(model.named_parameters())
    if recipe.decay == "all":
        return [{"params": [parameter for _, parameter in named], "weight_decay": recipe.weight_decay}]
    weights = {id(p) for name, p in named if name.split(".")[-1] == "weight" and p.ndim > 1}
    return [
        {"params": [p for _, p in named if id(p) in weights], "weight_decay": recipe.weight_decay},
        {"params": [p for _, p in named if id(p) not in weights], "weight_decay": 0.0},
    ]


def make_schedule(optimizer: Optimizer, recipe: Recipe, steps_per_epoch: int) -> LRScheduler:
    """The schedule, to be stepped after every step of the optimizer.

    Args:
        optimizer: From :func:`make_optimizer`.
        recipe: What it was made from.
        steps_per_epoch: Steps that every epoch takes.
    """
    if recipe.schedule == "one-cycle":
        total, share = recipe.epochs * steps_per_epoch, recipe.warmup_share
        if share * total == 1:  # the peak is the first step; torch divides by the steps before it
            share *= 1 - 1e-9
        return OneCycleLR(optimizer, max_lr=recipe.learning_rate, total_steps=total, pct_start=share)
    every = {"constant": 0, "exponential": 1, "step": recipe.step_epochs}[recipe.schedule] * steps_per_epoch
    return LambdaLR(optimizer, lambda step: recipe.factor ** (step // every) if every else 1.0)
