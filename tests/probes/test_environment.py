"""Credentials as far as looking tells: missing, malformed, in order; and never their value in a message."""

from __future__ import annotations

import base64
import json
from dataclasses import astuple

import pytest

from gradewatch.model import Code
from gradewatch.probes.environment import GROQ, VISION, read_credentials

SECRET = "s3cr3t-that-nobody-may-read"
KEY = {
    "type": "service_account",
    "client_email": "grader@example.iam.gserviceaccount.com",
    "private_key": f"-----BEGIN PRIVATE KEY-----\n{SECRET}\n-----END PRIVATE KEY-----\n",
    "token_uri": "https://oauth2.googleapis.com/token",
}


def encoded(value: object) -> str:
    return base64.b64encode(json.dumps(value).encode()).decode()


def without(name: str) -> dict[str, str]:
    return {k: v for k, v in KEY.items() if k != name}


def test_what_is_not_set_is_not_missed() -> None:
    assert read_credentials({"PATH": "/bin"}) == ()


@pytest.mark.parametrize(
    "value",
    [
        json.dumps(KEY),
        f"\n {json.dumps(KEY, indent=2)} \n",
        encoded(KEY),
        base64.encodebytes(json.dumps(KEY).encode()).decode(),  # as `base64 key.json` wraps it
    ],
    ids=["json", "indented", "base64", "wrapped base64"],
)
def test_a_key_file_is_in_order_as_json_and_as_base64(value: str) -> None:
    [fact] = read_credentials({VISION: value})
    assert (fact.variable, fact.problem, fact.message) == (VISION, None, "")


def test_groqs_key_is_in_order() -> None:
    [fact] = read_credentials({GROQ: f" gsk_{SECRET} "})
    assert (fact.variable, fact.problem) == (GROQ, None)


@pytest.mark.parametrize("variable", [VISION, GROQ])
@pytest.mark.parametrize("value", ["", " \n"])
def test_set_but_empty_is_missing(variable: str, value: str) -> None:
    [fact] = read_credentials({variable: value})
    assert fact.problem is Code.CREDENTIAL_MISSING
    assert variable in fact.message


MALFORMED = {
    "cut JSON": (json.dumps(KEY)[:-20], "JSON"),
    "quoted JSON": (json.dumps(json.dumps(KEY)), "JSON"),
    "a list": (json.dumps([KEY]), "key file"),
    "a bare token": (f"ya29.{SECRET}", "neither"),
    "base64 of nonsense": (base64.b64encode(SECRET.encode()).decode(), "neither"),
    "base64 of bytes": (base64.b64encode(b"\x81\xfe" + SECRET.encode()).decode(), "neither"),
    "base64 cut short": (encoded(KEY)[:-3], "neither"),
    "base64 of a list": (encoded([SECRET]), "key file"),
    "another alphabet": ("ключ" + SECRET, "neither"),
    "an empty object": ("{}", "client_email, private_key, token_uri"),
    "no e-mail": (json.dumps(without("client_email")), "client_email"),
    "no private key": (encoded(without("private_key")), "private_key"),
    "no token address": (json.dumps(without("token_uri")), "token_uri"),
    "an empty private key": (json.dumps(KEY | {"private_key": ""}), "private_key"),
    "a null": (json.dumps(KEY | {"client_email": None}), "client_email"),
}


@pytest.mark.parametrize(("value", "says"), MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_key_file_is_invalid_and_its_value_is_not_told(value: str, says: str) -> None:
    [fact] = read_credentials({VISION: value})
    assert fact.problem is Code.CREDENTIAL_INVALID
    assert VISION in fact.message
    assert says in fact.message
    assert not [text for text in map(str, astuple(fact)) if "s3cr3t" in text or value in text]


@pytest.mark.parametrize("value", [f"sk-{SECRET}", SECRET, f"GSK_{SECRET}", f"'gsk_{SECRET}'"])
def test_another_services_key_is_invalid_and_its_value_is_not_told(value: str) -> None:
    [fact] = read_credentials({GROQ: value})
    assert fact.problem is Code.CREDENTIAL_INVALID
    assert GROQ in fact.message
    assert "s3cr3t" not in str(astuple(fact))


def test_both_are_read_and_others_are_not() -> None:
    facts = read_credentials({GROQ: "gsk_x", VISION: "{}", "OPENAI_API_KEY": SECRET})
    assert {f.variable: f.problem for f in facts} == {GROQ: None, VISION: Code.CREDENTIAL_INVALID}
