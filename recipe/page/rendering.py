"""From a template to a page; whatever comes from files is escaped."""

import base64
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from recipe.audio.decoding import decode_flac
from recipe.audio.playing import encode_mp3


def render(template: Path, filters: Mapping[str, Callable[..., Any]], **context: Any) -> str:
    """The page that a template makes, which may build on those of this folder."""
    environment = Environment(
        loader=FileSystemLoader([template.parent, Path(__file__).parent]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"clock": format_clock, "hours": format_hours, **filters}
    return environment.get_template(template.name).render(**context)


def format_clock(time_ms: int) -> str:
    """A time as people read it: 754000 is "12:34"; hours only where there are any."""
    minutes, seconds = divmod(time_ms // 1000, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def format_hours(time_ms: int) -> str:
    """A length as people read it: in hours from an hour on, else in minutes or seconds."""
    for unit, unit_ms in (("h", 3_600_000), ("min", 60_000)):
        if time_ms >= unit_ms:
            return f"{time_ms / unit_ms:,.1f} {unit}"
    return f"{time_ms / 1000:.1f} s"


def sound_address(flac: bytes) -> str:
    """The sound of a window as an address that holds it, for `<audio src>`."""
    return f"data:audio/mpeg;base64,{base64.b64encode(encode_mp3(decode_flac(flac))).decode()}"
