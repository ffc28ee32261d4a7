"""Groq: a language model that says which items of the rubric an answer earns, by strict JSON schema."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from gradewatch.probes.environment import GROQ_ENDPOINT, BadCredential, groq_key
from gradewatch.worker.grading import grade_text
from gradewatch.worker.providers import prompt
from gradewatch.worker.providers.classify import groq_fault
from gradewatch.worker.providers.faults import Kind, ProviderFault
from gradewatch.worker.providers.hostile import cleaned
from gradewatch.worker.providers.line import Answer, Customer, Line
from gradewatch.worker.providers.verdict import Said, judge, parse
from gradewatch.worker.rubric import Rubric

NAME = "groq"


class Groq:
    """Grades texts through its line. `timeout` is the deadline of one call in seconds."""

    name = NAME

    def __init__(self, environ: Mapping[str, str], model: str, timeout: float, review_below: float) -> None:
        self._environ, self._model, self._timeout, self._review_below = environ, model, timeout, review_below
        self._client: Any = None
        self.line: Line | None = None

    async def check(self) -> None:
        """List the models: free, and refused to a wrong key. Raises ProviderFault."""
        client = await self._connected()
        try:
            answer = await client.models.list(timeout=self._timeout)
        except Exception as error:  # the SDK's own, and its parser's
            raise groq_fault(error) from error
        if not isinstance(getattr(answer, "data", None), list):
            raise ProviderFault(Kind.UNAVAILABLE, "what answers for Groq is not Groq: its answer was no JSON")

    async def grade(self, text: str, rubric: Rubric, confidence: float, customer: Customer) -> list[dict[str, Any]]:
        """One result per question, as RubricGrader gives them. Raises ProviderFault, NotNow or BudgetSpent."""
        assert self.line is not None
        if not text.strip():
            return grade_text(text, rubric, confidence, self._review_below)  # there is nothing to ask about
        given, _ = cleaned(text[: prompt.MOST_TEXT])
        asked = prompt.messages(given, rubric)
        said = await self.line.call(customer, prompt.most_tokens(asked, rubric), lambda: self._ask(asked, rubric))
        results = await asyncio.to_thread(
            judge, said, given, rubric, confidence=confidence, review_below=self._review_below
        )
        return results if len(text) <= prompt.MOST_TEXT else [_cut(result) for result in results]

    async def _ask(self, asked: list[dict[str, str]], rubric: Rubric) -> Answer[dict[str, Said]]:
        """One call: no retry of the SDK's, a deadline. Cancelling it closes its connection."""
        form = {"name": "marks", "strict": True, "schema": prompt.schema(rubric)}
        client = await self._connected()
        try:
            answer = await client.chat.completions.create(
                model=self._model,
                messages=asked,
                response_format={"type": "json_schema", "json_schema": form},
                max_completion_tokens=prompt.most_answer_tokens(rubric),
                temperature=0.0,
                timeout=self._timeout,
            )
        except Exception as error:  # the SDK's own, and its parser's
            raise groq_fault(error) from error
        if not isinstance(getattr(answer, "choices", None), list):
            # The SDK hands an HTML page through as text.
            raise ProviderFault(Kind.UNAVAILABLE, "what answers for Groq is not Groq: its answer was no JSON")
        took = (answer.usage.prompt_tokens, answer.usage.completion_tokens) if answer.usage else (0, 0)
        try:
            return Answer(parse(_content(answer), rubric), *took)
        except ProviderFault as fault:
            fault.took = took  # paid for, all the same
            raise

    async def _connected(self) -> Any:
        if self._client is None:
            try:
                key = groq_key(self._environ)
            except BadCredential as bad:
                raise ProviderFault(Kind.CREDENTIAL, str(bad), fix=bad.fix) from None
            # Importing the SDK takes half a second: not in the event loop.
            self._client = await asyncio.to_thread(
                _client, key, self._environ.get(GROQ_ENDPOINT, "").strip(), self._timeout
            )
        return self._client

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()
            self._client = None


def _client(key: str, url: str, timeout: float) -> Any:
    import groq

    return groq.AsyncGroq(api_key=key, base_url=url or None, max_retries=0, timeout=timeout)


def _content(answer: Any) -> object:
    choices = getattr(answer, "choices", None)
    message = getattr(choices[0], "message", None) if choices else None
    return getattr(message, "content", None)


def _cut(result: dict[str, Any]) -> dict[str, Any]:
    reason = f"the paper is longer than the {prompt.MOST_TEXT:,} characters that were graded"
    return {**result, "needs_review": True, "reason": "; ".join(filter(None, [result["reason"], reason]))}
