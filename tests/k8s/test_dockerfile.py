"""The Dockerfile, read as a text: no engine runs here."""

from __future__ import annotations

import fnmatch
import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass

import pytest
import yaml
from rendering import ROOT


@dataclass
class Stage:
    base: str
    name: str
    steps: list[tuple[str, str]]  # instruction, arguments

    def all(self, instruction: str) -> list[str]:
        return [arguments for word, arguments in self.steps if word == instruction]


def read() -> tuple[list[tuple[str, str]], list[Stage]]:
    """The instructions before the first FROM, and each stage."""
    text = "\n".join(line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.startswith("#"))
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    steps = [tuple(line.split(None, 1)) for line in lines if line.strip()]
    head: list[tuple[str, str]] = []
    stages: list[Stage] = []
    for word, arguments in steps:  # type: ignore[misc]
        if word == "FROM":
            base, _, name = arguments.partition(" AS ")
            stages.append(Stage(base, name, []))
        else:
            (stages[-1].steps if stages else head).append((word, arguments))
    return head, stages


HEAD, STAGES = read()
BUILD, FINAL = STAGES


def test_every_stage_stands_on_a_base_pinned_by_digest() -> None:
    assert [stage.base for stage in STAGES] == ["${BASE}@${DIGEST}"] * 2
    arguments = dict(a.partition("=")[::2] for word, a in HEAD if word == "ARG")
    assert re.fullmatch(r"python:3\.\d+-slim-\w+", arguments["BASE"])
    assert arguments["DIGEST"] == "", "no digest is guessed: whoever builds names one"


def test_the_final_image_holds_what_was_built_and_no_tools() -> None:
    assert FINAL.all("COPY") == ["--from=build /opt/gradewatch /opt/gradewatch"]
    assert not any("pip" in run or "apt" in run for run in FINAL.all("RUN"))
    assert FINAL.all("ADD") == BUILD.all("ADD") == []


def test_it_runs_as_nobody_in_particular() -> None:
    [user] = FINAL.all("USER")
    assert user == "10001:10001"
    assert FINAL.steps.index(("USER", user)) > FINAL.steps.index(("RUN", FINAL.all("RUN")[-1]))
    spec = yaml.safe_load((ROOT / "k8s" / "overlays" / "worker" / "deployment.yaml").read_text())["spec"]["template"]
    assert spec["spec"]["securityContext"]["runAsUser"] == 10001


def test_its_entry_is_the_command_itself_so_that_sigterm_reaches_it() -> None:
    assert FINAL.all("ENTRYPOINT") == ['["gradewatch"]']
    assert FINAL.all("CMD") == ['["run"]']
    assert FINAL.all("STOPSIGNAL") == ["SIGTERM"]


def test_no_secret_is_built_in() -> None:
    names = " ".join(a for stage in STAGES for word in ("ARG", "ENV") for a in stage.all(word))
    assert not re.search(r"key|token|secret|passw|credential|_url", names, re.IGNORECASE)


def test_extras_are_chosen_at_build_and_are_those_of_the_project() -> None:
    [extras] = [a.removeprefix("EXTRAS=") for a in BUILD.all("ARG") if a.startswith("EXTRAS=")]
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(extras.split(",")) <= known.keys() - {"dev", "all"}


@pytest.mark.parametrize("extras", ["", "postgres", "ocr,postgres,mongo,supabase,vision,groq"])
def test_the_step_that_lists_requirements_lists_them(extras: str) -> None:
    """The program in the Dockerfile, as a shell would run it."""
    [step] = [run for run in BUILD.all("RUN") if "tomllib" in run]
    command = step.partition(" > ")[0].replace("python -c", f"{sys.executable} -c")
    done = subprocess.run(["/bin/sh", "-c", command], cwd=ROOT, env={"EXTRAS": extras}, capture_output=True, text=True,
                          timeout=30, check=True)  # fmt: skip
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"]]
    for extra in filter(None, extras.split(",")):
        wanted += project["optional-dependencies"][extra]
    assert done.stdout.splitlines() == wanted
    assert all(not line.startswith("gradewatch") for line in wanted), "nothing asks a registry for ourselves"


def ignored(path: str) -> bool:
    """As .dockerignore says: the last line that matches a path, or a folder above it, decides."""
    out = False
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        pattern, keep = line.removeprefix("!"), line.startswith("!")
        parts = path.split("/")
        above = ["/".join(parts[: n + 1]) for n in range(len(parts))]
        hit = any(fnmatch.fnmatch(p, pattern) for p in above) or (
            pattern.startswith("**/") and any(fnmatch.fnmatch(p, pattern[3:]) for p in parts)
        )
        out = (not keep) if hit else out
    return out


@pytest.mark.parametrize(
    "path", [".git/config", ".venv/bin/python", "gradewatch.db", "gradewatch.toml", "key.json", ".env", "tests/x.py",
             "gradewatch/__pycache__/x.pyc"],
)  # fmt: skip
def test_what_is_not_for_the_image_is_not_even_sent_to_the_builder(path: str) -> None:
    assert ignored(path)


def test_what_is_copied_is_there_and_is_sent() -> None:
    sources = [part for copy in BUILD.all("COPY") for part in copy.split()[:-1]]
    assert {"gradewatch", "pyproject.toml"} <= set(sources)
    for source in sources:
        assert (ROOT / source).exists(), source
        assert not ignored(source), source
    forced = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    for folder in forced["force-include"]:
        assert folder in sources, f"the wheel holds {folder}"


def test_ports_are_those_of_the_manifests() -> None:
    assert FINAL.all("EXPOSE") == ["9464 9465"]
