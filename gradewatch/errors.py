"""Every error that leaves a gradewatch module on purpose.

Driver exceptions never cross a store's border: they are raised as one of the four store errors here,
so that the code above can tell "nobody is home" from "you may not" from "somebody was faster".
"""

from __future__ import annotations

from collections.abc import Sequence


class GradewatchError(Exception):
    """Base of all errors of this package; its text is fit to be shown to an operator."""


class StoreError(GradewatchError):
    """Something between us and the store."""


class StoreUnavailable(StoreError):
    """The store cannot be reached, is locked, full, read-only or broken: try again later, conclude nothing."""


class Conflict(StoreError):
    """The row is no longer as it was read: someone else was faster. The row is untouched."""


class AccessDenied(StoreError):
    """The store answered, and refused: wrong role, key or file permission."""


class SchemaMismatch(StoreError):
    """The store's tables are missing, older or newer than this version can use."""


class NotFound(GradewatchError):
    """No job, sweep or worker has that id."""


class ConfigError(GradewatchError):
    """The settings cannot be used. `problems` holds every one of them, not only the first."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class PayloadError(GradewatchError):
    """A job's payload has the wrong shape: trying again cannot help."""


class RubricError(GradewatchError):
    """A rubric file cannot be used. `problems` holds every one found."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class PaperError(GradewatchError):
    """One paper cannot be read (corrupt, encrypted, empty, too large): the paper fails, its job goes on."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


class LeaseLost(GradewatchError):
    """This process no longer holds the lease it acted under; it must stop acting."""


class PlatformError(GradewatchError):
    """The platform (process table, Kubernetes, Render …) refused or did not answer."""


class NotNow(PlatformError):
    """The platform may do it, and not at this moment: a disruption budget, a rollout, too many requests."""
