"""How a worker's crash is put on record: in its session's end, where every watch and status page finds it."""

from __future__ import annotations

import traceback
from pathlib import Path

from gradewatch.errors import GradewatchError
from gradewatch.model import CRASHED

LONGEST = 300  # characters


def crashed(error: BaseException) -> str:
    """The end reason of a session whose worker raised: the error's type and where it was raised.

    Not its text, which may hold a secret (a URL with its password, say) and belongs into the log alone; only our own
    errors are written to be shown.
    """
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno} in {frames[-1].name}" if frames else ""
    said = f": {error}" if isinstance(error, GradewatchError) else ""
    return " ".join(f"{CRASHED} {type(error).__name__}{where}{said}".split())[:LONGEST]
