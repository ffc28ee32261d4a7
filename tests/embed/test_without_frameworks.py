"""Who does not have FastAPI or Flask needs neither; who imports gradewatch pays for none of it."""

from __future__ import annotations

import subprocess
import sys

import pytest


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize("framework", ["fastapi", "starlette", "flask"])
def test_neither_is_needed(framework: str) -> None:
    absent = f"import sys; sys.modules[{framework!r}] = None\n"
    made = "import gradewatch; print(callable(gradewatch.lifespan()), callable(gradewatch.heartbeat('w')))"
    assert run(absent + made) == "True True"
    assert (
        run(absent + "import gradewatch.embed.inside, gradewatch.embed.outlook, gradewatch.cli.root; print(1)") == "1"
    )


def test_importing_gradewatch_imports_none_of_it() -> None:
    heavy = ("fastapi", "starlette", "flask", "aiohttp", "sqlite3", "prometheus_client", "structlog", "asyncio")
    code = f"import sys, gradewatch; print([name for name in {heavy!r} if name in sys.modules])"
    assert run(code) == "[]"


def test_a_name_that_is_not_there_is_said_as_python_says_it() -> None:
    import gradewatch

    with pytest.raises(AttributeError, match="no attribute 'beet'"):
        gradewatch.beet  # noqa: B018
    assert gradewatch.Beat.__name__ == "Beat"
