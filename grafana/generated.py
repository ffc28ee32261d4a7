"""Files that code makes: written anew, or compared with what lies there."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Generated:
    """All files of `folder` that fit `pattern`, made by `make` as {name: text}; `command` writes them."""

    folder: Path
    make: Callable[[], Mapping[str, str]]
    command: str
    pattern: str = "*"

    def drift(self) -> list[str]:
        """The files that are not as the code makes them: changed by hand, missing or left over."""
        wanted = self.make()
        present = {path.name for path in self.folder.glob(self.pattern)}
        changed = [
            name for name, text in wanted.items() if name in present and (self.folder / name).read_text() != text
        ]
        return sorted({*changed, *(wanted.keys() ^ present)})

    def main(self, arguments: list[str]) -> int:
        """Write them; with --check only say which are not as the code makes them (exit code 1)."""
        if arguments == ["--check"]:
            changed = self.drift()
            if changed:
                print(f"not as the code makes them: {', '.join(changed)}. Run: {self.command}")
            return 1 if changed else 0
        self.folder.mkdir(exist_ok=True)
        for name, text in self.make().items():
            (self.folder / name).write_text(text)
            print(os.path.relpath(self.folder / name))
        return 0
