"""Files of a bucket, the hub or a web server, read by byte range.

`s3://bucket/key` goes through boto3, with the keys and the endpoint of the environment (`AWS_…`);
`hf://datasets/owner/name@revision/file` through the hub's own addresses, with `HF_TOKEN` if there is one; and
`https://host/file` through httpx. What may pass is tried again: refusals and files that are not there are
not. No message quotes what a library says, since that may hold a credential.
"""

import os
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import unquote, urlsplit

import boto3
import httpx
import stamina
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,  # noqa: A004 - no class above it but BotoCoreError
    HTTPClientError,
    IncompleteReadError,
)
from huggingface_hub import hf_hub_url

from recipe.errors import DataError
from recipe.run.credentials import read_aws_keys, read_credential
from recipe.run.files import replacing, this_writer

NUM_THREADS = 16
"""Reads in flight in a process: at a latency of 30 ms they bring 530 windows a second."""

FETCH_BYTES = 16 << 20
"""So much of a whole file is read at a time."""

CONNECT_SECONDS = 10
READ_SECONDS = 60
PATIENCE_SECONDS = 300.0
"""How long a store may fail, as while it is restarted, before the run does."""

SCHEMES = ("s3", "hf", "https", "http")

_HUB_FILE = re.compile(r"datasets/(?P<name>[^/@]+/[^/@]+)(?:@(?P<revision>[^/]+))?/(?P<file>.+)")
_ADVICE = {
    401: "the credentials are missing or wrong",
    403: "the credentials may not read it: s3:GetObject below the prefix, or HF_TOKEN for a private dataset",
    404: "there is no such file",
    416: "it is empty, or ends before the bytes that are needed",
}
_PASSING = frozenset({408, 425, 429})


class RemoteFileError(OSError):
    """A remote file cannot be read; the message begins with its address and says why."""


class _PassingError(Exception):
    """What may be over at the next try; the message says what happened."""


@dataclass(frozen=True)
class _Answer:
    """Some bytes of a file, and the size of the whole file."""

    content: bytes
    num_bytes: int


def check_address(address: str) -> str:
    """The address of a remote folder, without a slash at its end.

    Raises:
        DataError: it is none that files can be read from, or holds a credential.
    """
    parts = urlsplit(address)
    if parts.scheme not in SCHEMES:
        raise DataError(
            f"Addresses that start with {parts.scheme[:20]}:// cannot be read; expected a folder, "
            "s3://bucket/prefix, hf://datasets/owner/name or https://host/folder."
        )
    if parts.username or parts.password or parts.query or parts.fragment:
        raise DataError(
            f"The {parts.scheme} address of the dataset holds a user, a password or a query, which process "
            "lists and logs would show; give it without, and keys in the environment."
        )
    folder = address.rstrip("/")
    if not parts.netloc or (parts.scheme == "hf" and not _HUB_FILE.fullmatch(_strip(folder) + "/file")):
        raise DataError(
            f"{address[:200]} names no dataset; expected s3://bucket/prefix, "
            "hf://datasets/owner/name[@revision][/folder] or https://host/folder."
        )
    return folder


def _strip(address: str) -> str:
    return address.partition("://")[2]


