"""Which integers arrive at a layer: learned from a trace of the running model, and held against every call.

At its first call a layer has the outermost running module run once more, traced (:mod:`brevitas_a2q._trace.running`);
one such run serves all layers. What it finds is kept with the model's state. Later calls compare types, of the input
and of the quantizers that the range rests on, and the model: its modules, their hooks and numbers, and the shapes
and types of its inputs (:mod:`brevitas_a2q._trace.standing`). Where one has changed, the trace is run again.

Where no trace tells (a layer called alone, sharded parameters, an operation that is not known), the input's metadata
is a claim, and every call looks at the values too: the range is widened before a sum is computed that would need it.
"""

from __future__ import annotations

import enum
import warnings
from dataclasses import dataclass, field
from typing import Any, Final
from weakref import ReferenceType, ref

from brevitas.quant_tensor import IntQuantTensor
from torch import Tensor

from brevitas_a2q._ranges import Value
from brevitas_a2q._trace import (
    Known,
    Standing,
    Trace,
    active_trace,
    doubts_of,
    is_sharded,
    learn_ranges,
    outermost_call,
    upright,
)
from brevitas_a2q.bounds import IntRange
from brevitas_a2q.quant._input_range import Claim, HostCopies, quantizes_own_input, seen_range
from brevitas_a2q.quant._limits import FAR
from brevitas_a2q.quant._zero_points import hull

__all__ = ["Arrivals", "Basis", "arrived", "follows_inputs"]


_MODELS: Final = 4  # that a layer is remembered to run in, beside the last


class Basis(enum.Enum):
    """What a range rests on."""

    UNKNOWN = "unknown"
    DECLARED = "declared by keyword"
    QUANTIZER = "type of the quantizer before it"
    TRACE = "traced from the quantizers before it"
    CLAIM = "its input's metadata, with every value looked at"


def arrived(value: Value) -> IntRange | None:
    """Integers at a positive scale, 0 included; None where there are none or they are too many."""
    if value.codes is None:
        return None
    lo, hi = upright(value).integer_ends()
    return IntRange(int(lo.min()), int(hi.max())).with_zero()


def follows_inputs(layer: Any) -> bool:
    """Whether the weights of a layer are made for what reaches it, so that they may be others in the next run."""
    arrivals = getattr(layer.weight_quant, "arrivals", None)
    return arrivals is not None and layer.weight_quant.is_quant_enabled


