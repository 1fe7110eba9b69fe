"""What to do about data that is not trained, taken from the reason that the user is given.

A reason says what to do in its last part (`recipe.errors`); for those that do not, the mend stands here.
"""

import re

_VERBS = (
    "add|bring|convert|export|give|keep|leave|mend|mix|name|remove|rename|save|see|set|split|tag|take|upload|"
    "write"
)
_SAID = re.compile(rf"(?:;|\.|\?|:) ((?:if it plays, )?(?:{_VERBS})\b.*)$", re.IGNORECASE)
"""The part of a reason that begins with what to do."""

_KNOWN = {
    r"there is no caption file named (\S.*) or ": "Add the captions as {0}, or the words alone as .txt.",
    r"leads to no file|, expected a file$": "Put the file itself in its place.",
    r"no permission": "Make the file readable for the user that trains.",
    r"there is no audio file": "Add the file, or mend its name in the table.",
    r"found none$|out of the folder|a path that tells|expected a sound": "Mend that cell of the table.",
    r"auto_captions is skip": "Add captions that people made, or set auto_captions to use.",
    r"its captions are in .*, and (.+) is wanted": "Add captions in {0}.",
    r"learns from English ones": "Add English captions.",
    r"no usable cue|file is empty|file has no words|expected a caption file": "Replace it by one with words.",
    r"captions are pictures": "Add captions as text.",
    r"none of its (?:cues|rows|sentences)": "Mend what its notes name.",
    r"no tier of it holds words": "Export a tier of words with times.",
    r"expected an audio file": "Put the audio file in its place.",
    r"many for captions|a text of more than": "Replace it by one with this recording's words.",
    r"found a binary file": "Save the text as plain text, in UTF-8.",
    r"frames a second; ": "Write the true number into it, or export it as SubRip.",
    r"JSON of another kind|nested deeper": "Export the captions as WebVTT or SubRip.",
    r"file cannot be read": "Make the file readable, or copy it again.",
}
"""Pattern of a reason, and its mend with what the pattern's group matched."""


def split_mend(reason: str) -> tuple[str, str]:
    """Why something is so, and what to do about it as a sentence; "" where nobody knows."""
    said = _SAID.search(reason)
    if said:
        return reason[: said.start()], as_sentence(said[1])
    for pattern, mend in _KNOWN.items():
        known = re.search(pattern, reason)
        if known:
            return reason, mend.format(*known.groups())
    return reason, ""


def as_sentence(text: str) -> str:
    """The text with a capital and a full stop."""
    return f"{text[:1].upper()}{text[1:].rstrip('.')}." if text else ""
