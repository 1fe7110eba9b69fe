"""XML of captions: elements with their lines, and no declaration that could grow without end."""

from __future__ import annotations

import re
from typing import NamedTuple
from xml.etree import ElementTree as ET
from xml.parsers import expat

from recipe.errors import CaptionError

MAX_DEPTH = 200
"""Levels of elements in a document; captions have about six."""

_DECLARATION = re.compile(r"\A\s*<\?xml[^>]*\?>")


class XmlDocument(NamedTuple):
    """A document and where its elements stand.

    Attributes:
        root: The outermost element.
        lines: The line of each element's start tag, from 1, in document order.
    """

    root: ET.Element
    lines: list[int]

    def find(self, name: str) -> list[tuple[ET.Element, int]]:
        """The elements of a name, whatever their namespace, each with its line."""
        pairs = zip(self.root.iter(), self.lines, strict=True)
        return [(element, line) for element, line in pairs if local_name(element) == name]


def parse_xml(text: str) -> XmlDocument:
    """Return a document; one that declares a type or an entity is refused before either is used.

    Raises:
        CaptionError: if it is not well-formed, nests too deep or declares what could grow without end.
    """
    builder = ET.TreeBuilder()
    parser = expat.ParserCreate(namespace_separator="}")
    lines: list[int] = []
    depth = 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > MAX_DEPTH:
            raise CaptionError(f"its elements are nested deeper than {MAX_DEPTH} levels; no captions are.")
        lines.append(parser.CurrentLineNumber)
        builder.start(_qualify(name), {_qualify(key): value for key, value in attributes.items()})

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(_qualify(name))

    def refuse(*_: object) -> None:
        raise CaptionError(
            "it declares a document type (<!DOCTYPE …>), which captions do not need and which is not read; "
            "remove that declaration."
        )

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = refuse
    try:
        parser.Parse(_DECLARATION.sub("", text, count=1), True)  # noqa: FBT003 - the C function takes no name
    except expat.ExpatError as error:
        line = max(1, error.lineno)
        raise CaptionError(
            f"its XML is broken in line {line} ({expat.ErrorString(error.code)}). Export it again, "
            "or as WebVTT or SubRip."
        ) from error
    return XmlDocument(builder.close(), lines)


def _qualify(name: str) -> str:
    return "{" + name if "}" in name else name


def local_name(element: ET.Element) -> str:
    """Return an element's name without its namespace."""
    return str(element.tag).rpartition("}")[2]