@dataclass
class Arrivals:
    """What one weight quantizer knows of its inputs, beyond their range.

    Of the model it was made for: a copy starts without it, keeps the range, and finds the rest at its first call.
    """

    basis: Basis = Basis.UNKNOWN
    reason: str = ""  # why no trace tells
    types: set[tuple[int, bool, bool] | None] = field(default_factory=set)  # of inputs; None: a plain tensor
    widths: list[tuple[Tensor, float]] = field(default_factory=list)  # of the quantizers that it rests on
    copies: HostCopies = field(default_factory=HostCopies)
    trace: ReferenceType[Trace] | None = None  # that noted last
    standings: tuple[Standing, ...] = ()  # of the models that it was of: a layer may run in several
    drops: bool = False  # whether dropout in the model may scale integers up while it trains
    several: bool = False  # whether the layer runs more than once, with one set of weights for all of its inputs
    warned: bool = False

    def __deepcopy__(self, memo: Any) -> Arrivals:
        return Arrivals(Basis.DECLARED if self.basis is Basis.DECLARED else Basis.UNKNOWN)

    def __reduce__(self) -> Any:
        return Arrivals, (Basis.DECLARED if self.basis is Basis.DECLARED else Basis.UNKNOWN,)

    def observe(self, proxy: Any, x: Any) -> None:
        """Know the range of this input before its weights are quantized."""
        layer = proxy.tracked_module_list[0]
        claim = Claim.of(layer, x, self.copies) if isinstance(x, IntQuantTensor) else None
        if claim is not None and quantizes_own_input(layer) and not doubts_of(layer.input_quant):
            self.several = False
            self._note(proxy, claim.range, Basis.QUANTIZER, claim)
            return
        trace = active_trace()
        if trace is not None:
            if trace.learning or self.basis is Basis.UNKNOWN:
                self.note(proxy, trace, trace.of(x), claim)
            return
        if not self._is_current(claim):
            self._learn(proxy, claim)
        if claim is not None and self.basis is Basis.QUANTIZER:
            self._note(proxy, claim.range, Basis.QUANTIZER, claim)
        elif claim is not None and self.basis is Basis.CLAIM:
            self._widen(proxy, claim, seen_range(x))

    def _is_current(self, claim: Claim | None) -> bool:
        if self.basis is Basis.UNKNOWN or (self.basis is Basis.DECLARED and claim is not None):
            return False
        if self.basis is Basis.DECLARED:
            return True
        if (None if claim is None else claim.type) not in self.types:
            return False
        call = outermost_call()
        if not any(standing.holds(call, id(self)) for standing in self.standings) and self.basis is not Basis.CLAIM:
            return False
        return self._widths_stand()

    # --- learning ---------------------------------------------------------------------------------------------------

    def _learn(self, proxy: Any, claim: Claim | None) -> None:
        """Find out by a trace; else go by the claim."""
        before = self.basis, proxy.remembered_range()
        call, self.reason = outermost_call(), ""
        layer, noted = proxy.tracked_module_list[0], False
        if call is None or call.module in (layer, proxy):
            self.reason = "it was called by itself"
        elif is_sharded(call.module):
            self.reason = "its model is sharded; call learn_input_ranges and scale_init_ before it is"
        else:
            try:
                trace = learn_ranges(call)
                noted = self.trace is not None and self.trace() is trace
            except Exception as error:  # of the user's model, in evaluation mode
                self.reason = f"its model does not run in evaluation mode: {error}"
        if (None if claim is None else claim.type) in self.types and (noted or self.basis is not Basis.CLAIM):
            if self.basis is not Basis.CLAIM:
                self._say_what_changed(proxy, *before)
            return
        if claim is None:
            self.basis = before[0] if before[0] is Basis.DECLARED else Basis.UNKNOWN
            return
        known = proxy.remembered_range()
        self.basis, self.types, self.widths = Basis.CLAIM, {claim.type}, []
        if self.reason.startswith("its model") and not self.warned:
            self.warned = True
            warnings.warn(
                f"{proxy.describe()}: inputs not traced, for {self.reason}; {Basis.CLAIM.value}", stacklevel=2
            )
        found = _hull(known, claim.range) if before[0] is Basis.CLAIM else claim.range
        proxy.remember_range(found, claim.codes(found))

    def note(self, proxy: Any, trace: Trace, known: Known | None, claim: Claim | None) -> None:
        """Take over what a trace says of the layer's input."""
        codes = known.value.codes if known is not None else None
        found = arrived(known.value) if known is not None else None
        if codes is not None and claim is not None and _is_the_quantizers(known, claim):
            self._note(proxy, claim.range, Basis.QUANTIZER, claim, trace)
        elif found is not None and not trace.branches:
            self._note(proxy, found, Basis.TRACE, claim, trace, None if codes is None else codes.raw_range)
            self.widths += [(width, float(width)) for width in trace.widths_of(known)]
        elif claim is not None:
            read = f"values are read at {next(iter(trace.branches))}" if trace.branches else ""
            self.reason = read or (known.value.origin if known else "a constant input")
            self._note(proxy, _hull(found, claim.range), Basis.CLAIM, claim, trace)
        else:
            self.reason = known.value.origin if known is not None else "a constant input"
            self._say_that_nothing_bounds_it(proxy, trace)

    def settle(self, proxy: Any, proven: IntRange, raw: IntRange | None, once: bool = False) -> bool:
        """Take over what a trace of the model as it is proves, where it is more than what is known.

        That is so where values widen the range as they come, and where a number has changed that is looked at no more:
        then once, as it may change in every run.

        Args:
            proxy: The layer's weight quantizer.
            proven: Integers that arrive in any of the layer's calls.
            raw: Their codes, where these have a zero-point.
            once: Whether the trace is the first since the model was changed.

        Returns:
            Whether that changes the layer's weights.
        """
        known, codes = proxy.remembered_range(), proxy.remembered_codes()
        proven, raw = _near(proven), raw and _near(raw)
        stands = known is not None and known.contains(proven) and hull(codes, raw) == codes
        moves = self.basis is Basis.CLAIM or (once and self.basis in (Basis.QUANTIZER, Basis.TRACE))
        if not moves or stands:
            return False
        proxy.remember_range(_hull(known, proven), hull(codes, raw))
        if self.basis is not Basis.CLAIM:
            self._say_what_changed(proxy, self.basis, known)
            self.basis = Basis.TRACE  # the type of the quantizer before it says less
        return True

    def forget(self) -> None:
        """Find out again at the next call, as when other numbers were loaded into the model."""
        if self.basis is not Basis.DECLARED:
            self.basis, self.standings = Basis.UNKNOWN, ()

    def _say_that_nothing_bounds_it(self, proxy: Any, trace: Trace) -> None:
        """The model has changed so that a range that was traced, or loaded with its state, is none any more."""
        known = proxy.remembered_range()
        if self.basis is Basis.DECLARED or known is None or (self.basis is Basis.UNKNOWN and self.warned):
            return
        if self.trace is not None and trace is self.trace():  # what reaches it in one of its calls is known, not in all
            self.forget()
            proxy.forget_range()
            return
        if self.basis is Basis.UNKNOWN:
            self.warned = True
        else:
            self._stand(trace.standing)
        warnings.warn(
            f"{proxy.describe()}: nothing bounds its inputs any more ({self.reason}); [{known.lo}, {known.hi}] is "
            "kept, which they may leave. Put a QuantIdentity before it",
            stacklevel=2,
        )

    def _note(
        self,
        proxy: Any,
        found: IntRange,
        basis: Basis,
        claim: Claim | None,
        trace: Trace | None = None,
        raw: IntRange | None = None,
    ) -> None:
        joined = False
        if basis is not Basis.TRACE and claim is not None:
            raw = claim.codes(found)
        again = (
            trace is not None and self.trace is not None and trace is self.trace()
        )  # a layer that runs more than once
        if again:
            found, joined = _hull(proxy.remembered_range(), found), True
            basis = max(basis, self.basis, key=list(Basis).index)
            self.several = True
        elif trace is not None and self._is_of_another_shape(trace, claim):
            found, joined = _hull(proxy.remembered_range(), found), True
            self.widths = []
        elif trace is not None or basis is not self.basis:
            self.types, self.widths, self.several, self.standings = set(), [], False, ()
        self.basis = basis
        if trace is not None:
            self.trace = ref(trace)
            self._stand(trace.standing)
        self.types.add(None if claim is None else claim.type)
        if self.several or len(proxy.tracked_module_list) > 1:
            found, joined = _hull(proxy.remembered_range(), found), True
        # Integers without a zero-point are their own codes.
        codes = hull(proxy.remembered_codes(), raw or (found if proxy.remembered_codes() else None)) if joined else raw
        proxy.remember_range(found, codes)

    def _is_of_another_shape(self, trace: Trace, claim: Claim | None) -> bool:
        """Whether a trace is of the same quantizers as before, of inputs of another shape or in a model around them."""
        if trace.standing is None or any(trace.standing.replaces(each) for each in self.standings):
            return False
        known = bool(self.standings) and (None if claim is None else claim.type) in self.types
        return known and self._widths_stand()

    def _stand(self, standing: Standing | None) -> None:
        if standing is None:
            return
        self.drops = standing.drops
        same = next((each for each in self.standings if standing.is_of(each)), None)
        others = [each for each in self.standings if each is not same and not standing.replaces(each)]
        self.standings = (*others[-_MODELS:], standing if same is None else same.and_in(standing))

    def _widths_stand(self) -> bool:
        return all(self.copies.extremes(f"width {i}", t)[1] == w for i, (t, w) in enumerate(self.widths))

    def _widen(self, proxy: Any, claim: Claim, seen: IntRange) -> None:
        claimed = claim.range
        known = proxy.remembered_range()
        if known is not None and known.contains(seen):
            return
        if not claimed.contains(seen) and not self.warned:
            self.warned = True
            warnings.warn(
                f"{proxy.describe()}: integers in [{seen.lo}, {seen.hi}] reach it, where its input claims "
                f"[{claimed.lo}, {claimed.hi}], and no trace tells more ({self.reason}); its range is widened as they "
                "come. Put a QuantIdentity before it for a range that holds",
                stacklevel=2,
            )
        proxy.remember_range(_hull(known, seen), hull(proxy.remembered_codes(), claim.codes(seen)))

    def _say_what_changed(self, proxy: Any, basis: Basis, known: IntRange | None) -> None:
        now = proxy.remembered_range()
        if known is None or now == known or basis is Basis.DECLARED or now is None:
            return
        warnings.warn(
            f"{proxy.describe()}: its inputs have changed from [{known.lo}, {known.hi}] to [{now.lo}, {now.hi}]; its "
            "weights follow",
            stacklevel=2,
        )


def _near(found: IntRange) -> IntRange:
    return IntRange(max(found.lo, -FAR), min(found.hi, FAR))


def _hull(first: IntRange | None, second: IntRange) -> IntRange:
    return second if first is None else IntRange(min(first.lo, second.lo), max(first.hi, second.hi))


def _is_the_quantizers(known: Known | None, claim: Claim) -> bool:
    """Whether the claim is that of a quantizer whose integers arrive unchanged."""
    codes = known.value.codes if known is not None else None
    if codes is None or (codes.scale < 0).any():
        return False
    if (codes.dtype.bit_width, codes.dtype.signed, codes.narrow) != (claim.bits, claim.signed, claim.narrow):
        return False
    if len(known.sources - {"input"}) != 1:  # type: ignore[union-attr]
        return False
    points = IntRange(int(codes.zero_point.min()), int(codes.zero_point.max()))
    type_lo, type_hi = codes.type_range()
    direct = (codes.lo <= type_lo).all() and (codes.hi >= type_hi).all()
    return bool(direct) and claim.zero_point == (points.lo, points.hi)
