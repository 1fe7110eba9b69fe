"""Pages as a browser takes them."""

from html.parser import HTMLParser


class PageReader(HTMLParser):
    """Collects what a browser would show, load or run."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if value and name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.text += data
