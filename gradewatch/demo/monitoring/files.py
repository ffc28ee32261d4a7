"""Where the rules and Alertmanager's example lie: inside an installed wheel, or in the source tree."""

from __future__ import annotations

from pathlib import Path

from gradewatch.errors import GradewatchError


def monitoring_folder() -> Path:
    """The folder with prometheus/ and alertmanager/. Raises GradewatchError when it was left out."""
    package = Path(__file__).resolve().parents[2]
    for folder in (package / "monitoring", package.parent):
        if (folder / "prometheus" / "alert_rules.yml").is_file():
            return folder
    raise GradewatchError("The alert rules were left out of this installation; reinstall gradewatch, or clone it.")
