"""Write the generated manifests; with --check only say which are not as the code makes them (exit code 1)."""

from __future__ import annotations

import sys
from pathlib import Path

from k8s.build import manifests

FOLDER = Path(__file__).parent / "overlays" / "monitoring" / "generated"


def drift() -> list[str]:
    """The files that are not as the code makes them: changed by hand, missing or left over."""
    wanted = manifests()
    present = {path.name for path in FOLDER.glob("*")}
    changed = [name for name, text in wanted.items() if name in present and (FOLDER / name).read_text() != text]
    return sorted({*changed, *(wanted.keys() ^ present)})


def main(arguments: list[str]) -> int:
    if arguments == ["--check"]:
        changed = drift()
        if changed:
            print(f"not as the code makes them: {', '.join(changed)}. Run: make k8s")
        return 1 if changed else 0
    FOLDER.mkdir(exist_ok=True)
    for name, text in manifests().items():
        (FOLDER / name).write_text(text)
        print(f"k8s/overlays/monitoring/generated/{name}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
