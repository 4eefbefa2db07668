"""Whoever asks for an end gets it, even where a library swallows the exception or the interpreter drops it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from brevitas_a2q._interrupts import is_under_way

SWALLOW = """
try:
    os.kill(os.getpid(), signal.SIGINT)
except BaseException:
    pass
"""
DROP = """
class Last:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
Last()
"""
PROGRAM = """
import os, signal, time
from brevitas_a2q._interrupts import interrupts_arrive
interrupts_arrive()
try:
    {}
    for _ in range(6000):
        time.sleep(0.01)
except KeyboardInterrupt:
    print("arrived")
"""


@pytest.mark.parametrize("way", [SWALLOW, DROP])
def test_an_interrupt_that_is_lost_comes_again(way: str) -> None:
    program = PROGRAM.format(way.strip().replace("\n", "\n    "))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("arrived\n", "")


def test_what_is_raised_meanwhile_is_known_by_its_context() -> None:
    def convert() -> None:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            assert is_under_way(KeyboardInterrupt)
            assert not is_under_way(SystemExit)
            raise ImportError from None

    with pytest.raises(ImportError) as raised:
        convert()
    assert is_under_way(KeyboardInterrupt, raised.value)
    assert not is_under_way(KeyboardInterrupt)
