"""Exact integer bounds on the width of an accumulator.

The same few integers set the quantizer's budget, the certificate and the estimator's accumulator width, so this module
imports the standard library only, and computes with Python integers only: no floating-point ``log2``, no rounding.

Symbols: ``M`` weight bits, ``N`` activation bits, ``P`` accumulator bits, ``K`` products per dot product, ``q`` integer
weights, ``x`` integer inputs. ``S+`` and ``S-`` are the sums of the positive and of the negated negative weights of one
output channel. A signed P-bit accumulator holds ``[-2^(P-1), 2^(P-1) - 1]``.

Sources: v1 = arXiv 2301.13376; A2Q = arXiv 2308.13504 (ICCV 2023); A2Q+ = arXiv 2401.10432 (ICML 2024).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from brevitas_a2q.errors import A2QError

__all__ = [
    "IntRange",
    "a2q_budget",
    "a2q_plus_budget",
    "accumulator_range",
    "data_type_bound",
    "data_type_bound_exact",
    "exact_range",
    "input_range",
    "required_bit_width",
    "two_sided_budget",
    "weight_bound",
    "weight_range",
]

MIN_ACCUMULATOR_BITS: Final = 2
MAX_ACCUMULATOR_BITS: Final = 64
MAX_INPUT_BITS: Final = 16
MAX_WEIGHT_BITS: Final = 16


def _integer(name: str, value: int, low: int, high: int | None = None) -> int:
    """Check that ``value`` is an integer within ``[low, high]``; booleans and floats are refused."""
    span = f"an integer of at least {low}" if high is None else f"an integer from {low} to {high}"
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise A2QError(f"found {name} = {value!r}", expected=span)
    value = value.__index__()
    if value < low or (high is not None and value > high):
        raise A2QError(f"found {name} = {value}", expected=span)
    return value


@dataclass(frozen=True)
class IntRange:
    """A closed interval of integers ``[lo, hi]``.

    Example:
        >>> IntRange(-3, 4).with_zero().bit_width
        4
    """

    lo: int
    hi: int

    def __post_init__(self) -> None:
        if self.lo > self.hi:
            raise A2QError(f"found an empty range [{self.lo}, {self.hi}]", expected="lo <= hi")

    def __contains__(self, value: int) -> bool:
        return self.lo <= value <= self.hi

    def contains(self, other: IntRange) -> bool:
        """Whether every integer of ``other`` lies in this range."""
        return self.lo <= other.lo and other.hi <= self.hi

    def with_zero(self) -> IntRange:
        """The smallest range that also holds 0 (padding, empty sums and partial sums produce it)."""
        return IntRange(min(self.lo, 0), max(self.hi, 0))

    @property
    def bit_width(self) -> int:
        """Smallest two's complement width that holds the range; see :func:`required_bit_width`."""
        return required_bit_width(self.lo, self.hi)


def required_bit_width(lo: int, hi: int) -> int:
    """Smallest P with ``-2^(P-1) <= lo`` and ``hi <= 2^(P-1) - 1``.

    Args:
        lo: Lowest value to hold.
        hi: Highest value to hold.

    Returns:
        Width in bits, at least 1.

    Example:
        >>> required_bit_width(-128, 127), required_bit_width(-129, 0), required_bit_width(0, 128)
        (8, 9, 9)
    """
    # In two's complement n >= 0 needs n.bit_length() + 1 bits, and n < 0 as many as ~n = -n - 1.
    return 1 + max((v if v >= 0 else ~v).bit_length() for v in (int(lo), int(hi)))


def accumulator_range(accumulator_bit_width: int) -> IntRange:
    """What a signed accumulator of ``P`` bits holds: ``[-2^(P-1), 2^(P-1) - 1]``.

    Args:
        accumulator_bit_width: P, from 2 to 64.

    Example:
        >>> accumulator_range(8)
        IntRange(lo=-128, hi=127)
    """
    bits = _integer("accumulator_bit_width", accumulator_bit_width, MIN_ACCUMULATOR_BITS, MAX_ACCUMULATOR_BITS)
    return IntRange(-(1 << (bits - 1)), (1 << (bits - 1)) - 1)


def _code_range(bits: int, signed: bool, narrow: bool) -> IntRange:
    # Brevitas' convention: a narrow signed type gives up its lowest code, a narrow unsigned one its highest.
    if signed:
        return IntRange(-(1 << (bits - 1)) + int(narrow), (1 << (bits - 1)) - 1)
    return IntRange(0, (1 << bits) - 1 - int(narrow))


