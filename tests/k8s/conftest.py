"""Every overlay, rendered."""

from __future__ import annotations

import pytest
from rendering import Rendered


@pytest.fixture
def render():
    return Rendered.overlay


@pytest.fixture
def render_folder():
    return Rendered
