"""PURE. Can the providers be used: are the keys there and right, do they answer, is there quota?"""

from __future__ import annotations

from collections.abc import Iterator

from gradewatch.model import Code, CredentialFacts, Finding, Severity, Snapshot, Unknown

_SEVERITY = {Code.PROVIDER_RATE_LIMITED: Severity.WARNING}
_SUMMARIES = {
    Code.PROVIDER_UNAVAILABLE: "{provider} cannot be used at present: jobs wait for it, or turn to the next one",
    Code.PROVIDER_RATE_LIMITED: "{provider} lets in less than is asked of it: jobs slow down or wait",
}
_CREDENTIAL = "{variable}, which {provider} needs, cannot be used"
_FIX = "Set {variable} in the environment of the workers and of the watch, then restart them."


def findings(snapshot: Snapshot) -> Iterator[Finding]:
    if isinstance(snapshot.environment, Unknown):
        return
    for fact in snapshot.environment.value:
        if fact.problem is not None:
            yield _finding(fact, fact.problem)


def _finding(fact: CredentialFacts, code: Code) -> Finding:
    words = {"variable": fact.variable, "provider": fact.provider}
    return Finding(
        code,
        _SEVERITY.get(code, Severity.CRITICAL),
        fact.variable,
        _SUMMARIES.get(code, _CREDENTIAL).format(**words),
        (fact.message,),
        fact.fix or _FIX.format(**words),
        "gradewatch doctor" if code in _SUMMARIES else "gradewatch check-config",
    )
