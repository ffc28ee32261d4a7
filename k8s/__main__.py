"""Write the generated manifests; with --check only say which are not as the code makes them (exit code 1)."""

from __future__ import annotations

import sys
from pathlib import Path

from grafana.generated import Generated
from k8s.build import manifests

FOLDER = Path(__file__).resolve().parent / "overlays" / "monitoring" / "generated"
MANIFESTS = Generated(FOLDER, manifests, "make k8s")

if __name__ == "__main__":
    raise SystemExit(MANIFESTS.main(sys.argv[1:]))
