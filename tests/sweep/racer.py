"""One of several processes that open a storage at the same time."""

from __future__ import annotations

from typing import Any

from toy import ToyConfig

from brevitas_a2q.sweep._queue import Queue
from brevitas_a2q.sweep._space import Space
from brevitas_a2q.sweep._storage import open_storage


def race(address: str, barrier: Any, results: Any) -> None:
    barrier.wait()
    with open_storage(address) as storage:
        queue = Queue(storage, Space.from_dict({"name": "race", "grid": {"seed": [0, 1, 2, 3]}}, ToyConfig))
        queue.fill()
        claim = queue.claim()
        results.put(None if claim is None else claim.run)
        barrier.wait()  # nobody goes before all have claimed
