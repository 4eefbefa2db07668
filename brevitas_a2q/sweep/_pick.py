"""From the runs of a sweep to one of them: the narrowest, or cheapest, that is as good as asked for."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from brevitas_a2q._files import refuse_others_files, write_atomically
from brevitas_a2q.errors import SweepError
from brevitas_a2q.sweep._status import RunStatus
from brevitas_a2q.sweep._summary import Summary
from brevitas_a2q.train._folder import CHECKPOINTS

__all__ = ["FILES", "copy_files", "pick"]

FILES: Final = {
    "file": "network.onnx",
    "certificate": "certificate.json",
    "result": "result.json",
    "configuration": "config.json",
    "network": CHECKPOINTS,
}
_MARK: Final = ".sweep-pick"


def pick(
    runs: Sequence[RunStatus],
    *,
    run: str | None = None,
    tolerance: float = 0.01,
    width: float | None = None,
    lut: float | None = None,
) -> RunStatus:
    """Choose a finished run.

    Args:
        runs: Of a sweep.
        run: Its name, or the beginning of it; then nothing else counts.
        tolerance: How much of the metric may be lost against the best run that is within the limits.
        width: Mean P at most.
        lut: LUTs at most.

    Returns:
        Of those within tolerance the one of least mean P, then of fewest LUTs, then of the best metric.

    Raises:
        SweepError: There is none.
    """
    done = [(one, one.summary) for one in runs if one.summary is not None and one.state == "done"]
    if run is not None:
        named = [one for one, _ in done if one.run.startswith(run)]
        if len(named) != 1:
            raise SweepError(
                f"found {len(named)} finished runs whose name begins so",
                where=f"run {run!r}",
                expected=f"one of {', '.join(one.run for one, _ in done[:6]) or 'none'}",
            )
        return named[0]
    held = [(one, found) for one, found in done if found.holds is not False and _within(found, width, lut)]
    if not held:
        raise SweepError(
            "found no finished run within these limits whose certificate holds",
            where="sweep",
            remedy="allow more bits or LUTs, or wait for more runs",
        )
    best = max(found.last for _, found in held)
    good = [(one, found) for one, found in held if found.last >= best - tolerance]
    return min(good, key=lambda pair: (_width(pair[1]), _lut(pair[1]), -pair[1].last, pair[0].run))[0]


def _width(found: Summary) -> float:
    width = found.mean_accumulator_bit_width
    return float("inf") if width is None else width


def _lut(found: Summary) -> float:
    return float("inf") if found.lut is None else found.lut


def _within(found: Summary, width: float | None, lut: float | None) -> bool:
    return (width is None or _width(found) <= width) and (lut is None or _lut(found) <= lut)


def copy_files(folder: Path, to: Path | None) -> dict[str, Path]:
    """Where a run's files are, or their copies, of which :func:`~brevitas_a2q.train.trained_network` makes the network.

    Args:
        folder: Of the run.
        to: Folder to copy them to; None to leave them.

    Raises:
        SweepError: The run's folder is not here.
        ExportError: The folder to copy to has such files of something else.
    """
    found = {what: folder / name for what, name in FILES.items() if (folder / name).exists()}
    if "result" not in found:
        raise SweepError(
            "holds no finished run", where=f"folder {folder}", remedy="run this where the sweep's runs are"
        )
    if to is None:
        return found
    refuse_others_files(to, FILES.values(), _MARK)
    to.mkdir(parents=True, exist_ok=True)
    write_atomically(to / _MARK, "A folder that brevitas-a2q sweep pick copies to.\n")
    for what, path in found.items():
        if path.is_dir():
            shutil.rmtree(to / FILES[what], ignore_errors=True)
            shutil.copytree(path, to / FILES[what])
        else:
            shutil.copyfile(path, to / FILES[what])
    return {what: to / FILES[what] for what in found}
