"""Write the dashboards; with --check only say which are not as the code makes them (exit code 1)."""

from __future__ import annotations

import sys
from pathlib import Path

from grafana.build import dashboards
from grafana.generated import Generated

DASHBOARDS = Generated(Path(__file__).resolve().parent / "dashboards", dashboards, "make dashboards", "*.json")

if __name__ == "__main__":
    raise SystemExit(DASHBOARDS.main(sys.argv[1:]))
