"""The client of the platform's backend: files come from it, progress goes to it."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import Self
from urllib.parse import quote

import httpx
import tenacity

from recipe.backend.address import CheckedTransport, check_base_url, set_io_deadline
from recipe.backend.answers import UnavailableError, check_answer
from recipe.backend.limits import Clock, Limits, RetryBudget
from recipe.backend.path_segment import check_segment
from recipe.backend.transfer import PartialFile, Resumption, receive
from recipe.errors import BackendError, JobError, RecipeError

MAX_REDIRECTS = 4
MAX_ANSWER_BYTES = 64 << 10
"""Bytes read of an answer that nobody needs, so that its connection can be used again."""

_RANGE_NOT_SATISFIABLE = 416


def _ignore_bytes(num_bytes: int) -> None:
    """Stand in for a caller who does not watch."""


class BackendClient:
    """One backend, spoken to by any number of threads.

    Credentials go to the backend's own origin alone, never through a proxy and never along a redirect.

    Args:
        base_url: `backend_base_url` of the job; may have a path.
        auth_token: A JWT, preferred; blank for none.
        worker_api_key: The shared secret, used without a token; blank for none.
        allow_private: Whether the operator allows plain http and addresses of private networks.
        transport: Stands in for the network in tests.
        limits: Bounds on time and retries.
        clock: Monotonic seconds.
        sleep: Waits for some seconds between two attempts.

    Raises:
        JobError: The address or a credential cannot be used.
    """

    def __init__(
        self,
        base_url: str,
        *,
        auth_token: str = "",
        worker_api_key: str = "",
        allow_private: bool = False,
        transport: httpx.BaseTransport | None = None,
        limits: Limits | None = None,
        clock: Clock = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._base_url = check_base_url(base_url, is_private_allowed=allow_private)
        self._origin = _origin_of(httpx.URL(self._base_url))
        self._is_private_allowed = allow_private
        self._credentials = _build_credentials(auth_token, worker_api_key)
        self._limits = limits or Limits()
        self._budget = RetryBudget(self._limits.num_retries_in_hand)
        self._clock = clock
        self._sleep = sleep
        self._http = httpx.Client(
            transport=transport or CheckedTransport(is_private_allowed=allow_private),
            timeout=httpx.Timeout(self._limits.stall_seconds, connect=self._limits.connect_seconds),
            headers={"Accept-Encoding": "identity", "User-Agent": "whispertrain"},
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),  # a jar would grow for days
            trust_env=False,
            follow_redirects=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def fetch_upload(
        self,
        user_id: str,
        filename: str,
        destination: Path,
        *,
        max_bytes: int,
        on_bytes: Callable[[int], None] = _ignore_bytes,
        stop: threading.Event | None = None,
    ) -> int:
        """The size of a user's file, now whole and durable at `destination`.

        What an earlier call left there is used: a whole file is kept, a partial one is resumed if the backend
        still has the same version.

        Args:
            user_id: Owner of the file.
            filename: The file's name in the manifest.
            destination: Where the file goes; `.part` and `.source` are added for files beside it.
            max_bytes: Largest file that is accepted.
            on_bytes: Told the number of the file's bytes on disk as they come; fewer after a start over.
            stop: Ends the transfer soon after it is set.

        Raises:
            JobError: A name that cannot be part of an address.
            AuthenticationError: The backend refuses the credentials.
            MissingFileError: The backend does not have this file.
            BackendError: The file could not be had, all retries included.
            DiskError: The disk has no room for it, or cannot be written.
        """
        path = self._build_path("uploads", user_id=user_id, filename=filename)
        part = PartialFile(destination)
        size = part.whole_size()
        if size is not None:
            on_bytes(size)
            return size
        deadline = self._clock() + self._limits.file_seconds
        stop = stop or threading.Event()

        def watch(num_bytes: int) -> None:
            if stop.is_set():
                raise BackendError("the download was stopped")
            if self._clock() > deadline:
                raise BackendError(f"the file took longer than {self._limits.file_seconds:.0f} s")
            on_bytes(num_bytes)

        while True:
            num_before = part.num_bytes
            try:
                num_bytes = self._retry(
                    lambda: self._fetch_once(path, part, max_bytes, watch), deadline, stop
                )
            except UnavailableError:
                has_progressed = part.num_bytes - num_before >= self._limits.progress_bytes
                if not has_progressed or stop.is_set() or self._clock() > deadline:
                    raise
            else:
                self._budget.give_back()
                return num_bytes

    def post_progress(self, job_id: str, event: Mapping[str, object]) -> None:
        """Deliver one progress event, in a single attempt; whoever keeps the events chooses when to retry.

        Raises:
            JobError: A job id that cannot be part of an address.
            AuthenticationError: 401 or 403.
            MissingFileError: 404 or 410: the backend does not know the job.
            UnavailableError: The backend may take it later.
            RefusedError: Any other answer but 2xx.
        """
        path = self._build_path("api", "training", "progress", job_id=job_id)
        body = json.dumps(event, allow_nan=False).encode()
        call = f"POST {path}"
        with self._send("POST", httpx.URL(self._base_url + path), call, body=body) as response:
            self._check(response, call)
            _drain(response)

    def _build_path(self, *folders: str, **names: str) -> str:
        """The path below the base address: our folders, then the untrusted names, one segment each."""
        for field, name in names.items():
            check_segment(name, field)
        path = "".join(
            f"/{segment}" for segment in (*folders, *(quote(name, safe="") for name in names.values()))
        )
        url = httpx.URL(self._base_url + path)
        prefix = httpx.URL(self._base_url).raw_path.decode().rstrip("/")
        assert url.raw_path.decode() == prefix + path, "the address must stay as it was built"
        assert _origin_of(url) == self._origin
        return path

    def _retry(self, attempt: Callable[[], int], deadline: float, stop: threading.Event) -> int:
        """The value of the first attempt that succeeds, within the bounds on attempts, time and retries."""

        def is_over(state: tenacity.RetryCallState) -> bool:
            is_last = state.attempt_number >= self._limits.num_attempts
            return is_last or stop.is_set() or self._clock() > deadline or not self._budget.take()

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(UnavailableError),
            stop=is_over,
            wait=self._choose_pause,
            sleep=lambda seconds: _sleep_in_steps(seconds, self._sleep, stop),
            reraise=True,
        )
        return retrying(attempt)

    def _choose_pause(self, state: tenacity.RetryCallState) -> float:
        """Full jitter, lest a thousand workers come back in step; never less than the backend asks for."""
        error = state.outcome.exception() if state.outcome else None
        asked = error.retry_after_seconds if isinstance(error, UnavailableError) else None
        jittered = tenacity.wait_random_exponential(
            self._limits.backoff_seconds, self._limits.max_backoff_seconds
        )
        if asked is None:
            return jittered(state)
        spread = tenacity.wait_random(0, min(1.0, self._limits.backoff_seconds))
        return min(asked, self._limits.max_retry_after_seconds) + spread(state)

    def _fetch_once(
        self, path: str, part: PartialFile, max_bytes: int, on_bytes: Callable[[int], None]
    ) -> int:
        call = f"GET {path}"
        asked = Resumption.of(part)
        with self._get(path, call, asked.headers()) as response:
            if response.status_code == _RANGE_NOT_SATISFIABLE and asked.offset:
                part.discard()
                raise UnavailableError(f"{call}: the backend's file is shorter than before; it starts over.")
            self._check(response, call)
            try:
                return receive(
                    response,
                    part,
                    asked,
                    max_bytes=max_bytes,
                    limits=self._limits,
                    clock=self._clock,
                    on_bytes=on_bytes,
                )
            except UnavailableError as error:
                raise UnavailableError(f"{call}: {error}.") from error
            except BackendError as error:
                raise BackendError(f"{call}: {error}.") from error

    @contextmanager
    def _get(self, path: str, call: str, headers: Mapping[str, str]) -> Iterator[httpx.Response]:
        """The answer to a GET, at the end of its redirects."""
        url = httpx.URL(self._base_url + path)
        for _ in range(MAX_REDIRECTS + 1):
            with self._send("GET", url, call, headers=headers) as response:
                if not response.has_redirect_location:
                    yield response
                    return
                url = self._find_redirect_target(url, response.headers["location"], call)
        raise BackendError(f"{call} was redirected more than {MAX_REDIRECTS} times.")

    def _find_redirect_target(self, url: httpx.URL, location: str, call: str) -> httpx.URL:
        try:
            target = url.join(location)
            # Host, port and scheme follow the rules of a job's address; path and query are the backend's own.
            check_base_url(_origin_of(target), is_private_allowed=self._is_private_allowed)
        except (httpx.InvalidURL, ValueError, JobError) as error:
            raise BackendError(f"{call} was redirected to an address that is not allowed.") from error
        if target.userinfo:
            raise BackendError(f"{call} was redirected to an address with credentials in it.")
        return target

    @contextmanager
    def _send(
        self,
        method: str,
        url: httpx.URL,
        call: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Iterator[httpx.Response]:
        """The answer with its body still to be read; failures of the network become `UnavailableError`."""
        sent = dict(headers or {})
        if _origin_of(url) == self._origin:
            sent |= self._credentials
        if body is not None:
            sent["Content-Type"] = "application/json"
        request = self._http.build_request(method, url, headers=sent, content=body)
        set_io_deadline(self._limits.answer_seconds)
        try:
            response = self._start(request)
            try:
                yield response
            finally:
                response.close()
        except httpx.HTTPError as error:
            raise UnavailableError(f"{call} failed: {_describe(error)}.") from error

    def _start(self, request: httpx.Request) -> httpx.Response:
        """The answer up to its headers."""
        try:
            return self._http.send(request, stream=True)
        except (httpx.HTTPError, RecipeError):
            raise
        except Exception as error:  # httpx looks at `Location` itself, and IDNA's errors are not its own
            raise httpx.RemoteProtocolError("the answer's headers cannot be read") from error

    def _check(self, response: httpx.Response, call: str) -> None:
        is_origin = _origin_of(response.request.url) == self._origin
        check_answer(response, call, is_origin=is_origin, has_credentials=bool(self._credentials))


def _build_credentials(auth_token: str, worker_api_key: str) -> dict[str, str]:
    """The one header that proves who we are, or none; the token is preferred."""
    if auth_token.strip():
        _check_credential("auth_token", auth_token)
        return {"Authorization": f"Bearer {auth_token}"}
    if worker_api_key.strip():
        _check_credential("worker_api_key", worker_api_key)
        return {"X-Worker-Key": worker_api_key}
    return {}


def _check_credential(field: str, value: str) -> None:
    # The HTTP library's own complaint about a bad header would print the secret.
    if not (value.isascii() and value.isprintable()) or value != value.strip():
        raise JobError(
            f"{field}: expected printable ASCII characters without line breaks or spaces around them; "
            "the value is not shown, as it is a secret. Copy it again."
        )


def _origin_of(url: httpx.URL) -> str:
    """Scheme, host and port, the default port left out."""
    return f"{url.scheme}://{url.netloc.decode('ascii')}"


def _describe(error: Exception) -> str:
    """What went wrong on the network, without the text of a library that might quote a header."""
    name = type(error).__name__
    if isinstance(error, httpx.ConnectError):
        return f"no connection ({error})"
    if isinstance(error, httpx.TimeoutException):
        return f"no answer in time ({name})"
    return f"the connection broke ({name})"


def _drain(response: httpx.Response) -> None:
    """Read the rest of an answer whose status has said all, as far as that is cheap."""
    num_bytes = 0
    with suppress(httpx.HTTPError, httpx.StreamError):
        for chunk in response.iter_raw():
            num_bytes += len(chunk)
            if num_bytes > MAX_ANSWER_BYTES:
                return


def _sleep_in_steps(seconds: float, sleep: Callable[[float], None], stop: threading.Event) -> None:
    """Sleep, but notice within a second that there is nothing to wait for any more."""
    while seconds > 0 and not stop.is_set():
        step = min(seconds, 1.0)
        sleep(step)
        seconds -= step
