"""The trace itself: every operation of a running model, seen where PyTorch dispatches it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from brevitas.quant_tensor import IntQuantTensor, QuantTensor
from torch import Tensor, nn

from brevitas_a2q._brevitas import (
    BiasQuantProxyFromInjectorBase,
    TorchDispatchMode,
    WeightQuantProxyFromInjectorBase,
    _pytree,
)
from brevitas_a2q._ranges import MAX_ANNOTATION, Value
from brevitas_a2q._trace.arguments import has_numbers, is_random, is_uninitialised, reading, shows_other_memory, written
from brevitas_a2q._trace.layer_sums import sums_of_layer
from brevitas_a2q._trace.leaves import leaves, mapped, tensors_in
from brevitas_a2q._trace.memory import Known, Memory, address, plain_tensor, shape_of, unscaled
from brevitas_a2q._trace.modules import clamps_its_own, intercepted, is_brevitas_product, parts_of
from brevitas_a2q._trace.operations import apply_rule
from brevitas_a2q._trace.outside import Product, factors_of, products_of
from brevitas_a2q._trace.pausing import Pause
from brevitas_a2q._trace.precision import HALVES, MOVEMENTS, in_type
from brevitas_a2q._trace.quantizers import (
    QUANTIZERS,
    Scales,
    constant_codes,
    doubts_of,
    metadata,
    quantized,
    scale_follows_input,
)
from brevitas_a2q._trace.questions import questions
from brevitas_a2q._trace.reads import DirectReads, depends_on_values, place
from brevitas_a2q._trace.state import NOTHING, Doubts, State, own_tensors

if TYPE_CHECKING:
    from brevitas_a2q._trace.standing import Standing

__all__ = ["Known", "Product", "Trace", "active_trace", "plain_tensor"]

_ACTIVE: Final[ContextVar[Trace | None]] = ContextVar("active range trace", default=None)
_SILENT: Final = (*QUANTIZERS, WeightQuantProxyFromInjectorBase, BiasQuantProxyFromInjectorBase)
_READ: Final = "numbers that may come from the input, which was read"
Intercept = Callable[..., Any]


def active_trace() -> Trace | None:
    """The trace that runs in this context, if any."""
    return _ACTIVE.get()


class Trace(TorchDispatchMode):
    """Follows what is known of every tensor while a model runs.

    Args:
        model: Its quantizers, layers and modules are watched while the trace is active; nothing of it stays after.
        learning: Whether parameters and buffers will still change: then a range rests on no number of theirs, nor two
            scales on being equal by chance.
        doubts: What the model changes while it runs, as an earlier trace has found.
        closed: Whether tensors are unknown that neither the model holds nor an operation has made; else constants.
        standing: What is traced, for those that ask later whether it still stands.

    Example:
        >>> import brevitas.nn as qnn
        >>> quantizer = qnn.QuantReLU(bit_width=4).eval()
        >>> trace, x = Trace(quantizer), torch.ones(1, 1, 2, 2)
        >>> with torch.no_grad(), trace.running(x):
        ...     pooled = torch.nn.functional.avg_pool2d(quantizer(x), 2)
        >>> trace.of(pooled).value.codes.range
        IntRange(lo=0, hi=60)
    """

    supports_higher_order_operators = True  # control flow as operations

    def __init__(
        self,
        model: nn.Module,
        learning: bool = False,
        doubts: Doubts = NOTHING,
        closed: bool = True,
        standing: Standing | None = None,
    ) -> None:
        super().__init__()
        self.model, self.learning, self.doubts, self.standing = model, learning, doubts, standing
        self.products: list[Product] = []
        self.branches: dict[str, None] = {}  # places that read values, in order
        self.counters: dict[str, None] = {}  # numbers that modules have changed
        self.changed: frozenset[str] = frozenset()  # names of tensors that the model has written or replaced
        self.layers: dict[str, None] = {}  # quantized layers that ran, in order
        self.by_hand: dict[str, str] = {}  # layers whose weights were asked for outside of them, and by which module
        self.calls: Intercept | None = None  # sees every quantized layer's product
        self._memory = Memory(closed)
        self._scales = Scales(learning)
        self._widths: dict[Any, Tensor] = {}  # of quantizers
        self._given: list[tuple[Tensor, int]] = []  # to the quantizer or layer that runs, and how often written before
        self._depth = 0  # of quantizers and layers, whose own operations are not looked at
        self._reads = DirectReads(self._read, self._memory.copied)
        self.asked = self._reads.asked  # places that ask whether gradients are on
        self._pause = Pause(self._reads, self)
        self._names: list[tuple[str, nn.Module]] = []
        self._own: frozenset[int] = frozenset()  # addresses of tensors that the model holds
        self._numbers_matter = False  # whether an operation has computed with numbers of Python

    @contextmanager
    def running(self, *inputs: Any) -> Iterator[Trace]:
        """Trace what runs inside of the context.

        Args:
            *inputs: What the model is given: tensors of any value, in any nesting.
        """
        own = own_tensors(self.model)
        before = State.of(self.model, _SILENT, own)
        with torch.no_grad():
            for leaf in _pytree.tree_leaves(inputs, is_leaf=lambda v: isinstance(v, QuantTensor)):
                self._unbounded(plain_tensor(leaf), "an input of the model", frozenset({"input"}))
                if not isinstance(leaf, (Tensor, QuantTensor, str, bool, type(None))):
                    self.doubts |= Doubts(numbers=True)  # numbers and arrays are input as well
                self._declare(tuple(leaf) if isinstance(leaf, QuantTensor) else ())
            self._take_over(own)
        handles = [handle for part in parts_of(self.model, _SILENT) for handle in self._watch(*part)]
        token = _ACTIVE.set(self)
        try:
            with intercepted(self.model, self._layer), questions(self._reads.ask), self._reads, self:
                yield self
        finally:
            _ACTIVE.reset(token)
            for handle in handles:
                handle.remove()
        self.counters = dict.fromkeys(before.other_numbers(self.model, _SILENT))
        self.changed = before.changed(self.model, self._memory)
        self.doubts |= before.doubts(
            self.changed, self._memory, self.counters, bool(self.branches), self._numbers_matter
        )

    def _take_over(self, own: dict[str, Tensor]) -> None:
        """Know the tensors that the model holds: as constants, unless they change."""
        for name, tensor in own.items():
            if name in self.doubts.tensors:
                self._unbounded(tensor, "what the model remembers of earlier inputs", frozenset({"input"}))
            elif self.learning:
                self._unbounded(tensor, "a parameter", frozenset({"input"}))
        self._declare(own)
        self._own = frozenset(address(tensor) for name, tensor in own.items() if name not in self.doubts.tensors)

    def _declare(self, tensors: Any) -> None:
        for tensor in tensors_in(tensors):
            self._memory.declare(tensor)

    def _made(self, tensors: Any) -> None:
        """What quantizers and layers made of parameters: constants, unless these will change."""
        for tensor in tensors_in(tensors) if self.learning else ():
            if tensor not in self._memory:
                self._unbounded(tensor, "made of parameters", frozenset())
        self._declare(tensors)

    def of(self, value: Any) -> Known | None:
        """What is known of a tensor or QuantTensor; None of constants."""
        tensor = plain_tensor(value)
        return self._memory.get(tensor) if isinstance(tensor, Tensor) else None

    def note(self, tensor: Tensor, known: Known) -> None:
        """Say what is known of a tensor."""
        self._memory.set(tensor, known)

    def widths_of(self, known: Known | None) -> list[Tensor]:
        """Bit widths of the quantizers that a value rests on, as they hold them."""
        sources = known.sources if known is not None else frozenset()
        return [width for proxy, width in self._widths.items() if proxy in sources]

    def _unbounded(self, tensor: Any, origin: str, sources: frozenset[Any]) -> None:
        if isinstance(tensor, Tensor):
            self._memory.set(tensor, Known(Value.unknown(shape_of(tensor), origin), sources))

    def _watch(self, name: str, module: nn.Module) -> Iterator[Any]:
        if isinstance(module, _SILENT):
            seen = isinstance(module, QUANTIZERS) or not clamps_its_own(module)
            enter = module.register_forward_pre_hook
            yield enter(lambda _, a, b: self._enter((*a, *b.values()) if seen else ()), with_kwargs=True)
            yield module.register_forward_hook(self._quantizer(name), with_kwargs=True, always_call=True)
        else:
            yield module.register_forward_pre_hook(lambda module, _: self._names.append((name, module)))
            yield module.register_forward_hook(lambda *_: self._leave_module(), always_call=True)

    def _enter(self, given: Any) -> None:
        if not self._depth:
            self._pause.begin()
            tensors = (plain_tensor(each) for each in given)
            self._given = [(t, t._version) for t in tensors if isinstance(t, Tensor) and not t.is_inference()]
        self._depth += 1

    def _leave(self) -> None:
        if self._depth:
            return
        for tensor in (tensor for tensor, version in self._given if tensor._version != version):
            unknown = Value.unknown(shape_of(tensor), "written by what it was given to")
            self._memory.write(tensor, Known(unknown, frozenset({"input"})))
        self._given = []
        self._pause.end()

    def _leave_module(self) -> None:
        del self._names[-1:]

    def _quantizer(self, name: str) -> Callable[..., None]:
        origin = name.removesuffix("_quant").removesuffix(".act").removesuffix(".output") or "quantizer"

        def note(proxy: Any, inputs: Any, output: Any) -> None:
            if not isinstance(proxy, QUANTIZERS):
                if isinstance(proxy, WeightQuantProxyFromInjectorBase):
                    self._note_weight(name.removesuffix(".weight_quant"), proxy, output)
                self._made(output)
                return
            self._made(metadata(output))
            passed = not proxy.is_quant_enabled and output is inputs[0]
            if isinstance(plain_tensor(output), Tensor) and not passed:
                self._note_quantized(proxy, inputs, output, f"data type of {origin}")

        def hook(proxy: Any, inputs: Any, named: Any, output: Any) -> None:
            self._depth -= 1
            try:
                note(proxy, (*inputs, *named.values()), output)
            finally:
                self._leave()

        return hook

    def _note_weight(self, name: str, proxy: Any, output: Any) -> None:
        """Weights that somebody else than the layer asks for are multiplied by hand."""
        owner, module = self._names[-1] if self._names else ("", None)
        if self._depth or module in proxy.tracked_module_list:
            return
        self.by_hand[name] = owner or type(self.model).__name__
        if self.learning:
            self._unbounded(plain_tensor(output), "a parameter", frozenset({"input"}))
        elif isinstance(output, IntQuantTensor):
            self._memory.set(output.value, Known(constant_codes(output, f"weights of {name}")))

    def _note_quantized(self, proxy: Any, inputs: Any, output: Any, origin: str) -> None:
        before = self.of(inputs[0])
        tensor = plain_tensor(output)
        name = origin.removeprefix("data type of ")
        if doubt := doubts_of(proxy, name):
            self._unbounded(tensor, doubt, frozenset({"input"}))
            return
        moves = scale_follows_input(proxy)
        if moves:
            self._unbounded(getattr(output, "scale", None), f"the scale of {name}", frozenset({"input"}))
        if before is None and not self.learning and not self._numbers_change and not moves:
            self._memory.declare(tensor)
            if isinstance(output, IntQuantTensor):
                self._memory.set(tensor, Known(constant_codes(output, origin)))
            return
        value = quantized(proxy, output, shape_of(tensor), self._scales, origin)
        sources = (before.sources if before else frozenset()) & {"input"}
        self._memory.set(tensor, Known(value, sources | {proxy}, moves=moves))
        if isinstance(output, IntQuantTensor):
            self._widths[proxy] = output.bit_width.detach()
        if self.learning and value.codes is not None and not value.codes.zero_point.any():
            # Brevitas' own arithmetic divides and multiplies by them.
            for each, number in ((output.scale, value.codes.scale), (output.zero_point, np.zeros(()))):
                shaped = np.broadcast_to(number, tuple(each.shape))
                self._memory.set(each, Known(Value.constant(np.asarray(shaped))))

    def _layer(self, name: str, layer: Any, original: Any, x: Any, weight: Any, bias: Any) -> Any:
        known = self.of(x)
        self._enter((x,))
        self.layers[name] = None
        try:
            if self.calls is None:
                output = original(x, weight, bias)
            else:
                output = self.calls(name, layer, original, x, weight, bias)
        finally:
            self._depth -= 1
            self._leave()
        tensor = plain_tensor(output)
        self._made(metadata(output))
        if known is None:
            self._declare(tensor)
        elif isinstance(tensor, Tensor):
            value = Value.unknown(shape_of(tensor), "a product of its own")
            if is_brevitas_product(original):
                value = sums_of_layer(layer, known.value, weight, bias, shape_of(tensor), self._scales)
            self._memory.set(tensor, Known(value, known.sources))
        return output

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self._depth:
            return func(*args, **kwargs)
        if shows_other_memory(func):
            return self._memory.shown(func(*args, **kwargs))
        tensors = tensors_in((args, kwargs))
        if not isinstance(func, torch._ops.OpOverload):
            return self._of_functions(func, args, kwargs, tensors)
        name = func._schema.name.removeprefix("aten::")
        if name.startswith("lift_fresh"):  # of numbers: those of tensors were seen being read
            self._declare(tensors)
        known = [found for found in map(self._memory.get, tensors) if found is not None]
        draws = is_random(func)
        if not known and not draws:
            return self._constant(func, args, kwargs)
        if any("input" in k.sources for k in known) and depends_on_values(func, args):
            self._branch()
        writes = written(func, args, kwargs)
        moves = any(k.moves for k in known)
        if moves and (name not in MOVEMENTS or len(tensors) > 1):
            moves, known = False, [Known(Value.unknown(k.value.shape, "a scale that moves"), k.sources) for k in known]
            as_value: Callable[[Any], Any] = unscaled
        else:
            as_value = self._as_value
        given, named = mapped(as_value, reading(func, args, kwargs))
        factors = next((k.factors for k in known if k.factors is not None), None)
        self.products += products_of(self._names[-1][0] if self._names else "", name, given, factors)
        factors = factors_of(name, given) or factors
        result = func(*args, **kwargs)
        # Random numbers are as good as inputs: what reads them does something else the next time.
        sources = frozenset({"input"} if draws else ()).union(*(k.sources for k in known))
        results = tensors_in(result) or writes
        after = self._results(func, name, (args, kwargs), (given, named), results)
        for tensor, value in zip(results, after, strict=True):
            note = self._memory.write if any(tensor is write for write in writes) else self._memory.set
            note(tensor, Known(value, sources, factors, moves))
        for tensor in (each for each in writes if not any(each is result for result in results)):
            self._memory.write(tensor, Known(Value.unknown(shape_of(tensor), name), sources))
        return result

    def _of_functions(self, func: Any, args: Any, kwargs: Any, tensors: list[Tensor]) -> Any:
        """``torch.cond`` and its like: what they make of tensors is unknown, and these are read."""
        if any(self._memory.get(tensor) is not None for tensor in tensors):
            self._branch()
        result = func(*args, **kwargs)
        for leaf in leaves(result):
            self._unbounded(leaf, f"{func.__name__} of functions", frozenset({"input"}))
        return result

    def _constant(self, func: Any, args: Any, kwargs: Any) -> Any:
        """An operation on constants alone makes constants, unless it leaves memory as it finds it."""
        result = func(*args, **kwargs)
        if is_uninitialised(func):
            self._unbounded(result, "memory that nothing has written", frozenset())
            return result
        for tensor in written(func, args, kwargs):
            self._memory.mark_written(tensor)
        self._declare(result)
        return result

    def _results(self, func: Any, name: str, called: Any, given: Any, results: list[Tensor]) -> list[Value]:
        if has_numbers(func, *called):
            self._numbers_matter = True
            if self._numbers_change:
                return [Value.unknown(shape_of(result), _READ) for result in results]
        name = name if name.endswith("__") else name.rstrip("_")
        args, kwargs = given
        after = apply_rule(name, args, kwargs, [shape_of(result) for result in results])
        operands, alpha = leaves(args), float(kwargs.get("alpha", 1))
        return [in_type(v, name, r.dtype, operands, alpha) for v, r in zip(after, results, strict=True)]

    def _as_value(self, leaf: Any) -> Any:
        if not isinstance(leaf, Tensor):
            return leaf
        found = self._memory.get(leaf)
        if found is not None:
            return found.value
        if leaf.numel() > MAX_ANNOTATION or leaf.is_complex() or not leaf.numel():
            return Value.unknown(shape_of(leaf), "a constant")
        if address(leaf) not in self._own:
            self._numbers_matter = True
            if self._numbers_change:
                return Value.unknown(shape_of(leaf), _READ)
        number = leaf.detach().to("cpu")
        return Value.constant((number.float() if number.dtype in HALVES else number).numpy())

    @property
    def _numbers_change(self) -> bool:
        """Whether numbers of Python may be others in the next call."""
        return bool(self.branches) or self.doubts.numbers

    def _branch(self) -> None:
        where = place()
        if where is not None:
            self.branches[where] = None

    def _read(self, tensor: Tensor, shared: bool) -> None:
        known = None if self._depth else self._memory.get(tensor)
        if known is None or "input" not in known.sources:
            return
        self._branch()
        if shared:
            unknown = Value.unknown(shape_of(tensor), "memory that is shared with Python")
            self._memory.write(tensor, Known(unknown, known.sources))
