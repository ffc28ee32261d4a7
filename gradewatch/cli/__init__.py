"""The command line. Each command is a thin module, imported when it is called."""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Entry point of `gradewatch`: runs the command in sys.argv and exits with its code."""
    from gradewatch.cli.root import root

    root(prog_name="gradewatch")