BIPOLAR: Final = IntRange(-1, 1)
"""What a signed bit can multiply, as QONNX and Brevitas' binary quantizers have it: -1 or 1, and 0 from padding."""


def input_range(bit_width: int, signed: bool, *, narrow_range: bool = False, zero_point: int = 0) -> IntRange:
    """Values that one quantized input can multiply: its codes less the zero-point, with 0 included.

    Two's complement, so one signed bit is -1 or 0; bipolar inputs are :data:`BIPOLAR`.

    Zero is included because padding inserts it and because a partial sum may not have met the input yet.

    Args:
        bit_width: N, from 1 to 16.
        signed: Whether the codes are two's complement.
        narrow_range: Whether the lowest signed (highest unsigned) code is left out, as in Brevitas.
        zero_point: Integer zero-point, subtracted from the code before the product.

    Example:
        >>> input_range(4, signed=False), input_range(8, signed=False, zero_point=128)
        (IntRange(lo=0, hi=15), IntRange(lo=-128, hi=127))
    """
    bits = _integer("input bit_width", bit_width, 1, MAX_INPUT_BITS)
    codes = _code_range(bits, signed, narrow_range)
    return IntRange(codes.lo - int(zero_point), codes.hi - int(zero_point)).with_zero()


def weight_range(bit_width: int, *, narrow_range: bool = True, signed: bool = True) -> IntRange:
    """Integer weights of ``M`` bits; narrow ``[-(2^(M-1) - 1), 2^(M-1) - 1]`` unless told otherwise.

    Example:
        >>> weight_range(4), weight_range(4, narrow_range=False)
        (IntRange(lo=-7, hi=7), IntRange(lo=-8, hi=7))
    """
    bits = _integer("weight bit_width", bit_width, 1, MAX_WEIGHT_BITS)
    return _code_range(bits, signed, narrow_range)


def data_type_bound(dot_product_size: int, input_bit_width: int, weight_bit_width: int, input_signed: bool) -> int:
    """Accumulator width that suffices for any weights and inputs of these types, as published.

    ``P = ceil(alpha + phi(alpha) + 1)`` with ``alpha = log2(K) + N + M - 1 - signed(x)`` and
    ``phi(a) = log2(1 + 2^-a)`` (A2Q and v1, the bound from data types). Since
    ``alpha + phi(alpha) = log2(2^alpha + 1)`` and ``ceil(log2(n + 1)) = n.bit_length()``, it is an integer expression.

    Args:
        dot_product_size: K, products per output.
        input_bit_width: N.
        weight_bit_width: M.
        input_signed: Whether inputs are signed.

    Returns:
        Width in bits.

    Example:
        >>> data_type_bound(9 * 64, 4, 4, False)
        18
    """
    k = _integer("dot_product_size", dot_product_size, 1)
    n = _integer("input_bit_width", input_bit_width, 1)
    m = _integer("weight_bit_width", weight_bit_width, 1)
    exponent = n + m - 1 - int(input_signed)
    return (k << exponent).bit_length() + 1


def weight_bound(l1_norm: int, input_bit_width: int, input_signed: bool) -> int:
    """Accumulator width that suffices for weights of this norm and any input of the type, as published.

    The form of :func:`data_type_bound` with ``beta = log2(||q||_1) + N - signed(x)`` (A2Q and v1, the bound from
    weights). For an all-zero channel, where the logarithm does not exist, the one bit that holds 0.

    Args:
        l1_norm: ``||q||_1`` of one channel's integer weights.
        input_bit_width: N.
        input_signed: Whether inputs are signed.

    Example:
        >>> weight_bound(8, 4, False)
        9
    """
    norm = _integer("l1_norm", l1_norm, 0)
    n = _integer("input_bit_width", input_bit_width, 1)
    return (norm << (n - int(input_signed))).bit_length() + 1


def exact_range(positive_sum: int, negative_sum: int, inputs: IntRange, bias: int = 0) -> IntRange:
    """Exact lowest and highest value of one channel's sum over every input, partial sums included.

    ``hi = S+ * x_hi + S- * |x_lo|`` and ``lo = -(S- * x_hi + S+ * |x_lo|)``. With 0 inside the input range every
    partial sum, in any order of additions, lies in ``[lo, hi]`` too. A bias is one more term of the sum: added first,
    last or in between, it moves each end outward only.

    Args:
        positive_sum: ``S+``.
        negative_sum: ``S-`` (not negative).
        inputs: Range of one input; 0 is included if it is not.
        bias: Integer bias at the accumulator's scale.

    Example:
        >>> exact_range(3, 2, IntRange(0, 15))
        IntRange(lo=-30, hi=45)
    """
    plus = _integer("positive_sum", positive_sum, 0)
    minus = _integer("negative_sum", negative_sum, 0)
    x = inputs.with_zero()
    return IntRange(
        minus * -x.hi + plus * x.lo + min(int(bias), 0),
        plus * x.hi + minus * -x.lo + max(int(bias), 0),
    )


