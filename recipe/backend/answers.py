"""What the backend's answers mean: a status becomes success, or one of our errors."""

import math
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import httpx

from recipe.errors import AuthenticationError, BackendError, MissingFileError

_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504, *range(506, 600)})


class UnavailableError(BackendError):
    """The backend cannot answer now; the same request may succeed later.

    Attributes:
        retry_after_seconds: The pause that the backend asks for, if it does.
    """

    def __init__(self, message: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class RefusedError(BackendError):
    """The backend does not take this request as it is now.

    Attributes:
        status: The HTTP status.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def check_answer(response: httpx.Response, call: str, *, is_origin: bool, has_credentials: bool) -> None:
    """Accept a 2xx answer.

    Args:
        response: The answer; its body is not read.
        call: The method and path, as they may be shown.
        is_origin: Whether the backend itself answered, not a storage that it redirected to.
        has_credentials: Whether the job came with credentials.

    Raises:
        AuthenticationError: 401 or 403 from the backend.
        MissingFileError: 404 or 410.
        UnavailableError: A status that says "later".
        RefusedError: Any other status.
    """
    status = response.status_code
    if 200 <= status < 300:
        return
    answer = f"{call} was answered {_name_status(status)}"
    if status in {401, 403} and is_origin:
        advice = "check auth_token or worker_api_key" if has_credentials else "the job brought no credentials"
        raise AuthenticationError(f"{answer}: the backend refused access; {advice}.")
    if status in {401, 403}:
        # A signed address expires; asking the backend again brings a fresh one.
        raise UnavailableError(f"{answer} by the storage that the backend redirects to.")
    if status in {404, 410}:
        raise MissingFileError(f"{answer}: the backend does not have it; upload it again.")
    if status in _TRANSIENT:
        retry_after = parse_retry_after(response.headers.get("retry-after"))
        raise UnavailableError(f"{answer}; try again later.", retry_after)
    raise RefusedError(f"{answer}; expected success (2xx).", status)


def parse_retry_after(value: str | None, now: datetime | None = None) -> float | None:
    """The seconds that a `Retry-After` asks for, at least 0; None if it is missing or makes no sense.

    RFC 9110, section 10.2.3: a number of seconds, or a date.
    """
    if value is None or len(value) > 64:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        date = parsedate_to_datetime(value)
        seconds = (date.replace(tzinfo=date.tzinfo or UTC) - (now or datetime.now(UTC))).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _name_status(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)
