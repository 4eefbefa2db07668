"""Projection where both signs draw on both limits: signed inputs, or unsigned ones with a zero-point.

With ``a = x_hi > 0`` and ``b = |x_lo| > 0`` the constraints are ``a S+ + b S- <= U`` and ``b S+ + a S- <= L``. Their
multipliers ``l1`` and ``l2`` give the thresholds ``a l1 + b l2`` and ``b l1 + a l2``; at the optimum over the reals one
constraint is tight, or both are at the corner of the set. The integer optimum lies near it: all pairs ``(S+, S-)``
within a window of units are compared, each at the cost of its best units, and the best pair is taken.

That it is the best of all is certified: ``H(S+)``, the gain of ``S+`` positive units and of as many negative ones as
the budget has room for, fractions of one included, is concave and never below what integers gain. Where ``H`` at both
ends of the window is no more than the best pair inside, nothing outside is better. Rows that miss this, mostly those in
which many weights tie, are searched again in wider windows, up to one that holds every unit.

In long rows, weights that are zero even if all of the budget went to their sign are left out before any of this.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from brevitas_a2q.quant.functional.allocate import settle
from brevitas_a2q.quant.functional.histogram import support
from brevitas_a2q.quant.functional.search import find_threshold, units

__all__ = ["LARGEST_RATIO", "Coupling", "project_coupled"]

LARGEST_RATIO = 2.0**40  # of |w/s|; far above any code, and far below where thresholds lose their resolution

_LONG = 256  # weights in a row
_WINDOWS = (256, 48)  # units, in short and in long rows; where the search starts
_WIDER = 4  # windows of rows without a certificate
_AT_ONCE = 1 << 22  # units of all rows that are searched again
_SLACK = 4.0  # units that the search may leave


@dataclass(frozen=True)
class Coupling:
    """Constraints of ``R`` rows in float64 (their integers are exact there); shape ``(R, 1)``."""

    a: Tensor
    b: Tensor
    upper: Tensor
    lower: Tensor

    @classmethod
    def of(cls, x_lo: Tensor, x_hi: Tensor, upper: Tensor, lower: Tensor) -> Coupling:
        """Of the limits of a budget; what the bias leaves below zero counts as nothing left.

        Limits are cut to multiples of the coefficients' common divisor, the only values that units add up to.
        """
        divisor = torch.gcd(x_hi.long(), x_lo.long()).double()
        upper, lower = ((limit.clamp_min(0) / divisor).floor() * divisor for limit in (upper, lower))
        return cls(x_hi, -x_lo, upper, lower)

    def rows(self, index: Tensor) -> Coupling:
        """Those of these rows."""
        return Coupling(self.a[index], self.b[index], self.upper[index], self.lower[index])

    def corner(self) -> tuple[Tensor, Tensor]:
        """``S+`` and ``S-`` where both constraints are tight; infinite or NaN where ``a = b``."""
        det = self.a * self.a - self.b * self.b
        return (self.upper * self.a - self.lower * self.b) / det, (self.lower * self.a - self.upper * self.b) / det

    def alone(self) -> Tensor:
        """Largest ``S+`` beside no ``S-``, and the other way round; shape ``(2, R, 1)``."""
        caps = (
            torch.minimum(self.upper / self.a, self.lower / self.b),
            torch.minimum(self.upper / self.b, self.lower / self.a),
        )
        return torch.stack(caps).floor_()

    def affordable(self, positive: Tensor) -> Tensor:
        """Largest real ``S-`` beside these ``S+``; negative where there is none."""
        return torch.minimum((self.upper - self.a * positive) / self.b, (self.lower - self.b * positive) / self.a)


def project_coupled(u: Tensor, limits: tuple[int, int], coupling: Coupling) -> tuple[Tensor, Tensor]:
    """Nearest integers to rows within the coupled budget.

    Args:
        u: Shape ``(R, K)``.
        limits: Largest positive code, and the largest magnitude of a negative one.
        coupling: The budget.

    Returns:
        Codes ``(R, K)``, and the normals of the active constraints ``(2, 2, R, 1)``: for each of up to two constraints,
        the coefficients of ``S+`` and ``S-``, zero where the constraint is not there.
    """
    window = _WINDOWS[u.shape[1] > _LONG]
    at = support(u, coupling.alone().to(u.dtype), -limits[1], limits[0]) if u.shape[1] > _LONG else None
    if at is None:
        return _project_parts(u, limits, coupling, window)
    # Weights that no budget of this size reaches are zero: left out, the others in rows as long as the fullest.
    row = at.div(u.shape[1], rounding_mode="floor")
    size = torch.bincount(row, minlength=len(u))
    column = torch.arange(len(at), device=u.device) - (size.cumsum(0) - size)[row]
    few = u.new_zeros(len(u), max(1, int(size.amax()))).index_put_((row, column), u.flatten()[at])
    found, normals = _project_parts(few, limits, coupling, window)
    return torch.zeros_like(u).flatten().index_copy_(0, at, found[row, column]).view_as(u), normals


def _project_parts(u: Tensor, limits: tuple[int, int], coupling: Coupling, window: int) -> tuple[Tensor, Tensor]:
    """:func:`project_coupled` of all weights, with pairs of sums compared within this window."""
    parts = torch.stack([u, -u]).clamp_(0, LARGEST_RATIO)
    limit = max(limits)
    slant, cap, cornered, theta = _active_constraint(parts, limit, coupling)
    shared = find_threshold(parts, cap.to(parts.dtype), limit, _SLACK, slant.to(parts.dtype)) * slant.to(parts.dtype)
    theta = torch.where(cornered, theta, shared)
    codes = torch.stack([units(parts[side], theta[side], limits[side]) for side in (0, 1)])
    _share_ties(parts, codes, limits, coupling)
    _search(parts, codes, limits, coupling, window)
    zero = torch.zeros_like(slant[0])
    first = torch.stack([torch.where(cornered, 1.0, slant[0]), torch.where(cornered, zero, slant[1])])
    second = torch.stack([zero, torch.where(cornered, 1.0, zero)])
    return codes[0] - codes[1], torch.stack([first, second]).to(codes.dtype)


def _active_constraint(parts: Tensor, limit: int, c: Coupling) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Which constraints bind at the optimum over the reals.

    Returns:
        Direction ``(2, R, 1)`` and cap ``(R, 1)`` of the tight constraint; whether both are tight; thresholds then.
    """
    plus, minus = c.corner()
    exists = (plus >= 0) & (minus >= 0) & (c.a != c.b)
    caps = torch.stack([torch.where(exists, plus, 0.0), torch.where(exists, minus, 0.0)]).floor()
    rows = parts.shape[1]
    flat = find_threshold(parts.flatten(0, 1), caps.flatten(0, 1).to(parts.dtype), limit, _SLACK)
    theta = flat.view(2, rows, 1)
    # Multipliers at the corner, up to the sign of a - b: a constraint with a negative one is not tight.
    sign = (c.a - c.b).sign()
    first = sign * (c.a * theta[0] - c.b * theta[1])
    second = sign * (c.a * theta[1] - c.b * theta[0])
    cornered = exists & (first >= 0) & (second >= 0)
    # Without a corner, the constraint that is lower over the quadrant binds.
    use_second = torch.where(exists, first < 0, torch.where(c.a == c.b, c.lower < c.upper, (plus < 0) ^ (c.a > c.b)))
    big = torch.maximum(c.a, c.b)
    slant = torch.stack([torch.where(use_second, c.b, c.a), torch.where(use_second, c.a, c.b)]) / big
    cap = torch.where(use_second, c.lower, c.upper) / big
    return slant, cap, cornered, theta


