"""What a run works out once and finds again when it is resumed."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from pydantic import TypeAdapter

from recipe.run_folder import write_json

T = TypeVar("T")


def make_once(path: Path, kind: type[T], fingerprint: Mapping[str, Any], make: Callable[[], T]) -> T:
    """What an earlier attempt left at `path`, else what `make` makes, left there for the next.

    The main process looks, since the others may be on machines that do not share its disk: all of them
    find it or all of them make it.

    Args:
        path: JSON file.
        kind: Type of what is made; what pydantic can write and read.
        fingerprint: What it depends on; another one makes it anew. Ready for JSON.
        make: Makes it; called by every process or by none.
    """
    is_main = PartialState().is_main_process
    adapter = TypeAdapter(kind)
    found: list[Any] = [_read(path, fingerprint) if is_main else None]
    broadcast_object_list(found)
    if found[0] is not None:
        return adapter.validate_python(found[0])
    made = make()
    if is_main:
        content = {"fingerprint": dict(fingerprint), "content": adapter.dump_python(made, mode="json")}
        write_json(path, content)
    return made


def _read(path: Path, fingerprint: Mapping[str, Any]) -> Any:
    saved = json.loads(path.read_text()) if path.exists() else {}
    return saved.get("content") if saved.get("fingerprint") == dict(fingerprint) else None
