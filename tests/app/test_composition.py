"""The composition root: which store a URL means, where the example lies, what is imported when."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import gradewatch.app
from gradewatch.app import exam
from gradewatch.app.exam import exam_folder
from gradewatch.app.stores import make_store, opened, opener
from gradewatch.config import Settings, StoreSettings
from gradewatch.errors import ConfigError, GradewatchError, SchemaMismatch
from gradewatch.stores.sqlite import SqliteStore


def at(url: str, timeout: float = 5.0) -> Settings:
    return Settings(store=StoreSettings(url, timeout))


# ---------------------------------------------------------------- stores


@pytest.mark.parametrize(
    ("url", "path"), [("sqlite:///some/where.db", "some/where.db"), ("sqlite:////var/lib/g.db", "/var/lib/g.db")]
)
def test_three_slashes_are_relative_and_four_absolute(
    url: str, path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = make_store(at(url, timeout=2.5))
    assert isinstance(store, SqliteStore)
    assert (store.path, store.timeout) == (tmp_path / path, 2.5)
    assert list(tmp_path.iterdir()) == [], "nothing is created"


@pytest.mark.parametrize("url", ["oracle://grader:hunter2@db.example/exams", "hunter2", ""])
def test_another_scheme_is_refused_by_its_key_and_without_the_password(url: str) -> None:
    with pytest.raises(ConfigError) as refused:
        make_store(at(url))
    assert "store.url" in str(refused.value)
    assert "hunter2@" not in str(refused.value)


async def test_a_supabase_project_with_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPABASE_SERVICE_ROLE_KEY", " sb_secret_hunter2\n")
    store = make_store(at("https://ref.supabase.co", timeout=2.5))
    assert (store.kind, store.client.timeout, store.place) == ("supabase", 2.5, "Supabase at ref.supabase.co")  # type: ignore[attr-defined]
    store.client.verify_key()  # type: ignore[attr-defined]
    assert "hunter2" not in repr(vars(store))
    await store.close()


def test_a_supabase_project_without_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gradewatch.stores.supabase", None)
    with pytest.raises(ConfigError, match=r"pip install 'gradewatch\[supabase\]'"):
        make_store(at("https://ref.supabase.co"))


async def test_an_opener_gives_a_handle_of_its_own_each_time(store: SqliteStore, path: Path) -> None:
    open_store = opener(at(f"sqlite:///{path}"))
    one, two = await open_store(), await open_store()
    assert one is not two
    assert (await one.check([])).kind == (await two.check([])).kind == "sqlite"
    await one.close()
    await two.close()


async def test_a_store_is_closed_whatever_happens_in_its_context(store: SqliteStore, path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        async with opened(at(f"sqlite:///{path}")) as handle:
            raise ZeroDivisionError
    with pytest.raises(GradewatchError, match="closed"):
        await handle.check([])


async def test_a_store_that_is_not_there_is_said_at_its_opening(tmp_path: Path) -> None:
    with pytest.raises(SchemaMismatch, match="gradewatch migrate"):
        async with opened(at(f"sqlite:///{tmp_path}/none.db")):
            pass


# ---------------------------------------------------------------- the example exam


def test_the_exam_has_its_papers_rubric_and_marks() -> None:
    folder = exam_folder()
    assert (folder / "rubric.yaml").is_file()
    assert (folder / "marks.json").is_file()
    assert len(list((folder / "papers").iterdir())) == 30


@pytest.mark.parametrize("home", ["gradewatch/exam", "examples/exam"])
def test_it_is_found_in_a_wheel_and_in_the_source_tree(
    home: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exam, "__file__", str(tmp_path / "gradewatch" / "app" / "exam.py"))
    with pytest.raises(GradewatchError, match="reinstall"):
        exam_folder()
    (tmp_path / home).mkdir(parents=True)
    with pytest.raises(GradewatchError, match="left out"):
        exam_folder()
    (tmp_path / home / "rubric.yaml").write_text("exam: Physics\n")
    assert exam_folder() == tmp_path / home


# ---------------------------------------------------------------- parts on demand


@pytest.mark.parametrize("name", gradewatch.app.__all__)
def test_each_public_name_is_there(name: str) -> None:
    assert callable(getattr(gradewatch.app, name))


@pytest.mark.parametrize("first", ["running", "watching", "working"])
def test_a_function_is_not_hidden_by_the_module_it_lives_in(first: str) -> None:
    """In a process of its own: importing a submodule binds its name to the package, for good."""
    names = "app.watch, app.work, app.run, app.look"
    code = f"import gradewatch.app.{first}; from gradewatch import app; print(all(callable(f) for f in ({names})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.strip() == "True"


def test_no_other_name_is() -> None:
    with pytest.raises(AttributeError, match="no attribute 'wacth'"):
        gradewatch.app.wacth  # noqa: B018


@pytest.mark.parametrize(
    ("name", "heavy"), [("watch", ("pypdfium2", "PIL", "onnxruntime")), ("submit_papers", ("aiohttp", "apscheduler"))]
)
def test_one_part_does_not_pay_for_another(name: str, heavy: tuple[str, ...]) -> None:
    """In a process of its own: which modules are loaded once the part is at hand."""
    code = f"import sys; from gradewatch.app import {name}; print(*[m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.strip() == ""
