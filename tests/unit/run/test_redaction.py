"""Secrets are found in the forms that they take on their way into a log."""

import base64
import json
from urllib.parse import quote

import pytest

from recipe.run.redaction import PLACEHOLDER, Redactor

SECRET = 'a/b+c"d\\e='


@pytest.mark.parametrize(
    "form",
    [
        pytest.param(SECRET, id="as it is"),
        pytest.param(quote(SECRET, safe=""), id="in an address"),
        pytest.param(json.dumps(SECRET)[1:-1], id="in JSON"),
        pytest.param(repr(SECRET)[1:-1], id="in a Python literal"),
        pytest.param(base64.b64encode(SECRET.encode()).decode(), id="in Base64"),
        pytest.param(base64.urlsafe_b64encode(SECRET.encode()).decode().rstrip("="), id="in a JWT's Base64"),
    ],
)
def test_redacted(form: str) -> None:
    assert Redactor([SECRET]).redact(f"before {form} after") == f"before {PLACEHOLDER} after"


def test_a_secret_inside_another_leaves_no_rest() -> None:
    assert Redactor(["token", "token-long"]).redact("token-long token") == f"{PLACEHOLDER} {PLACEHOLDER}"


@pytest.mark.parametrize("secret", ["", "a", "abc"])
def test_a_text_that_is_too_short_to_be_a_secret_is_left(secret: str) -> None:
    assert Redactor([secret]).redact("abc abc") == "abc abc"
