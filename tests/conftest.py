"""Which tests share a process, and which come first, where several processes run them (pytest -n)."""

from __future__ import annotations

import ast
import functools
import sys

import hypothesis
import pytest

# How long a machine takes says nothing about the code; what is to be quick has a test of its own.
hypothesis.settings.register_profile("any pace", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("any pace")
pytest.register_assert_rewrite("cluster_kit")  # here, for two folders import it

# Each of these loads both cores by itself: never two at once, nor beside a test of how quickly something happens.
HEAVY = ("thirty_megabytes", "demo_with_keys", "demo_runs_from_the_wheel")


if sys.version_info < (3, 11, 8):  # there ast.parse() fails now and then where threads run (CPython issue 106905)
    parse_once = ast.parse

    @functools.wraps(parse_once)
    def parse(*args: object, **options: object) -> object:
        """As ast.parse, tried once more: pytest and hypothesis parse source in the middle of a run."""
        try:
            return parse_once(*args, **options)  # type: ignore[call-overload]
        except SystemError:
            return parse_once(*args, **options)  # type: ignore[call-overload]

    ast.parse = parse  # type: ignore[assignment]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What goes by one process is the longest: it begins first, so that the others are not waited for at the end."""
    for item in items:
        if any(name in item.name for name in HEAVY):
            item.add_marker(pytest.mark.xdist_group("heavy"))
    items.sort(key=lambda item: item.get_closest_marker("xdist_group") is None)
