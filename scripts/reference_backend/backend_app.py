"""The contract's calls, the calls to read progress back, and the page that shows it."""

import hmac
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import unquote_to_bytes

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Request
from fastapi import Path as PathSegment
from fastapi.responses import FileResponse
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer
from fastapi.staticfiles import StaticFiles
from starlette.requests import ClientDisconnect

from scripts.reference_backend.event_store import EventStore
from scripts.reference_backend.progress_event import (
    EventError,
    ProgressEvent,
    find_missing_fields,
    parse_event,
)

MAX_EVENT_BYTES = 256 * 1024

# Sent with every answer. The page loads nothing from elsewhere and runs no script written inside it.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
SECURITY_HEADERS = [
    ("Content-Security-Policy", CONTENT_SECURITY_POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cache-Control", "no-cache"),
]

JobId = Annotated[str, PathSegment(max_length=200)]


def build_app(root: Path, auth_token: str = "", worker_key: str = "") -> FastAPI:
    """The backend over a folder.

    Args:
        root: Holds `uploads/{user_id}/{filename}` and `events.sqlite`; both are made where missing.
        auth_token: Expected in `Authorization: Bearer`; blank: not accepted.
        worker_key: Expected in `X-Worker-Key`; blank: not accepted. With both blank, every call is open.
    """
    uploads = root / "uploads"
    uploads.mkdir(parents=True, exist_ok=True)
    # Without the generated documentation pages: they load scripts from elsewhere.
    app = FastAPI(title="WhisperTrain reference backend", openapi_url=None, redirect_slashes=False)
    guards = [Depends(refuse_disguised_path), Depends(require_credentials(auth_token, worker_key))]
    app.include_router(build_upload_routes(uploads), dependencies=guards)
    app.include_router(build_progress_routes(EventStore(root / "events.sqlite")), dependencies=guards)
    app.mount("/", StaticFiles(directory=Path(__file__).parent / "page", html=True))
    return app


def build_upload_routes(uploads: Path) -> APIRouter:
    """The route of the files; byte ranges and ETags are FileResponse's own."""
    router = APIRouter()

    @router.get("/uploads/{user_id}/{filename}")
    def get_upload(user_id: str, filename: str) -> FileResponse:
        path = find_upload(uploads, user_id, filename)
        if path is None:
            raise HTTPException(404, f"No file '{filename}' of user '{user_id}'.")
        # A download, never a page: an uploaded .html must not run beside the dashboard.
        return FileResponse(path, media_type="application/octet-stream", filename=filename)

    return router


def find_upload(uploads: Path, user_id: str, filename: str) -> Path | None:
    """The user's file, or None where there is none or a link leads out of the user's own folder."""
    folder = uploads.resolve() / user_id
    try:
        path = (folder / filename).resolve(strict=True)
    except (OSError, ValueError, RuntimeError):  # not there or too long; a null character; links in a ring
        return None
    return path if path.is_file() and path.is_relative_to(folder) else None


def build_progress_routes(store: EventStore) -> APIRouter:
    """The routes that take progress events and read them back."""
    router = APIRouter(prefix="/api/training")

    @router.post("/progress/{job_id}")
    def post_progress(job_id: JobId, event: Annotated[ProgressEvent, Depends(read_event)]) -> dict[str, Any]:
        missing = find_missing_fields(event.model_dump(exclude_unset=True))
        return {"stored": store.add(job_id, event), "missing_fields": missing}

    @router.get("/progress/{job_id}")
    def get_progress(job_id: JobId, after: Annotated[int, Query(ge=0, le=2**53)] = 0) -> dict[str, Any]:
        # `after` counts arrivals, which for an orderly worker is the sequence: an event that comes late,
        # behind its successor, is still seen by who reads on from `num_events`.
        events = store.read(job_id, num_known=after)
        missing = {f"{event['status']}: {name}" for event in events for name in find_missing_fields(event)}
        return {
            "job_id": job_id,
            "num_events": after + len(events),
            "events": events,
            "missing_fields": sorted(missing),
        }

    @router.get("/jobs")
    def get_jobs() -> dict[str, Any]:
        return {"jobs": store.list_jobs()}

    return router


async def read_event(request: Request) -> ProgressEvent:
    """The progress event in the request's body, refused with 413 or 422 and a sentence."""
    body = bytearray()
    try:
        async for part in request.stream():
            body += part
            if len(body) > MAX_EVENT_BYTES:
                raise HTTPException(413, f"The progress event is longer than {MAX_EVENT_BYTES} bytes.")
        return parse_event(bytes(body))
    except ClientDisconnect as error:  # a worker that was killed: nobody reads the answer
        raise HTTPException(400, "The progress event ended early.") from error
    except EventError as error:
        raise HTTPException(422, str(error)) from error


def refuse_disguised_path(request: Request) -> None:
    """Answer 404 where a segment, once decoded, holds a slash or is a dot segment: it is not one segment."""
    for segment in request.scope["raw_path"].split(b"/"):
        decoded = unquote_to_bytes(segment)
        if b"/" in decoded or decoded in {b".", b".."}:
            raise HTTPException(404, "Each part of the address is one path segment.")


def require_credentials(auth_token: str, worker_key: str) -> Callable[..., None]:
    """A dependency that raises 401 unless one of the configured secrets came with the request."""
    bearer_scheme = HTTPBearer(auto_error=False)
    key_scheme = APIKeyHeader(name="X-Worker-Key", auto_error=False)

    def check_credentials(
        bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer_scheme)],
        key: Annotated[str | None, Depends(key_scheme)],
    ) -> None:
        is_open = not auth_token and not worker_key
        has_token = is_secret(bearer.credentials if bearer else None, auth_token)
        has_key = is_secret(key, worker_key)
        if not (is_open or has_token or has_key):
            raise HTTPException(
                401, "The credentials are missing or wrong.", headers={"WWW-Authenticate": "Bearer"}
            )

    return check_credentials


def is_secret(given: str | None, expected: str) -> bool:
    """Whether the header's value is the configured secret, in a time that tells nothing of it."""
    if given is None or not expected:
        return False
    # Headers are decoded as Latin-1 by the framework: back to the bytes that were sent.
    return hmac.compare_digest(given.encode("latin-1"), expected.encode())
