#!/usr/bin/env python
"""A page on this machine that transcribes what you say, or a file, by the base model and by yours.

    python scripts/try_it.py runs/fr/model
    python scripts/try_it.py MODEL --base openai/whisper-small --language fr

Both are shown side by side, with times. The base model is the one that MODEL was trained from, unless --base
says otherwise. Nothing leaves the machine: the page is served on 127.0.0.1 alone.
"""

import argparse
import json
import logging
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the project is run from its checkout

import torch
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.concurrency import run_in_threadpool
from starlette.middleware.trustedhost import TrustedHostMiddleware
from transformers import AutomaticSpeechRecognitionPipeline

from recipe.arguments import ModelArguments
from recipe.audio.decoding import AudioLimits, decode_audio
from recipe.errors import RecipeError
from recipe.model.whisper import load_whisper

MAX_BYTES = 200 * 2**20
LIMITS = AudioLimits(max_seconds=15 * 60)
"""Longest recording: on a processor even that takes minutes."""

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "media-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def main() -> None:
    """Load both models and serve the page."""
    arguments = parse_arguments()
    logging.basicConfig(level=logging.WARNING)
    try:
        names = {"base": arguments.base or find_base(arguments.model), "trained": arguments.model}
        found = {
            side: load(name, arguments.language, arguments.device) for side, name in names.items() if name
        }
    except (RecipeError, OSError) as error:
        sys.exit(str(error))
    if "base" not in found:
        print("The base model is not here; give --base to see both.", file=sys.stderr)
    print(f"Open http://127.0.0.1:{arguments.port} in a browser; Ctrl+C ends.", flush=True)
    uvicorn.run(build_app(Models(found), names), host="127.0.0.1", port=arguments.port, log_level="warning")


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="folder or hub id of a Whisper checkpoint")
    parser.add_argument("--base", help="folder or hub id of what it is compared with")
    parser.add_argument("--language", help="code or name; by default what the model is set to, or detects")
    parser.add_argument("--port", type=int, default=8765, help="on 127.0.0.1 (default: %(default)s)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser.parse_args()


def find_base(model: str) -> str:
    """What a released folder was trained from, "" if it does not say or that is a folder elsewhere."""
    path = Path(model) / "training_metadata.json"
    try:
        base = str(json.loads(path.read_text(encoding="utf-8"))["base_model"])
    except (OSError, ValueError, KeyError):
        return ""
    return base if "/" in base else ""


def load(name: str, language: str | None, device: str) -> AutomaticSpeechRecognitionPipeline:
    """A model that transcribes recordings of any length, greedily, with times.

    Raises:
        RecipeError: it cannot be loaded, or does not know the language.
    """
    whisper = load_whisper(ModelArguments(name, language=language))
    if language and whisper.is_multilingual:
        generation: Any = whisper.model.generation_config  # Whisper's fields are not in its type
        generation.language = language.lower()
    return AutomaticSpeechRecognitionPipeline(
        model=whisper.model,
        tokenizer=whisper.processor.tokenizer,
        feature_extractor=whisper.processor.feature_extractor,
        device=torch.device(device),
    )


class Models:
    """Models that transcribe one after another.

    Args:
        by_side: Each by its side of the page, "base" or "trained".
    """

    def __init__(self, by_side: dict[str, AutomaticSpeechRecognitionPipeline]) -> None:
        self.by_side = by_side
        self._lock = threading.Lock()

    def answer(self, side: str, data: bytes) -> tuple[int, dict[str, Any]]:
        """Status and content of the answer to a recording."""
        if side not in self.by_side:
            return 404, {"error": f"There is no model {side!r}."}
        with self._lock:
            try:
                return 200, transcribe_bytes(self.by_side[side], data)
            except RecipeError as error:
                return 422, {"error": str(error)}


def build_app(models: Models, names: dict[str, str]) -> FastAPI:
    """The page and its one question."""
    app = FastAPI(openapi_url=None)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])

    @app.middleware("http")
    async def add_headers(request: Request, call_next: Any) -> Any:
        response = await call_next(request)
        response.headers.update(HEADERS)
        return response

    @app.get("/models")
    def list_models() -> dict[str, str]:
        return {side: names[side] for side in models.by_side}

    @app.post("/transcribe/{side}")
    async def transcribe(side: str, request: Request) -> JSONResponse:
        # A page elsewhere can send a form here, but nothing of this type: browsers ask first.
        if request.headers.get("content-type") != "application/octet-stream":
            return JSONResponse({"error": "Send the recording as application/octet-stream."}, 415)
        if int(request.headers.get("content-length", MAX_BYTES + 1)) > MAX_BYTES:
            return JSONResponse({"error": "The file is larger than 200 MiB; cut it."}, 413)
        status, content = await run_in_threadpool(models.answer, side, await request.body())
        return JSONResponse(content, status)

    app.mount("/", StaticFiles(directory=Path(__file__).parent / "try_it_page", html=True))
    return app


def transcribe_bytes(model: AutomaticSpeechRecognitionPipeline, data: bytes) -> dict[str, Any]:
    """The words of an audio or video file with their times, and how long that took.

    Raises:
        RecipeError: the file cannot be read.
    """
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        samples = decode_audio(Path(file.name), LIMITS).samples
    started = time.monotonic()
    # The pipeline wants floats, and takes them to be at the model's rate.
    output: Any = model(samples.astype("float32") / 32768, return_timestamps=True)
    segments = [
        {"start": chunk["timestamp"][0], "end": chunk["timestamp"][1], "text": chunk["text"].strip()}
        for chunk in output["chunks"]
    ]
    return {
        "segments": segments,
        "seconds": round(time.monotonic() - started, 2),
        "audio_seconds": round(len(samples) / 16_000, 2),
    }


if __name__ == "__main__":
    main()
