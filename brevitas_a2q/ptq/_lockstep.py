"""Run a model on many batches at once, from layer to layer.

Post-training quantization needs the inputs of a layer from all of the data, computed by the layers before it as they
are quantized already, and beside them those of the float network. Running the model from its start for every layer
would take as many runs as there are layers. Here each batch runs in a thread of its own (a lane), which waits at every
layer until all batches have arrived there. One lane runs at a time, so that nothing depends on how threads are
scheduled, and the model can be any Python code.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from brevitas_a2q.errors import ModelError

__all__ = ["Call", "Model", "run_in_lockstep"]

Call = Callable[[nn.Module], Any]  # runs a model on one batch
Model = tuple[nn.Module, dict[str, nn.Module], Callable[[str, Tensor], Tensor] | None]


class _Stopped(BaseException):
    """Ends a lane that is not to go on."""


class _Lane(threading.Thread):
    """One model on one batch."""

    def __init__(self, model: nn.Module, call: Call) -> None:
        super().__init__(daemon=True)
        self._model, self._call = model, call
        self._go, self._back = threading.Semaphore(0), threading.Semaphore(0)
        self._stopping = False
        self.at: tuple[str, Tensor] | None = None
        self.output: Any = None
        self.error: BaseException | None = None
        self.done = False

    def run(self) -> None:
        self._go.acquire()
        try:
            if not self._stopping:
                with torch.no_grad():
                    self.output = self._call(self._model)
        except _Stopped:
            pass
        except BaseException as error:
            self.error = error
        self.at, self.done = None, True
        self._back.release()

    def step(self) -> None:
        """Let the lane run until it arrives somewhere or ends; raises what it raised."""
        self._go.release()
        self._back.acquire()
        if self.error is not None:
            raise self.error

    def wait(self, name: str, x: Tensor) -> None:
        """Called within the lane."""
        self.at = (name, x)
        self._back.release()
        self._go.acquire()
        self.at = None
        if self._stopping:
            raise _Stopped

    def stop(self) -> None:
        if not self.done:
            self._stopping = True
            self._go.release()
            self.join()


def run_in_lockstep(
    models: Sequence[Model], calls: Sequence[Call], arrive: Callable[[str, list[list[Tensor]]], None]
) -> list[list[Any]]:
    """Run every model on every batch; all wait for each other at every layer.

    Args:
        models: Each with its layers by name (the same names in each), and what a layer's input becomes once all have
            arrived there (None: stays).
        calls: One for each batch.
        arrive: Called with a layer's name and its inputs, by model and batch, before any goes on.

    Returns:
        Outputs by model and batch.

    Raises:
        ModelError: Batches do not come to the same layers in the same order.
    """
    lanes = [[_Lane(model, call) for call in calls] for model, _, _ in models]
    everything = [lane for of_model in lanes for lane in of_model]

    def waiting(name: str, change: Callable[[str, Tensor], Tensor] | None) -> Any:
        def hook(layer: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
            lane = threading.current_thread()
            if not isinstance(lane, _Lane) or lane.done:
                return None
            lane.wait(name, inputs[0])
            return None if change is None else (change(name, inputs[0]), *inputs[1:])

        return hook

    with ExitStack() as stack:
        for _, layers, change in models:
            for name, layer in layers.items():
                stack.callback(layer.register_forward_pre_hook(waiting(name, change)).remove)
        for lane in everything:
            lane.start()
            stack.callback(lane.stop)
        while True:
            for lane in everything:
                lane.step()
            if all(lane.done for lane in everything):
                return [[lane.output for lane in of_model] for of_model in lanes]
            names = {lane.at[0] if lane.at else None for lane in everything}
            if len(names) != 1:
                raise ModelError(
                    f"batches come to different layers ({', '.join(sorted(map(str, names)))})",
                    where="post-training quantization",
                    expected="the same layers in the same order, whatever the data",
                )
            arrive(str(names.pop()), [[lane.at[1] for lane in of_model if lane.at] for of_model in lanes])
