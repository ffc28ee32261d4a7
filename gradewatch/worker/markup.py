"""Reading YAML or JSON that strangers wrote: plain values only, nothing that expands, nothing said twice."""

from __future__ import annotations

import json
from typing import Any, NoReturn

import yaml

from gradewatch.errors import RubricError

MAX_DEPTH = 20


def read_markup(source: bytes | str) -> Any:
    """The plain value that the text holds. Raises RubricError: not UTF-8, not YAML or JSON, nested more than twenty
    deep, a key said twice, or a YAML anchor or alias (a few of them can expand to gigabytes)."""
    try:
        text = source.decode("utf-8-sig") if isinstance(source, bytes) else source
    except UnicodeDecodeError as fault:
        _refuse(f"the rubric is not UTF-8 text (byte {fault.start}); save it as UTF-8")
    if not text.strip():
        _refuse("the rubric is empty")
    if text.lstrip().startswith("{"):
        return _json(text)
    return _yaml(text)


def _json(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_once)
    except json.JSONDecodeError as fault:
        _refuse(f"line {fault.lineno}: not JSON: {fault.msg}")
    except RecursionError:
        _refuse(f"the rubric is nested more than {MAX_DEPTH} levels deep")
    except ValueError as fault:
        _refuse(f"not JSON: {fault}")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            _refuse(f"the key {key[:60]!r} is said twice in one mapping")
        found[key] = value
    return found


def _yaml(text: str) -> Any:
    try:
        _refuse_expansion(text)
        return yaml.load(text, Loader=_PlainLoader)  # a SafeLoader, only stricter
    except yaml.MarkedYAMLError as fault:
        line = f"line {fault.problem_mark.line + 1}: " if fault.problem_mark else ""
        _refuse(f"{line}not YAML: {fault.problem or fault.context}")
    except yaml.YAMLError as fault:
        _refuse(f"not YAML: {str(fault).splitlines()[0]}")
    except ValueError as fault:  # such as the date 2026-02-31, or a number of 10,000 digits
        _refuse(f"not YAML: {fault}")


def _refuse_expansion(text: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        where = f"line {event.start_mark.line + 1}: " if event.start_mark else ""
        if getattr(event, "anchor", None):
            _refuse(f"{where}anchors and aliases (& and *) are not read; write the value out")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            _refuse(f"{where}nested more than {MAX_DEPTH} levels deep")


class _PlainLoader(yaml.SafeLoader):
    """SafeLoader takes the last of two equal keys; a marks line that silently loses is worse than an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if isinstance(key_node, yaml.ScalarNode) and key_node.value in seen:
                line = key_node.start_mark.line + 1
                _refuse(f"line {line}: the key {str(key_node.value)[:60]!r} is said twice in one mapping")
            if isinstance(key_node, yaml.ScalarNode):
                seen.add(key_node.value)
        return super().construct_mapping(node, deep)


def _refuse(problem: str) -> NoReturn:
    raise RubricError([problem])
