"""The documents keep up with the code: runbooks, links, the Makefile's help, and the README's promises."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from gradewatch.config.keys import FIELD_KEYS, FOREIGN_KEYS, QUEUE_KEYS, WORD_KEYS, dotted_keys
from gradewatch.model import Code

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(path for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")))
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
SECTIONS = ("## What it means", "## What gradewatch did", "## What to check", "## How to end it")


def headings(path: Path) -> set[str]:
    """The anchors of a document, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("code", list(Code))
def test_each_finding_has_a_runbook_that_says_it_all(code: Code) -> None:
    page = (ROOT / "docs" / "runbooks" / f"{code.value}.md").read_text()
    assert page.startswith(f"# `{code.value}`\n")
    assert [line for line in page.splitlines() if line.startswith("## ")] == list(SECTIONS)
    assert f"({code.value}.md)" in (ROOT / "docs" / "runbooks" / "README.md").read_text()


def test_no_runbook_is_left_over() -> None:
    pages = {path.stem for path in (ROOT / "docs" / "runbooks").glob("*.md")} - {"README"}
    assert pages == {code.value for code in Code}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_each_relative_link_leads_somewhere(document: Path) -> None:
    for link in LINK.findall(document.read_text()):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (document.parent / name).resolve() if name else document
        assert target.exists(), f"{document.relative_to(ROOT)} links to {link}"
        assert not anchor or anchor in headings(target), f"{document.relative_to(ROOT)} links to {link}"


def test_settings_named_in_the_documents_exist() -> None:
    queue = {*QUEUE_KEYS, *FOREIGN_KEYS, *(f"fields.{key}" for key in FIELD_KEYS), *(f"words.{k}" for k in WORD_KEYS)}
    keys = {*dotted_keys(), *(f"queues.NAME.{key}" for key in queue)}
    sections = {key.partition(".")[0] for key in keys}
    named = re.compile(rf"`((?:{'|'.join(sections)})\.[A-Za-z_.]+)[` ]")
    for document in DOCUMENTS:
        for key in named.findall(document.read_text()):
            plain = re.sub(r"^queues\.[a-z]+\.", "queues.NAME.", key)
            assert plain in keys or plain.endswith((".py", ".md", ".toml")), f"{document.name} speaks of {key}"


def test_every_target_of_the_makefile_is_in_its_help() -> None:
    told = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=20).stdout
    assert subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=20).stdout == told
    phony = re.findall(r"^\.PHONY: (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    targets = re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert sorted(phony) == sorted(targets)
    assert {"demo", "test", "lint", "bench", "help", "clean"} <= set(targets)
    for target in targets:
        assert re.search(rf"^  make {target} +\S", told, re.MULTILINE), f"make help does not tell of {target}"


def test_ci_runs_the_readmes_test_command_and_allows_no_skip() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    assert "export REQUIRE_REAL=1" in script
    assert script.rstrip().endswith("exec make test")
    assert "\nmake test " in (ROOT / "README.md").read_text()


def test_the_readmes_rubric_is_one() -> None:
    from gradewatch.worker.rubric import Rubric

    (text,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    rubric = Rubric.from_dict(yaml.safe_load(text))
    assert rubric.marks == 3.0


def test_the_example_in_settings_md_loads_without_a_word(tmp_path: Path) -> None:
    from gradewatch.config import load

    text, foreign = re.findall(r"```toml\n(.*?)```", (ROOT / "docs" / "settings.md").read_text(), re.DOTALL)
    (tmp_path / "gradewatch.toml").write_text(text)
    result = load(environ={}, cwd=tmp_path)
    assert (result.errors, result.warnings) == ((), ())
    assert list(result.settings.queues) == ["default", "urgent"]
    (tmp_path / "gradewatch.toml").write_text("[store]\nurl = 'mongodb://host/db'\n" + foreign)
    result = load(environ={}, cwd=tmp_path)
    assert (result.errors, result.warnings) == ((), ())
