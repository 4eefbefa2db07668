"""The kinds of streaming units, FINN's vocabulary: one file each. See :mod:`brevitas_a2q.hw._units.base`."""
