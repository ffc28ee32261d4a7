"""Who reads and who grades: the chains of the settings, with what is installed here and whose key is set."""

from __future__ import annotations

import importlib.util
import random
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import structlog

from gradewatch.config import Settings
from gradewatch.errors import ConfigError
from gradewatch.probes.environment import PROVIDERS, chosen

if TYPE_CHECKING:
    from gradewatch.metrics.local import ProviderMetrics
    from gradewatch.worker.context import Handler
    from gradewatch.worker.providers.groq import Groq
    from gradewatch.worker.providers.line import Line
    from gradewatch.worker.providers.memory import Memory, ProviderStore
    from gradewatch.worker.providers.vision import Vision

log = structlog.get_logger(__name__)

PARTS = {"vision": "google.cloud.vision_v1", "groq": "groq"}
MOST_CALLS = 2  # in flight to one provider for each paper in work: its pages go at the same time


def grade_handler(
    settings: Settings,
    store: ProviderStore,
    environ: Mapping[str, str],
    metrics: ProviderMetrics,
    closing: AsyncExitStack,
) -> Handler:
    """The handler of grading jobs; `closing` closes its connections. Raises ConfigError where the settings name a
    provider whose package is missing."""
    from gradewatch.worker.grading import RubricGrader
    from gradewatch.worker.ocr import default_ocr
    from gradewatch.worker.pipeline import make_desk_handler, make_grade_handler

    worker = settings.worker
    providers = usable(settings, environ)
    local, rubric = default_ocr(), RubricGrader(worker.review_below)
    if not providers:
        return make_grade_handler(local, rubric)
    from gradewatch.worker.providers.chain import ChainDesk
    from gradewatch.worker.providers.memory import Memory

    memory = Memory(store, worker.budget)
    vision = _vision(settings, environ, memory, metrics) if "vision" in providers else None
    groq = _groq(settings, environ, memory, metrics) if "groq" in providers else None
    readers = [vision if name == "vision" and vision else local for name in worker.ocr or _auto(vision, "local")]
    graders = [groq if name == "groq" and groq else rubric for name in worker.grading or _auto(groq, "rubric")]
    for provider in (vision, groq):
        if provider is not None:
            closing.push_async_callback(provider.close)
    log.info("providers in use", ocr=[each.name for each in readers], grading=[each.name for each in graders])
    batch = max(getattr(reader, "batch", 1) for reader in readers)
    remote = frozenset(providers)
    return make_desk_handler(
        lambda ctx: ChainDesk(ctx, readers, graders, memory, remote=remote, batch=batch), papers=worker.papers
    )


def usable(settings: Settings, environ: Mapping[str, str]) -> tuple[str, ...]:
    """The providers in use whose package is here. One that nobody named, but whose key is set, is left out with a
    warning; one that the settings name is an error: ConfigError."""
    named = {*settings.worker.ocr, *settings.worker.grading}
    found, problems = [], []
    for name in chosen(environ, settings.worker.ocr, settings.worker.grading):
        if _installed(name):
            found.append(name)
        elif name in named:
            problems.append(f"the settings name {name}, and its package is missing: pip install 'gradewatch[{name}]'")
        else:
            variable = PROVIDERS[name][0]
            log.warning(
                "key set, package missing: not used", variable=variable, fix=f"pip install 'gradewatch[{name}]'"
            )
    if problems:
        raise ConfigError(problems)
    return tuple(found)


def _installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(PARTS[name]) is not None
    except ModuleNotFoundError:
        return False


def _auto(provider: Vision | Groq | None, local: str) -> tuple[str, ...]:
    return (provider.name if provider else local,)


def _vision(settings: Settings, environ: Mapping[str, str], memory: Memory, metrics: ProviderMetrics) -> Vision:
    from gradewatch.worker.providers.vision import Vision

    made = Vision(environ, settings.worker.language_hints, settings.worker.provider_timeout)
    made.line = _line(made, settings, memory, metrics)
    return made


def _groq(settings: Settings, environ: Mapping[str, str], memory: Memory, metrics: ProviderMetrics) -> Groq:
    from gradewatch.worker.providers.groq import Groq

    worker = settings.worker
    made = Groq(environ, worker.groq_model, worker.provider_timeout, worker.review_below)
    made.line = _line(made, settings, memory, metrics)
    return made


def _line(provider: Vision | Groq, settings: Settings, memory: Memory, metrics: ProviderMetrics) -> Line:
    from gradewatch.worker.providers.line import Line

    return Line(
        provider.name,
        PROVIDERS[provider.name][0],
        provider.check,
        memory,
        metrics,
        timeout=settings.worker.provider_timeout,
        most=MOST_CALLS * settings.worker.papers,
        rng=random.Random(),
    )
