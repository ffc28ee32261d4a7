"""Which platform the settings mean, and with what of the environment it is made."""

from __future__ import annotations

from pathlib import Path

import pytest

from gradewatch.app.platforms import make_platform
from gradewatch.config import load
from gradewatch.errors import ConfigError
from gradewatch.platforms.command import CommandPlatform
from gradewatch.platforms.none import NoPlatform
from gradewatch.platforms.render import RenderPlatform
from gradewatch.platforms.supervisor import SupervisorPlatform
from gradewatch.platforms.systemd import SystemdPlatform
from gradewatch.platforms.webhook import WebhookPlatform
from gradewatch.ports import PassesOnWhy

QUEUES = "[queues.grading]\n[queues.resting]\npaused = true\n"
MADE = [
    ("process", "", {}, NoPlatform),
    ("none", "", {}, NoPlatform),
    ("supervisor", 'targets = ["grader"]\nurl = "unix:///run/s.sock"', {}, SupervisorPlatform),
    ("systemd", 'targets = ["grader"]', {}, SystemdPlatform),
    ("render", 'targets = ["srv-1"]', {"RENDER_API_KEY": "rnd_x"}, RenderPlatform),
    ("command", 'restart = ["docker", "restart", "{target}"]', {}, CommandPlatform),
    ("webhook", 'url = "https://x.example"', {"GRADEWATCH_WEBHOOK_SECRET": "0123456789abcdef"}, WebhookPlatform),
]


def made(tmp_path: Path, kind: str, lines: str, environ: dict[str, str]):
    (tmp_path / "gradewatch.toml").write_text(f'{QUEUES}[platform]\nkind = "{kind}"\n{lines}\n')
    return make_platform(load(environ=environ, cwd=tmp_path).require(), environ)


@pytest.mark.parametrize(("kind", "lines", "environ", "platform"), MADE, ids=[m[0] for m in MADE])
def test_each_kind_makes_its_platform(tmp_path: Path, kind: str, lines: str, environ: dict[str, str], platform: type):
    of = made(tmp_path, kind, lines, environ)
    assert type(of) is platform
    assert isinstance(of, NoPlatform) or of.kind == kind
    assert isinstance(of, PassesOnWhy) == (kind == "webhook")


async def test_workers_serve_what_is_claimed_or_what_is_said(tmp_path: Path):
    lines = 'restart = ["docker", "restart", "{target}"]'
    [target] = await made(tmp_path, "command", lines, {}).targets()
    assert (target.name, target.queues) == ("gradewatch-worker", ("grading",))
    lines += '\ntargets = ["a"]\nqueues = ["resting"]'
    [target] = await made(tmp_path, "command", lines, {}).targets()
    assert (target.name, target.queues) == ("a", ("resting",))


@pytest.mark.parametrize("lines", ["", 'status = ["/bin/true"]'])
async def test_a_single_cycle_need_not_have_seen_it_run(tmp_path: Path, lines: str):
    """`watch --once` acts in its one cycle: its caller is the second pair of eyes."""
    (tmp_path / "gradewatch.toml").write_text(f'[platform]\nkind = "command"\nrestart = ["/bin/true"]\n{lines}\n')
    settings = load(environ={}, cwd=tmp_path).require()
    [once] = await make_platform(settings, {}, single=True).targets()
    [staying] = await make_platform(settings, {}).targets()
    assert once.running_seconds > 600
    assert staying.running_seconds < 60


@pytest.mark.parametrize(
    ("kind", "lines", "variable"),
    [
        ("render", 'targets = ["srv-1"]', "RENDER_API_KEY"),
        ("webhook", 'url = "https://x.example"', "GRADEWATCH_WEBHOOK_SECRET"),
    ],
)
def test_a_watch_does_not_start_without_its_secret(tmp_path: Path, kind: str, lines: str, variable: str):
    with pytest.raises(ConfigError, match=variable):
        made(tmp_path, kind, lines, {variable: " "})