class RemoteFiles:
    """Reads remote files in one process, from any number of threads.

    Args:
        patience_seconds: How long failures that may pass are tried again.
    """

    def __init__(self, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._patience_seconds = patience_seconds

    def read(self, address: str, offset: int, num_bytes: int) -> bytes:
        """Bytes `offset` to `offset + num_bytes` of a file, all of them.

        Raises:
            RemoteFileError: they cannot be had.
        """
        return self._read(address, offset, num_bytes).content

    def fetch(self, address: str, path: Path) -> None:
        """Bring a whole file to this machine, where it is there in full or not at all.

        Raises:
            RemoteFileError: it cannot be had.
            OSError: it cannot be written.
        """
        size = self.measure(address)
        with replacing(path, this_writer()) as partial, partial.open("wb") as file:
            for offset in range(0, size, FETCH_BYTES):
                file.write(self.read(address, offset, min(FETCH_BYTES, size - offset)))

    def measure(self, address: str) -> int:
        """The size of a file in bytes, which is one at least.

        Raises:
            RemoteFileError: it cannot be read.
        """
        return self._read(address, 0, 1).num_bytes

    def _read(self, address: str, offset: int, num_bytes: int) -> _Answer:
        try:
            for attempt in stamina.retry_context(
                on=_PassingError, attempts=None, timeout=self._patience_seconds, wait_initial=0.2, wait_max=20
            ):
                with attempt:
                    answer = self._ask(address, offset, num_bytes)
        except _PassingError as error:
            reason = f"no whole answer came in {self._patience_seconds:g} s, the last was {error}"
            raise RemoteFileError(f"{address}: {reason}") from error
        except RemoteFileError as error:
            raise RemoteFileError(f"{address}: {error}") from error
        if len(answer.content) != num_bytes:
            raise RemoteFileError(
                f"{address}: it has {answer.num_bytes:,} bytes; expected {offset + num_bytes:,} at least"
            )
        return answer

    def _ask(self, address: str, offset: int, num_bytes: int) -> _Answer:
        ask = self._ask_bucket if address.startswith("s3://") else self._ask_web
        answer = ask(address, offset, num_bytes)
        if len(answer.content) != num_bytes and offset + num_bytes <= answer.num_bytes:
            raise _PassingError(f"{len(answer.content):,} of {num_bytes:,} bytes came")
        return answer

    def _ask_bucket(self, address: str, offset: int, num_bytes: int) -> _Answer:
        bucket, _, key = _strip(address).partition("/")
        client = self._s3
        try:
            answer = client.get_object(Bucket=bucket, Key=key, Range=_range(offset, num_bytes))
            content = answer["Body"].read()
        except ClientError as error:
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            _refuse(status, f" {error.response.get('Error', {}).get('Code', '')}".rstrip())
        except (HTTPClientError, ConnectionError, IncompleteReadError, OSError) as error:
            raise _PassingError(type(error).__name__) from error
        except BotoCoreError as error:
            raise RemoteFileError(
                f"{type(error).__name__}: check AWS_ENDPOINT_URL and AWS_DEFAULT_REGION"
            ) from error
        return _Answer(content, _total(answer.get("ContentRange", "")))

    def _ask_web(self, address: str, offset: int, num_bytes: int) -> _Answer:
        headers = {"Range": _range(offset, num_bytes), "Accept-Encoding": "identity"}
        if address.startswith("hf://"):
            address = _find_on_hub(address)
            token = read_credential(os.environ.get("HF_TOKEN", ""))
            # httpx takes it off where the hub redirects to another host.
            headers |= {"Authorization": f"Bearer {token}"} if token else {}
        try:
            with self._http.stream("GET", address, headers=headers) as answer:
                if answer.status_code == httpx.codes.OK:
                    raise RemoteFileError("its server does not answer with parts of files (HTTP Range)")
                if answer.status_code != httpx.codes.PARTIAL_CONTENT:
                    _refuse(answer.status_code)
                return _Answer(answer.read(), _total(answer.headers.get("Content-Range", "")))
        except httpx.TransportError as error:
            raise _PassingError(type(error).__name__) from error
        except httpx.HTTPError as error:
            raise RemoteFileError(type(error).__name__) from error

    @cached_property
    def _s3(self) -> Any:
        config = Config(
            max_pool_connections=NUM_THREADS,
            retries={"total_max_attempts": 1},  # tried again above, with the body
            connect_timeout=CONNECT_SECONDS,
            read_timeout=READ_SECONDS,
        )
        try:
            keys = read_aws_keys(os.environ, "A dataset in a bucket")
        except ValueError as error:
            raise RemoteFileError(str(error)) from error
        return boto3.session.Session().client("s3", config=config, **keys)

    @cached_property
    def _http(self) -> httpx.Client:
        return httpx.Client(
            timeout=httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS),
            limits=httpx.Limits(max_connections=NUM_THREADS, max_keepalive_connections=NUM_THREADS),
            follow_redirects=True,
        )


def _find_on_hub(address: str) -> str:
    found = _HUB_FILE.fullmatch(_strip(address))
    assert found, "check_address"
    return hf_hub_url(
        found["name"],
        found["file"],
        repo_type="dataset",
        revision=unquote(found["revision"] or "main"),
        endpoint=os.environ.get("HF_ENDPOINT"),
    )


def _range(offset: int, num_bytes: int) -> str:
    return f"bytes={offset}-{offset + num_bytes - 1}"


def _total(content_range: str) -> int:
    """The size of the file that an answer is a part of (RFC 9110, section 14.4)."""
    total = content_range.rpartition("/")[2]
    if not total.isdecimal():
        raise RemoteFileError("its server does not answer with parts of files (HTTP Range)")
    return int(total)


def _refuse(status: int, code: str = "") -> NoReturn:
    if status in _PASSING or status >= httpx.codes.INTERNAL_SERVER_ERROR:
        raise _PassingError(f"HTTP {status}{code}")
    advice = _ADVICE.get(status, "its server refuses")
    raise RemoteFileError(f"{advice} (HTTP {status}{code})")
