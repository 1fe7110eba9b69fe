"""Delivery to the Hugging Face hub: one commit, compared file by file after it was made."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import stamina
from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils.sha import git_hash

from recipe.errors import PublishError
from recipe.publish.credentials import read_hub_token
from recipe.publish.destination import HubRepository
from recipe.publish.release import SEAL_FILE, OnProgress, Release

NUM_ATTEMPTS = 4
MAX_WAIT_SECONDS = 30.0
ADVICE = {
    401: "HF_TOKEN was refused",
    403: "HF_TOKEN may not write there",
    404: "the owner does not exist, or HF_TOKEN may not see the repository",
    409: "somebody else changed the repository at the same time",
}


def deliver_to_hub(
    release: Release, repository: HubRepository, on_progress: OnProgress
) -> tuple[str, tuple[str, ...]]:
    """`hub:owner/name@commit`, once that commit holds exactly this release; and warnings.

    A new repository is private. Other files of an old one stay.

    Raises:
        PublishError: the token is missing, or the hub refused, could not be reached, or holds something
            else than was sent.
    """
    api = HfApi(endpoint=os.environ.get("HF_ENDPOINT"), token=read_hub_token(os.environ))
    with _mapped_errors(repository):
        for attempt in stamina.retry_context(
            on=_is_transient, attempts=NUM_ATTEMPTS, wait_max=MAX_WAIT_SECONDS
        ):
            with attempt:
                commit, is_private = _commit_release(api, release, repository)
    on_progress(release.num_bytes, release.num_bytes)
    warning = f"{repository.uri} was public before: everybody can read the model."
    return f"{repository.uri}@{commit}", () if is_private else (warning,)


def _commit_release(api: HfApi, release: Release, repository: HubRepository) -> tuple[str, bool]:
    """The commit that holds the release, a new one only where it is needed; whether it is private."""
    api.create_repo(repository.name, private=True, exist_ok=True)
    info = api.model_info(repository.name)
    commit = str(info.sha)
    if _find_differences(api, release, repository, commit):
        commit = api.create_commit(
            repository.name,
            [CommitOperationAdd(name, release.folder / name) for name in (*release.files, SEAL_FILE)],
            commit_message="Publish the fine-tuned model",
        ).oid
        differing = _find_differences(api, release, repository, commit)
        if differing:
            raise PublishError(
                f"{repository.uri} holds {', '.join(differing)} otherwise than sent; try again."
            )
    return commit, bool(info.private)


def _find_differences(api: HfApi, release: Release, repository: HubRepository, commit: str) -> list[str]:
    """Names of the files that the commit lacks, or holds with another content."""
    names = [*release.files, SEAL_FILE]
    entries = api.get_paths_info(repository.name, names, revision=commit)
    stored = {entry.path: entry for entry in entries if isinstance(entry, RepoFile)}
    return [name for name in names if name not in stored or not _is_same(stored[name], release)]


def _is_same(stored: RepoFile, release: Release) -> bool:
    """Large files are compared by SHA-256; for small ones the hub tells git's own hash."""
    if stored.lfs is not None:
        record = release.files.get(stored.path)
        return record is not None and (stored.lfs.size, stored.lfs.sha256) == (record.size, record.sha256)
    path = release.folder / stored.path
    return stored.size == path.stat().st_size and stored.blob_id == git_hash(path.read_bytes())


def _is_transient(error: Exception) -> bool:
    if isinstance(error, HfHubHTTPError):
        return error.response.status_code == 429 or error.response.status_code >= 500
    return not isinstance(error, PublishError | ValueError)


@contextmanager
def _mapped_errors(repository: HubRepository) -> Iterator[None]:
    """Maps what the hub's client raises to one sentence, without its messages: they may quote a request."""
    try:
        yield
    except PublishError:
        raise
    except HfHubHTTPError as error:
        status = error.response.status_code
        advice = ADVICE.get(status, "try again later")
        raise PublishError(f"The hub refused {repository.uri} with status {status}: {advice}.") from error
    except Exception as error:  # the client lets through what its HTTP and Xet libraries raise
        raise PublishError(
            f"The model could not be delivered to {repository.uri} ({type(error).__name__}); "
            "check the network and HF_ENDPOINT, and run the same command again."
        ) from error