def data_type_bound_exact(dot_product_size: int, inputs: IntRange, weights: IntRange) -> int:
    """Smallest width that suffices for any weights and inputs of these ranges: tight, unlike the published bound.

    Args:
        dot_product_size: K.
        inputs: Range of one input.
        weights: Range of one weight.

    Example:
        >>> data_type_bound_exact(9 * 64, input_range(4, False), weight_range(4))
        17
    """
    k = _integer("dot_product_size", dot_product_size, 1)
    x = inputs.with_zero()
    products = [q * v for q in (weights.lo, weights.hi) for v in (x.lo, x.hi)]
    return required_bit_width(min(0, k * min(products)), max(0, k * max(products)))


def a2q_budget(accumulator_bit_width: int, input_bit_width: int, input_signed: bool) -> int:
    """Largest ``||q||_1`` that A2Q allows: ``floor((2^(P-1) - 1) * 2^(signed(x) - N))``.

    Args:
        accumulator_bit_width: P.
        input_bit_width: N.
        input_signed: Whether inputs are signed.

    Example:
        >>> a2q_budget(16, 8, False), a2q_budget(16, 8, True)
        (127, 255)
    """
    top = accumulator_range(accumulator_bit_width).hi
    n = _integer("input_bit_width", input_bit_width, 1, MAX_INPUT_BITS)
    return top >> (n - int(input_signed))


def a2q_plus_budget(accumulator_bit_width: int, input_bit_width: int) -> int:
    """Largest ``||q||_1`` that A2Q+ allows for zero-centred weights: ``floor((2^P - 2)/(2^N - 1))`` (A2Q+).

    Zero-centred means ``S+ = S-``, so each sign has half of it. The bound is the same for signed and unsigned inputs.

    Example:
        >>> a2q_plus_budget(16, 8)
        256
    """
    top = accumulator_range(accumulator_bit_width).hi
    n = _integer("input_bit_width", input_bit_width, 1, MAX_INPUT_BITS)
    return (2 * top) // ((1 << n) - 1)


@dataclass(frozen=True)
class SignBudget:
    """The weakest constraint on ``(S+, S-)`` that rules out overflow whatever the input.

    ``S+ * x_hi + S- * |x_lo| <= upper`` and ``S- * x_hi + S+ * |x_lo| <= lower``; see :func:`two_sided_budget`.
    A negative ``upper`` or ``lower`` means that the bias alone overflows: no weights hold, not even zeros.
    """

    inputs: IntRange
    upper: int
    lower: int

    def holds(self, positive_sum: int, negative_sum: int) -> bool:
        """Whether a channel with these sums of positive and of negated negative weights cannot overflow."""
        up, down = self.inputs.hi, -self.inputs.lo
        return (
            positive_sum * up + negative_sum * down <= self.upper
            and negative_sum * up + positive_sum * down <= self.lower
        )

    @property
    def max_positive_sum(self) -> int | None:
        """Largest ``S+`` when ``S- = 0``; None when inputs are always zero and nothing binds."""
        return self._largest(self.upper, self.lower)

    @property
    def max_negative_sum(self) -> int | None:
        """Largest ``S-`` when ``S+ = 0``; None when inputs are always zero and nothing binds."""
        return self._largest(self.lower, self.upper)

    def _largest(self, along: int, across: int) -> int | None:
        # `along` is the side that inputs of x_hi drive this sign towards, `across` the one that x_lo does.
        caps = [limit // size for limit, size in ((along, self.inputs.hi), (across, -self.inputs.lo)) if size]
        return max(-1, min(caps)) if caps else None


def two_sided_budget(accumulator_bit_width: int, inputs: IntRange, bias: int = 0) -> SignBudget:
    """Exact two-sided budget of one channel: A2Q and A2Q+ are special cases of it.

    Args:
        accumulator_bit_width: P.
        inputs: Range of one input; 0 is included if it is not.
        bias: Integer bias at the accumulator's scale; its sign decides which side it takes from.

    Example:
        >>> two_sided_budget(16, input_range(8, False)).max_positive_sum
        128
    """
    acc = accumulator_range(accumulator_bit_width)
    return SignBudget(inputs.with_zero(), upper=acc.hi - max(int(bias), 0), lower=-acc.lo + min(int(bias), 0))
