"""What a worker tells of itself, for metrics: derive from Observer and override what you count."""

from __future__ import annotations


class Observer:
    """Called in the worker's event loop: return at once, raise nothing. This one listens to nothing."""

    def on_session(self, is_open: bool) -> None:
        """The session was opened, or has ended or been ended."""

    def on_beat(self) -> None:
        """The store accepted a beat of the open session."""

    def on_paper_saved(self, status: str) -> None:
        """A paper's checkpoint is in the store; `status` as in PaperResult."""

    def on_job_done(self, kind: str, outcome: str, seconds: float) -> None:
        """A job has left this worker; `outcome`: succeeded, failed, retried, released or taken_back; `seconds` in
        its handler."""
