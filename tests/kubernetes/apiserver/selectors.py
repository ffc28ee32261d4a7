"""Label and field selectors, as a query's parameters write them."""

from __future__ import annotations

import re
from typing import Any

Json = dict[str, Any]
_SET = re.compile(r"\s*([^\s,!=()]+)\s+(in|notin)\s+\(([^)]*)\)\s*")
_PART = re.compile(r"(?:[^,(]|\([^)]*\))+")


def matches(labels: dict[str, str], selector: str) -> bool:
    return all(_one(labels, part.strip()) for part in _PART.findall(selector))


def _one(labels: dict[str, str], part: str) -> bool:
    if found := _SET.fullmatch(part):
        values = {value.strip() for value in found[3].split(",")}
        return (labels.get(found[1]) in values) is (found[2] == "in")
    for operator in ("!=", "==", "="):
        key, found_operator, value = part.partition(operator)
        if found_operator:
            return (labels.get(key.strip()) == value.strip()) is (operator != "!=")
    return part[1:] not in labels if part.startswith("!") else part in labels


def selected(obj: Json, selector: Json) -> bool:
    """An object's spec.selector against another's labels."""
    labels = obj["metadata"].get("labels") or {}
    wanted = selector.get("matchLabels") or {}
    return bool(wanted) and all(labels.get(key) == value for key, value in wanted.items())


def wanted(obj: Json, label_selector: str, field_selector: str) -> bool:
    meta = obj["metadata"]
    if label_selector and not matches(meta.get("labels") or {}, label_selector):
        return False
    for part in filter(None, field_selector.split(",")):
        key, _, value = part.partition("=")
        if key == "metadata.name" and meta["name"] != value:
            return False
    return True
