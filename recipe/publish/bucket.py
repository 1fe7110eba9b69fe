"""Delivery to S3, or to a store that speaks its protocol (`AWS_ENDPOINT_URL`).

Every object is compared after its upload, and `release.json` is written last: a prefix where it lists
files holds all of them.
"""

import base64
import hashlib
import os
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from boto3.exceptions import Boto3Error
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from recipe.errors import PublishError
from recipe.publish.credentials import read_aws_credentials
from recipe.publish.destination import Bucket
from recipe.publish.release import SEAL_FILE, FileRecord, OnProgress, Release

PART_BYTES = 16 * 2**20
BLOCK_BYTES = 4 * 2**20
NUM_ATTEMPTS = 5
TIMEOUT_SECONDS = 60
PLACEHOLDER = b'{"format": 1, "files": {}}\n'
"""Content of `release.json` while the files are on their way: it needs no right to delete."""
NOT_FOUND = frozenset({"404", "NoSuchKey"})
NEEDED_RIGHTS = "the credentials need s3:PutObject, s3:GetObject and s3:ListBucket below the prefix"
ADVICE = {
    "403": NEEDED_RIGHTS,
    "AccessDenied": NEEDED_RIGHTS,
    "InvalidAccessKeyId": "AWS_ACCESS_KEY_ID is not known there",
    "NoSuchBucket": "the bucket does not exist",
    "SignatureDoesNotMatch": "AWS_SECRET_ACCESS_KEY does not belong to AWS_ACCESS_KEY_ID",
}

S3Client = Any  # boto3 makes its clients at run time


def deliver_to_bucket(release: Release, bucket: Bucket, on_progress: OnProgress) -> str:
    """The prefix as `s3://…`, once it holds exactly this release.

    Raises:
        PublishError: credentials are missing, or the store refused, could not be reached, or holds
            something else than was sent.
    """
    with _mapped_errors(bucket):
        client = _connect()
        if not _is_delivered(client, bucket, release):
            _put_seal(client, bucket, PLACEHOLDER)
            progress = _Progress(release.num_bytes, on_progress)
            for name in release.files:
                _upload_file(client, bucket, name, release, progress)
            _put_seal(client, bucket, release.seal)
    on_progress(release.num_bytes, release.num_bytes)
    return bucket.uri


class _Progress:
    """Adds up what boto3 tells: bytes since the last call, from several threads, negative for a retry."""

    def __init__(self, num_bytes: int, on_progress: OnProgress) -> None:
        self._num_bytes = num_bytes
        self._on_progress = on_progress
        self._num_done = 0
        self._lock = threading.Lock()

    def __call__(self, num_sent: int) -> None:
        with self._lock:
            self._num_done += num_sent
            self._on_progress(self._num_done, self._num_bytes)


def _connect() -> S3Client:
    retries = {"mode": "standard", "max_attempts": NUM_ATTEMPTS}
    config = Config(retries=retries, connect_timeout=TIMEOUT_SECONDS, read_timeout=TIMEOUT_SECONDS)
    return boto3.client("s3", config=config, **read_aws_credentials(os.environ))


def _address(bucket: Bucket, name: str) -> dict[str, str]:
    return {"Bucket": bucket.name, "Key": f"{bucket.prefix}/{name}"}


def _is_delivered(client: S3Client, bucket: Bucket, release: Release) -> bool:
    if _read_object(client, bucket, SEAL_FILE) != release.seal:
        return False
    return all(_is_stored(client, bucket, name, record) for name, record in release.files.items())


def _is_stored(client: S3Client, bucket: Bucket, name: str, record: FileRecord) -> bool:
    """Whether the store has an object of this size that was uploaded as this content."""
    try:
        head = client.head_object(**_address(bucket, name))
    except ClientError as error:
        if _code(error) in NOT_FOUND:
            return False
        raise
    return bool(head["ContentLength"] == record.size and head["Metadata"].get("sha256") == record.sha256)


def _upload_file(client: S3Client, bucket: Bucket, name: str, release: Release, progress: _Progress) -> None:
    """Uploads in parts, with a checksum of the whole that the store computes anew and compares."""
    path, record = release.folder / name, release.files[name]
    checksum = _crc32(path)
    client.upload_file(
        str(path),
        **_address(bucket, name),
        ExtraArgs={
            "ChecksumAlgorithm": "CRC32",
            "ChecksumCRC32": checksum,
            "Metadata": {"sha256": record.sha256},
        },
        Config=TransferConfig(multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES),
        Callback=progress,
    )
    head = client.head_object(**_address(bucket, name), ChecksumMode="ENABLED")
    found = head.get("ChecksumCRC32")
    is_same = found == checksum if found else _hash_object(client, bucket, name) == record.sha256
    if head["ContentLength"] != record.size or not is_same:
        raise PublishError(f"{bucket.uri} holds {name} otherwise than it was sent; try again.")


def _crc32(path: Path) -> str:
    """CRC-32 of the file as S3 writes it: base64 of four bytes, the highest first."""
    checksum = 0
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            checksum = zlib.crc32(block, checksum)
    return base64.b64encode(checksum.to_bytes(4, "big")).decode()


def _hash_object(client: S3Client, bucket: Bucket, name: str) -> str:
    """SHA-256 of what a store without checksums gives back, as hexadecimal digits."""
    digest = hashlib.sha256()
    for block in client.get_object(**_address(bucket, name))["Body"].iter_chunks(BLOCK_BYTES):
        digest.update(block)
    return digest.hexdigest()


def _read_object(client: S3Client, bucket: Bucket, name: str) -> bytes | None:
    try:
        return bytes(client.get_object(**_address(bucket, name))["Body"].read())
    except ClientError as error:
        if _code(error) in NOT_FOUND:
            return None
        raise


def _put_seal(client: S3Client, bucket: Bucket, seal: bytes) -> None:
    client.put_object(**_address(bucket, SEAL_FILE), Body=seal, ContentType="application/json")
    if _read_object(client, bucket, SEAL_FILE) != seal:
        raise PublishError(f"{bucket.uri} does not give back the {SEAL_FILE} that was written; try again.")


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", "unknown"))


@contextmanager
def _mapped_errors(bucket: Bucket) -> Iterator[None]:
    """Maps what boto3 raises to one sentence; its own messages may quote a request and are left out."""
    try:
        yield
    except (ClientError, BotoCoreError, Boto3Error) as error:
        refusal = error if isinstance(error, ClientError) else error.__context__
        if isinstance(refusal, ClientError):
            code = _code(refusal)
            reason = f"{code}: {ADVICE[code]}" if code in ADVICE else code
        else:
            reason = f"{type(error).__name__}: check AWS_ENDPOINT_URL and AWS_DEFAULT_REGION"
        raise PublishError(f"The model could not be delivered to {bucket.uri} ({reason}).") from error
    except OSError as error:
        raise PublishError(f"The staged model cannot be read: {error.strerror or error}.") from error
