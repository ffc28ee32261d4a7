"""What each kind of platform needs of [platform] and of the environment, and which keys are none of its."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from gradewatch.config.settings import PlatformSettings

Told = tuple[tuple[str, ...], str, bool]  # keys concerned, text, is it an error


@dataclass(frozen=True)
class Needs:
    """`keys` must be set, each with an example; `variables` too, each with what it is; `also` may be set."""

    keys: Mapping[str, str]
    variables: Mapping[str, str]
    also: tuple[str, ...] = ()
    schemes: tuple[str, ...] = ("http", "https")


NEEDS: Mapping[str, Needs] = {
    "supervisor": Needs(
        {"targets": '["gradewatch-worker"]', "url": '"unix:///run/supervisor.sock"'}, {}, schemes=("http", "unix")
    ),
    "systemd": Needs({"targets": '["gradewatch-worker.service"]'}, {}, ("user",)),
    "render": Needs({"targets": '["srv-…"]'}, {"RENDER_API_KEY": "a key of your Render account"}, ("url",)),
    "command": Needs(
        {"restart": '["docker", "restart", "{target}"]'}, {}, ("targets", "status", "env", "restart_timeout")
    ),
    "webhook": Needs(
        {"url": '"https://…"'},
        {"GRADEWATCH_WEBHOOK_SECRET": "the secret that signs its requests"},
        ("targets", "restart_timeout"),
    ),
}
OF_SOME = ("targets", "url", "restart", "status", "env", "user", "restart_timeout")
SHORTEST_SECRET = 16


def platform_doubts(
    platform: PlatformSettings, given: Callable[[str], bool], environ: Mapping[str, str]
) -> Iterator[Told]:
    needs = NEEDS.get(platform.kind)
    kind = f'platform.kind is "{platform.kind}"'
    defaults = PlatformSettings()
    for key in OF_SOME:
        set_ = given(f"platform.{key}") and getattr(platform, key) != getattr(defaults, key)
        if set_ and (needs is None or key not in (*needs.keys, *needs.also)):
            yield (f"platform.{key}",), f"platform.{key} changes nothing: {kind}", False
    if needs is None:
        return
    for key, example in needs.keys.items():
        if not getattr(platform, key):
            yield ("platform.kind", f"platform.{key}"), f"{kind} and needs platform.{key}, such as {example}", True
    for missing in missing_variables(platform.kind, environ):
        yield ("platform.kind",), missing, False
    scheme = platform.url.partition("://")[0]
    if platform.url and ("url" in needs.keys or "url" in needs.also) and scheme not in needs.schemes:
        words = " or ".join(f"{s}://" for s in needs.schemes)
        yield ("platform.kind", "platform.url"), f"{kind} and needs a platform.url that begins with {words}", True
    yield from _secret(platform.kind, environ)
    yield from _command(platform)


def missing_variable(kind: str, variable: str, what: str) -> str:
    """No error of the settings: a worker reads the same file, and is better off without the watch's secrets."""
    return f'platform.kind is "{kind}" and needs {variable} in the environment of the watch: {what}'


def missing_variables(kind: str, environ: Mapping[str, str]) -> list[str]:
    """What a watch cannot do without on such a platform."""
    needed = NEEDS[kind].variables if kind in NEEDS else {}
    return [missing_variable(kind, name, what) for name, what in needed.items() if not environ.get(name, "").strip()]


def _secret(kind: str, environ: Mapping[str, str]) -> Iterator[Told]:
    secret = environ.get("GRADEWATCH_WEBHOOK_SECRET", "").strip()
    if kind == "webhook" and 0 < len(secret) < SHORTEST_SECRET:
        text = f"GRADEWATCH_WEBHOOK_SECRET has fewer than {SHORTEST_SECRET} characters: it can be guessed"
        yield ("platform.kind",), text, False


def _command(platform: PlatformSettings) -> Iterator[Told]:
    if platform.kind == "command" and len(platform.targets) > 1:
        for key in ("restart", "status"):
            argv: tuple[str, ...] = getattr(platform, key)
            if argv and not any("{target}" in argument for argument in argv):
                text = (
                    f"platform.{key} has no {{target}}, and platform.targets names {len(platform.targets)}: it cannot "
                )
                yield (f"platform.{key}", "platform.targets"), text + "tell them apart", True
