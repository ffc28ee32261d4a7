"""No platform: nothing to see, nothing to restart, and it says what to set."""

from __future__ import annotations

import pytest

from gradewatch.errors import PlatformError
from gradewatch.platforms.none import NoPlatform
from gradewatch.platforms.process import ProcessPlatform
from gradewatch.ports import WorkerControl


async def test_no_platform_has_no_targets_and_says_what_to_set():
    platform: WorkerControl = NoPlatform()
    platform.on_event(lambda: None)
    assert await platform.targets() == ()
    with pytest.raises(PlatformError, match=r'"w1" cannot be restarted.*kind under \[platform\]'):
        await platform.restart("w1", "")


def test_kinds_are_those_of_the_settings():
    assert (NoPlatform.kind, ProcessPlatform.kind) == ("none", "process")
