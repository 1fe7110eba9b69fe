"""Takes secrets out of text before anybody sees it."""

import base64
import json
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

PLACEHOLDER = "[redacted]"
_MIN_LENGTH = 4  # shorter "secrets" are parts of ordinary words, and protect nothing


class Redactor:
    """Replaces given secrets, and their usual encodings, in any text.

    Args:
        secrets: The texts that must not be shown; blank ones are left out.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        forms = {form for secret in secrets if len(secret) >= _MIN_LENGTH for form in _spell(secret)}
        self._forms = sorted(forms, key=len, reverse=True)

    def redact(self, text: str) -> str:
        """The text with a placeholder wherever a secret stood."""
        for form in self._forms:
            text = text.replace(form, PLACEHOLDER)
        return text


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