def _share_ties(parts: Tensor, codes: Tensor, limits: tuple[int, int], c: Coupling) -> None:
    """Where weights tie, a threshold leaves many units: half of them to the positive part, then what fits; in place."""
    mirrored = Coupling(c.b, c.a, c.upper, c.lower)
    sums = codes.double().sum(2, keepdim=True)
    room = mirrored.affordable(sums[1]).floor() - sums[0]
    if float(room.amax()) <= 2 * _SLACK:
        return
    settle(parts[0], codes[0], (sums[0] + (room / 2).floor()).to(codes.dtype), limits[0])
    plus = codes[0].double().sum(1, keepdim=True)
    settle(parts[1], codes[1], c.affordable(plus).floor().to(codes.dtype), limits[1])
    minus = codes[1].double().sum(1, keepdim=True)
    settle(parts[0], codes[0], mirrored.affordable(minus).floor().to(codes.dtype), limits[0])


def _search(parts: Tensor, codes: Tensor, limits: tuple[int, int], c: Coupling, window: int) -> None:
    """Change the sums to the pair that is nearest to the weights, in windows that widen until this is certain."""
    everything = max(limits) * parts.shape[2] + 1
    most = min(window, int((c.a + c.b).amax()) + 2 * int(_SLACK), everything)
    certain = _best_pair(parts, codes, limits, c, most)
    while most < everything and not bool(certain.all()):
        most = min(_WIDER * most, everything)
        for rows in (~certain).nonzero().squeeze(1).split(max(1, _AT_ONCE // most)):
            again = codes[:, rows]
            certain[rows] = _best_pair(parts[:, rows], again, limits, c.rows(rows), most)
            codes.index_copy_(1, rows, again)


def _best_pair(parts: Tensor, codes: Tensor, limits: tuple[int, int], c: Coupling, most: int) -> Tensor:
    """Change the sums by up to ``most`` units each, to the pair that is nearest to the weights; in place.

    Returns:
        Whether no pair of sums is nearer; bool, shape ``(R,)``.
    """
    lists = [_moves(parts[side], codes[side], limits[side], most) for side in (0, 1)]
    gains = [
        torch.cat([-drop.cumsum(1).flip(1), torch.zeros_like(drop[:, :1]), add.cumsum(1)], 1)
        for (add, _), (drop, _) in lists
    ]
    sums = codes.double().sum(2, keepdim=True)
    shift = torch.arange(-most, most + 1, device=codes.device, dtype=torch.float64)
    room = c.affordable(sums[0] + shift) - sums[1]
    other = room.floor()
    index = (other.clamp(-most, most) + most).long()
    value = torch.where(other >= -most, gains[0] + gains[1].gather(1, index), -torch.inf)
    value[:, [0, -1]] = -torch.inf  # the ends only tell what lies beyond
    best = value.argmax(1, keepdim=True)
    certain = _nothing_beyond(gains, room, other, most, value.gather(1, best))
    for side, moved in ((0, best - most), (1, index.gather(1, best) - most)):
        (add, add_at), (_, drop_at) = lists[side]
        rank = torch.arange(most, device=codes.device)
        codes[side].scatter_add_(1, add_at, ((rank < moved) & (add > 0)).to(codes.dtype))
        codes[side].scatter_add_(1, drop_at, -(rank < -moved).to(codes.dtype))
    return certain


def _nothing_beyond(gains: list[Tensor], room: Tensor, other: Tensor, most: int, best: Tensor) -> Tensor:
    """Whether ``H`` is at most ``best`` wherever the window does not show all, up to rounding; shape ``(R,)``.

    That is at both of its ends, and at those ``S+`` whose ``S-`` lies outside. Past its own window, what negative units
    gain is extended by the slope at the end, which concave functions stay below.
    """
    below = other.clamp(-most, most - 1)
    index = (below + most).long()
    start = gains[1].gather(1, index)
    slope = gains[1].gather(1, index + 1) - start
    bound = gains[0] + start + slope * (room - below)
    shown = other.abs() <= most
    shown[:, [0, -1]] = False
    return (bound.where(~shown, -torch.inf) <= best + _ROUNDING * (1 + best.abs())).all(1)


Moves = tuple[Tensor, Tensor]
_ROUNDING = 1e-10  # of sums of gains in float64
_NONE = 2.0**60  # stands for a unit that is not there, in types that masks are slow in


def _moves(magnitude: Tensor, codes: Tensor, limit: int, most: int) -> tuple[Moves, Moves]:
    """The ``most`` best units to add, with their gains, and the ``most`` cheapest to drop, with their losses.

    Returns:
        Twice a pair of values (float64) and columns, shape ``(R, most)``: gains are 0 where no unit is worth adding,
        losses enormous where there is none to drop.
    """
    residual = magnitude - codes
    gain = (residual - 0.5).sub_((1 - limit + codes).clamp_(0, 1), alpha=_NONE)
    add, add_at = _deepen(gain, (limit - codes), most)
    loss = residual.neg_().sub_(0.5).sub_((1 - codes).clamp_(0, 1), alpha=_NONE)
    drop, drop_at = _deepen(loss, codes, most)
    return (add.clamp_min(0), add_at), (drop.neg_(), drop_at)


def _deepen(first: Tensor, stock: Tensor, most: int) -> Moves:
    """The ``most`` best units, best first, where an element's units are worth 1 less each, ``stock`` of them.

    They are units of the ``most`` elements whose first unit is best, since no unit is worth more than the first.
    """
    best, where = first.topk(min(most, first.shape[1]), dim=1)
    left, depth = stock.gather(1, where).unsqueeze(2), 1
    while True:
        step = torch.arange(depth, device=first.device, dtype=torch.float64)
        value = torch.where(step < left, best.double().unsqueeze(2) - step, -_NONE).flatten(1)
        found, at = value.topk(min(most, value.shape[1]), dim=1)
        deeper = (best[:, :1].double() - depth).where(left.amax(1) > depth, -_NONE)
        enough = found.shape[1] == most and bool((deeper <= found[:, -1:].clamp_min(-_NONE / 2)).all())
        if enough or not bool((left > depth).any()):
            break
        depth *= 2
    columns = where.gather(1, at.div(depth, rounding_mode="floor"))
    pad = (0, most - found.shape[1])
    return torch.nn.functional.pad(found, pad, value=-_NONE), torch.nn.functional.pad(columns, pad)
