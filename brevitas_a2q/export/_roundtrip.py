"""Does the exported file compute the model's integers? Checked at every quantizer, layer by layer.

Each layer of the file is given what the PyTorch model's layer was given: after a quantizer's output was compared, the
PyTorch value takes its place. A difference is thus found where it arises and named there, and equality at every
quantizer is, by induction over the layers, equality of the networks.

Both sides sum floats, in different orders. Where a sum lies on the boundary between two codes to within float32's
precision, either code is right, and the two sides may differ by one code without any defect of the file. Such a
difference is accepted only if the file itself gives the PyTorch code for an input moved by at most
:data:`TOLERANCE` of the quantizer's range, and it is counted, never hidden: see ``rounding_ties``. Weights, biases
and network inputs have no sums before them and are allowed no tie. The network's float outputs, behind the last
quantizer, must agree to the same tolerance of their largest value.

Ties are rare where values are spread out. Where a quantizer's values lie on boundaries by their nature (the average of
two integers at the scale of one), both sides decide a good part of them at will, and the file is another network: more
ties than :data:`SYSTEMATIC` of a quantizer's integers are refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from torch import nn

from brevitas_a2q._terminal import progress
from brevitas_a2q.errors import ExportError
from brevitas_a2q.export._cleaning import get_property
from brevitas_a2q.export._executor import Executor
from brevitas_a2q.export._recording import Args, QuantizerCall, Recording, codes_of, record
from brevitas_a2q.export._shapes import wrapped
from brevitas_a2q.export._stimuli import stimuli
from brevitas_a2q.export._tracing import CALL, LAYER, QUANTIZER
from brevitas_a2q.export._witness import driven_by_witness
from brevitas_a2q.verify._certificate import Certificate
from brevitas_a2q.verify._sums import End

__all__ = ["TOLERANCE", "Execution", "Expectation", "RoundTrip", "expectations", "round_trip"]

TOLERANCE: Final = 2.0**-16
"""Largest distance from a rounding boundary, as a share of the quantizer's range (256 times float32's precision)."""

SYSTEMATIC: Final = 2.0**-8
"""Largest share of a quantizer's integers that PyTorch and the file may decide differently."""

_FEW: Final = 4  # ties that are no pattern, however small the tensor

Expectation = tuple[str, Args, Recording]
"""Name of an input, the input, and what the model gave for it."""

_REPORT: Final = "no file was written; please report this with the model"


@dataclass(frozen=True)
class RoundTrip:
    """What was compared. ``rounding_ties`` counts activations that lie on a rounding boundary; see the module.

    ``ties`` says at which quantizers: name and count.
    """

    inputs: tuple[str, ...]
    quantizers: int
    codes: int
    rounding_ties: int
    layers_driven: int  # to both ends of their sums, by their witnesses
    ties: tuple[tuple[str, int], ...] = ()


def expectations(model: nn.Module, args: Args, claim: Certificate) -> list[Expectation]:
    """What the model gives for the example, random, extreme and witness inputs.

    Recorded before any exporter has touched the model.

    Args:
        model: In evaluation mode.
        args: Example inputs.
        claim: Its certificate, which has every layer's witnesses.
    """
    calls = record(model, args).calls
    # The example comes first; weights and biases are compared with it, and do not change afterwards.
    given, found = list(stimuli(args, calls)), list[Expectation]()
    ends: tuple[End, End] = ("upper", "lower")
    with progress("export: integers of the model", len(given) + len(ends)) as step:
        for name, inputs in given:
            found.append((name, inputs, record(model, inputs, parameters=inputs is args)))
            step()
        for end in ends:
            with driven_by_witness(model, claim, end) as driven:
                recording = record(model, args, parameters=False)
            found.append((f"{end} witness", args, replace(recording, driven=driven)))
            step()
    return found


