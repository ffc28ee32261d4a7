"""Which tests share a process, and which come first, where several processes run them (pytest -n)."""

from __future__ import annotations

# Hypothesis' plugin imports it when the run is over; there, with threads about, Python 3.11.7 at times fails to parse
# its source ("AST constructor recursion depth mismatch"), and the run with it.
import hypothesis  # noqa: F401
import pytest

pytest.register_assert_rewrite("cluster_kit")  # here, for two folders import it

# Each of these loads both cores by itself: never two at once, nor beside a test of how quickly something happens.
HEAVY = ("thirty_megabytes", "demo_with_keys", "demo_runs_from_the_wheel")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What goes by one process is the longest: it begins first, so that the others are not waited for at the end."""
    for item in items:
        if any(name in item.name for name in HEAVY):
            item.add_marker(pytest.mark.xdist_group("heavy"))
    items.sort(key=lambda item: item.get_closest_marker("xdist_group") is None)
