"""What is released: a wheel built from the tree runs the demo, away from the tree."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel's files alone; the libraries it needs are those of this environment."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True, timeout=120)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_the_wheel_holds_what_it_needs_and_nothing_else(installed: Path) -> None:
    tops = {path.name for path in installed.iterdir() if not path.name.endswith(".dist-info")}
    assert tops == {"gradewatch"}
    for needed in ("py.typed", "exam/rubric.yaml", "exam/marks.json", "stores/sql/sqlite/001_initial.sql"):
        assert (installed / "gradewatch" / needed).is_file(), needed


@pytest.mark.acceptance
@pytest.mark.timeout(400)
def test_the_demo_runs_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    environ = {k: v for k, v in os.environ.items() if not k.startswith("GRADEWATCH_")}
    environ |= {"PYTHONPATH": str(installed), "PYTHONSAFEPATH": "1"}
    told = subprocess.run(
        [sys.executable, "-m", "gradewatch", "demo"],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        timeout=380,
        check=False,
    )
    assert told.returncode == 0, told.stdout + told.stderr
    report = json.loads((tmp_path / "demo-report.json").read_text())
    whole = {"papers": 30, "graded": 30, "lost": 0, "graded_twice": 0, "kills": 1}
    assert {name: report[name] for name in whole} == whole
    assert report["recovery_seconds"] > 0
    assert "worker_not_running" in report["findings"]
    done = [(r["action"], r["outcome"]) for r in report["remediations"]]
    assert ("requeue", "applied") in done
    assert ("restart", "applied") in done
    assert "marks and status are as a person gave them on 30" in told.stdout
    here = subprocess.run(
        [sys.executable, "-c", "import gradewatch; print(gradewatch.__file__)"],
        cwd=tmp_path, env=environ, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert here.stdout.strip().startswith(str(installed))
