"""Takes secrets out of texts, values and output before anybody sees them."""

import base64
import json
import logging
import math
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, TextIO, cast
from urllib.parse import quote, quote_plus

from recipe.run.credentials import read_credential

PLACEHOLDER = "[redacted]"
_MIN_LENGTH = 4  # shorter "secrets" are parts of ordinary words, and protect nothing

PUBLIC_FIELDS = frozenset(
    {
        *("status", "error_type", "timestamp", "event_id", "job_id", "project_id", "user_id"),
        *("base_model", "model_path", "report_path", "save_path"),
    }
)
"""Names and places that the platform looks up: they are public, and useless with a part replaced."""


class Redactor:
    """Replaces given secrets, and their usual encodings, in any text.

    Args:
        secrets: The texts that must not be shown; those that are no credential are left out.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        known = [text for text in secrets if len(text) >= _MIN_LENGTH and read_credential(text)]
        forms = {form for secret in known for form in _spell(secret)}
        self._forms = sorted(forms, key=len, reverse=True)

    def redact(self, text: str) -> str:
        """The text with a placeholder wherever a secret stood."""
        for form in self._forms:
            text = text.replace(form, PLACEHOLDER)
        return text

    def redact_values(self, value: Any) -> Any:
        """The value in JSON's own types: NaN and infinities become null, texts are redacted.

        Names, numbers, true, false, null and the texts of `PUBLIC_FIELDS` are never changed, so that the
        structure stays what it was, whatever the secret is.
        """
        if value is None or isinstance(value, bool | int):
            return value
        if isinstance(value, float):
            return float(value) if math.isfinite(value) else None
        if isinstance(value, Mapping):
            return {
                _to_text(name): _to_text(item)
                if name in PUBLIC_FIELDS and isinstance(item, str)
                else self.redact_values(item)
                for name, item in value.items()
            }
        if isinstance(value, list | tuple | set | frozenset):
            return [self.redact_values(item) for item in value]
        if callable(getattr(value, "item", None)):  # a number of NumPy or torch
            return self.redact_values(value.item())
        return self.redact(_to_text(value))


class RedactingStream:
    """A text stream that takes secrets out of all that is written to it; the rest is the stream's own.

    A console that is gone (a pipe that nobody reads, a terminal that was closed) is no reason to end.

    Args:
        stream: Where the text goes.
        redactor: Knows the secrets.
    """

    def __init__(self, stream: TextIO, redactor: Redactor) -> None:
        self._stream = stream
        self._redactor = redactor

    def write(self, text: str) -> int:
        """The number of characters taken."""
        with suppress(OSError):
            self._stream.write(self._redactor.redact(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write each of them."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Pass on what waits."""
        with suppress(OSError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def redact_output(redactor: Redactor) -> None:
    """Take secrets out of all that Python code of this process prints and logs from now on."""
    replaced: dict[TextIO, TextIO] = {}
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        replaced[stream] = cast("TextIO", RedactingStream(stream, redactor))
        setattr(sys, name, replaced[stream])
    for logger in [logging.getLogger(), *logging.Logger.manager.loggerDict.values()]:
        for handler in getattr(logger, "handlers", ()):
            if isinstance(handler, logging.StreamHandler) and handler.stream in replaced:
                handler.setStream(replaced[handler.stream])


def _to_text(value: object) -> str:
    return str(value).encode(errors="replace").decode()  # lone surrogates are no JSON


def _spell(secret: str) -> set[str]:
    """The secret as it is, in an address, in JSON, in a Python literal and in Base64."""
    raw = secret.encode(errors="surrogatepass")
    encoded = {base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode()}
    escaped = {json.dumps(secret)[1:-1], repr(secret)[1:-1]}
    return (
        {secret, quote(raw, safe=""), quote_plus(raw)}
        | escaped
        | encoded
        | {text.rstrip("=") for text in encoded}
    )
