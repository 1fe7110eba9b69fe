"""Names that travel as one segment of the backend's addresses: users, files and jobs.

They come from the job, so they are untrusted. The same rule is applied where a job is read and again
where an address is built.
"""

import unicodedata

from recipe.errors import JobError

MAX_SEGMENT_BYTES = 255
"""What file systems take as one name, and more than any backend stores."""

# `/` and `\` separate segments; `?` and `#` end a path. They could be percent-encoded, but servers and
# proxies that decode once too often would read another address than the one meant.
_FORBIDDEN = frozenset("/\\?#")
_INVISIBLE_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})  # controls, lone surrogates, line separators


def check_segment(value: str, field: str = "name") -> None:
    """Accept a name that can stand as one path segment and mean nothing else.

    Args:
        value: The untrusted name.
        field: What the name is called where the user wrote it.

    Raises:
        JobError: naming the field, the text found and the rule it breaks.
    """
    problem = _find_problem(value)
    if problem:
        shown = ascii(value if len(value) <= 60 else value[:60] + "…")
        raise JobError(f"{field} {shown}: {problem}.")


def _find_problem(value: str) -> str | None:
    if not value:
        return "expected a name, found an empty text"
    if value in {".", ".."}:
        return "expected a name, found a reference to a folder"
    forbidden = sorted(_FORBIDDEN.intersection(value))
    if forbidden:
        return f"expected a plain name without folders, found {' '.join(forbidden)}; rename the file"
    if any(unicodedata.category(character) in _INVISIBLE_CATEGORIES for character in value):
        return "expected printable characters, found a control character; rename the file"
    num_bytes = len(value.encode())
    if num_bytes > MAX_SEGMENT_BYTES:
        return f"expected at most {MAX_SEGMENT_BYTES} bytes, found {num_bytes}; shorten the name"
    return None