def round_trip(file: Any, expected: Sequence[Expectation]) -> RoundTrip:
    """Compare an exported file with what its model gave.

    Args:
        file: ``onnx.ModelProto`` with named quantizers and inferred shapes.
        expected: As :func:`expectations` returns it.

    Raises:
        ExportError: Naming the first quantizer whose integers differ.
    """
    constants: dict[str, Any] = {}
    # Sums that cancel leave float residue of the size of their terms, so outputs are compared on the scale of all runs.
    outputs = zip(*(recording.outputs for _, _, recording in expected), strict=True)
    largest = [max(float(np.abs(value).max(initial=0.0)) for value in runs) for runs in outputs]
    wrapper = wrapped(file)
    executor = Executor(wrapper)
    executions = [Execution(wrapper, recording, name, largest, constants, executor) for name, _, recording in expected]
    with progress("export: integers of the file", len(executions)) as step:
        for execution, (_, inputs, _) in zip(executions, expected, strict=True):
            execution.run(inputs)
            step()
    ties = _ties_by_quantizer(executions)
    return RoundTrip(
        inputs=tuple(execution.name for execution in executions),
        quantizers=len(executions[0].seen),
        codes=sum(execution.codes for execution in executions),
        rounding_ties=sum(execution.rounding_ties for execution in executions),
        layers_driven=max(len(recording.driven) for _, _, recording in expected),
        ties=ties,
    )


def _ties_by_quantizer(executions: Sequence[Execution]) -> tuple[tuple[str, int], ...]:
    """How many ties each quantizer has, of those that have any.

    Raises:
        ExportError: Naming the first quantizer that has too many to be chance.
    """
    ties, compared = Counter[str](), Counter[str]()
    for execution in executions:
        ties.update(execution.ties)
        compared.update(execution.compared)
    for name, count in ties.items():
        if count > max(_FEW, SYSTEMATIC * compared[name]):
            raise ExportError(
                f"{count} of {compared[name]} integers lie on rounding boundaries, where PyTorch and the file decide "
                "differently",
                where=f"quantizer {name}",
                expected=f"at most {SYSTEMATIC:.1%}",
                remedy="give it another scale than that of the integers that are averaged or summed before it",
            )
    return tuple(sorted(ties.items()))


