"""What download tools write beside a video (`talk [id].info.json`): language, tracks of captions, channel.

The file is untrusted: it is read up to a size, against a form, and passed over if it is anything else.
"""

import re
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

import langcodes
from pydantic import BaseModel, ConfigDict, Field

from recipe.errors import DataError
from recipe.run.files import parse_state

INFO_SUFFIX = ".info.json"

MAX_BYTES = 32 * 2**20
"""With all formats and comments of a video it is some megabytes."""

_ID = re.compile(r"\[([A-Za-z0-9_-]{11})\]")
_ID_CHARACTER = re.compile(r".+[A-Z]|[0-9_-]")

_NO_LANGUAGE = frozenset({"", "und", "zxx", "mul", "mis"})

_Name = Annotated[str, Field(max_length=1_000)] | None


class VideoInfo(BaseModel):
    """The fields that are used; all others are passed over.

    Attributes:
        language: What the site says of the language spoken; see `spoken`.
        subtitles: Tracks of captions that people made, by tag.
        automatic_captions: Tracks that the site's recogniser made, or translated, by tag.
        channel_id: The channel, or else what is known of who uploaded it.
    """

    model_config = ConfigDict(frozen=True, coerce_numbers_to_str=True)

    language: _Name = None
    subtitles: dict[str, Any] | None = None
    automatic_captions: dict[str, Any] | None = None
    channel_id: _Name = None
    uploader_id: _Name = None
    channel: _Name = None
    uploader: _Name = None

    @property
    def spoken(self) -> str:
        """Tag of the language spoken; "" if the site does not know it, or says what is none."""
        tag = self.language or ""
        return "" if tag.casefold() in _NO_LANGUAGE or not langcodes.tag_is_valid(tag) else tag

    @property
    def group(self) -> str:
        """Who speaks, as far as the site knows: the channel or uploader; "" if it says neither."""
        return self.channel_id or self.uploader_id or self.channel or self.uploader or ""

    def is_automatic(self, tag: str) -> bool | None:
        """Whether a machine made the captions with this tag in their name; None if it does not say."""
        if tag in map(str.casefold, self.subtitles or ()):
            return False
        return True if tag in map(str.casefold, self.automatic_captions or ()) else None


def find_id(filename: str) -> str:
    """The video's id in a name as yt-dlp writes it (`Title [dQw4w9WgXcQ].en.vtt`); "" if there is none."""
    ids = [found for found in _ID.findall(PurePosixPath(filename).name) if _ID_CHARACTER.search(found)]
    return ids[-1] if ids else ""


def read_video_info(path: Path) -> VideoInfo:
    """What is known of a video.

    Raises:
        DataError: if the file is too large, damaged, or of another form.
    """
    try:
        num_bytes = path.stat().st_size
        if num_bytes > MAX_BYTES:
            raise DataError(f"{num_bytes} bytes are too many, at most {MAX_BYTES} are read")
        return parse_state(path, VideoInfo)
    except (OSError, ValueError) as error:
        raise DataError(f"it cannot be read: {error}") from error