@dataclass
class Execution:
    """One run of the file, node by node, beside what PyTorch recorded for the same input."""

    wrapper: Any  # ModelWrapper of the file
    recording: Recording
    name: str  # of the input
    largest: Sequence[float]  # magnitude of each output over all inputs
    constants: dict[str, Any] = field(default_factory=dict)  # weights and biases that an earlier run compared
    executor: Executor | None = None
    codes: int = 0
    rounding_ties: int = 0
    seen: set[str] = field(default_factory=set)
    ties: Counter[str] = field(default_factory=Counter)  # by quantizer
    compared: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.executor = self.executor or Executor(self.wrapper)
        # A linear layer's weights, which clean-up stores transposed: MatMul has no transB.
        self.matrices = {node.input[1] for node in self.wrapper.graph.node if node.op_type == "MatMul"}
        self.producers = {output: node for node in self.wrapper.graph.node for output in node.output}

    def run(self, args: Args) -> None:
        """Execute and compare.

        Raises:
            ExportError: Naming the first quantizer whose integers differ.
        """
        context = self._context(args)
        for node in self.wrapper.graph.node:
            if node.output[0] in self.constants:
                context[node.output[0]] = self.constants[node.output[0]]
                continue
            self._run_node(node, context)
            quantizer = get_property(node, QUANTIZER)
            if quantizer is not None:
                call = self._call(quantizer, int(get_property(node, CALL) or 0))
                if node.output[0] in self.matrices and np.array_equal(context[node.output[0]], call.value.T):
                    call = call.transposed()
                self._compare(node, context, call)
                context[node.output[0]] = call.value
                if call.is_parameter:
                    self.constants[node.output[0]] = call.value
        missing = sorted(set(self.recording.calls) - self.seen)
        if missing:
            raise ExportError("is not in the file", where=f"quantizer {missing[0]}", remedy=_REPORT)
        self._compare_outputs(context)

    def _context(self, args: Args) -> dict[str, Any]:
        context: dict[str, Any] = self.wrapper.make_empty_exec_context()
        constants = {tensor.name for tensor in self.wrapper.graph.initializer}
        self.inputs = [value.name for value in self.wrapper.graph.input if value.name not in constants]
        if len(self.inputs) != len(args):
            raise ExportError(
                f"found {len(self.inputs)} inputs in the file", expected=f"{len(args)}, as many as args", remedy=_REPORT
            )
        return context | {name: value.detach().numpy() for name, value in zip(self.inputs, args, strict=True)}

    def _run_node(self, node: Any, context: dict[str, Any]) -> None:
        driven = self.recording.driven.get(get_property(node, LAYER) or "")
        if driven is None:
            self._execute(node, context)
            return
        # Only this layer sees the input that PyTorch's layer was given; other readers of the tensor do not.
        reached = context[node.input[0]]
        context[node.input[0]] = driven
        self._execute(node, context)
        context[node.input[0]] = reached

    def _execute(self, node: Any, context: dict[str, Any]) -> None:
        assert self.executor is not None
        try:
            self.executor.run(node, context)
        except Exception as error:  # qonnx' and onnxruntime's are of many types
            raise ExportError(
                f"cannot be executed ({type(error).__name__}: {' '.join(str(error).split())[:200]})",
                where=f"node {node.name} ({node.op_type})",
                expected="an operator that qonnx or onnxruntime computes",
            ) from error

    def _call(self, quantizer: str, index: int) -> QuantizerCall:
        several = self.recording.calls.get(quantizer, ())
        if not several:
            raise ExportError("is in the file, but the model does not call it", where=f"quantizer {quantizer}")
        self.seen.add(quantizer)
        # A parameter is recorded once, and equal calls of a quantizer share one node.
        return several[min(index, len(several) - 1)]

    def _compare(self, node: Any, context: Mapping[str, Any], call: QuantizerCall) -> None:
        """Count the codes and the ties among them; raises if anything else differs."""
        given, where = context[node.output[0]], f"quantizer {call.name}"
        if given.shape != call.value.shape:
            raise ExportError(
                f"found shape {given.shape} in the file", where=where, expected=str(call.value.shape), remedy=_REPORT
            )
        self.codes += given.size
        self.compared[call.name] += given.size
        if np.array_equal(given, call.value):
            return
        codes, expected = codes_of(given, call.scale, call.zero_point), call.codes
        differ = codes != expected
        if not differ.any():
            raise ExportError("has another scale or zero-point in the file", where=where, remedy=_REPORT)
        wrong = differ & ~self._ties(node, context, call)
        if wrong.any():
            first = tuple(int(index[0]) for index in np.nonzero(wrong))
            raise ExportError(
                f"{int(wrong.sum())} of {wrong.size} integers differ between PyTorch and the file on {self.name} "
                f"inputs, first at {first}: {int(codes[first])}",
                where=where,
                expected=str(int(expected[first])),
                remedy=_REPORT,
            )
        self.rounding_ties += int(differ.sum())
        self.ties[call.name] += int(differ.sum())

    def _ties(self, node: Any, context: Mapping[str, Any], call: QuantizerCall) -> npt.NDArray[np.bool_]:
        """Where the file gives PyTorch's code for an input moved by no more than the tolerance."""
        chain = [node]
        while chain[0].op_type in ("DequantizeLinear", "Clip") and chain[0].input[0] in self.producers:
            chain.insert(0, self.producers[chain[0].input[0]])
        source, found = chain[0].input[0], np.zeros(call.value.shape, np.bool_)
        # QuantizeLinear rounds x / scale to even and adds the zero-point, Quant adds it first: they differ half-way.
        shifted = chain[0].op_type == "QuantizeLinear" and bool(call.zero_point.any())
        if call.is_parameter or (source in self.inputs and not shifted):
            return found
        reach = TOLERANCE * call.scale * (1 << call.bit_width)
        for direction in (-reach, reach):
            moved = dict(context)
            moved[source] = (context[source] + direction).astype(np.float32)
            for part in chain:
                self._execute(part, moved)
            found |= codes_of(moved[node.output[0]], call.scale, call.zero_point) == call.codes
        return found

    def _compare_outputs(self, context: Mapping[str, Any]) -> None:
        names = [value.name for value in self.wrapper.graph.output]
        for name, expected, largest in zip(names, self.recording.outputs, self.largest, strict=True):
            found = context[name]
            if found.shape != expected.shape:
                raise ExportError(f"found shape {found.shape}", where=f"output {name}", expected=str(expected.shape))
            reach = TOLERANCE * largest
            distance = float(np.abs(found - expected).max(initial=0.0))
            if distance > reach:
                raise ExportError(
                    f"differs by {distance} between PyTorch and the file on {self.name} inputs",
                    where=f"output {name}",
                    expected=f"at most {reach}",
                    remedy=_REPORT,
                )
