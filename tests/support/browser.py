"""Pages in a real browser: what a person with a phone, at night or without a mouse meets.

It needs Debian's chromium on PATH (or its path in CHROMIUM) and the package axe-playwright-python.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from typing import Any

import pytest

WIDTHS = (390, 820, 1280)
"""Of a phone, a tablet and a desk, in pixels."""

THEMES = ("light", "dark")


@contextmanager
def open_browser() -> Iterator[Any]:
    """Chromium; skips where it is not."""
    playwright = pytest.importorskip("playwright.sync_api")
    pytest.importorskip("axe_playwright_python")
    path = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if not path:
        pytest.skip("needs Debian's chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


def find_faults(browser: Any, address: str, width: int, theme: str) -> list[str]:
    """What is wrong with a page: on its console, in its width, for the eyes, for the keyboard, by axe."""
    # axe is put into the page, which its own policy forbids to others.
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=theme, bypass_csp=True
    )
    page, faults = context.new_page(), []
    page.on("console", lambda m: faults.append(m.text) if m.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("requestfailed", lambda request: faults.append(f"not loaded: {request.url[:80]}"))
    page.goto(address)
    page.wait_for_load_state("load")
    page.wait_for_timeout(1_000)  # the live page asks for its events
    wide = page.evaluate("document.documentElement.scrollWidth")
    if wide > width:
        faults.append(f"it scrolls sideways: {wide} pixels in {width}")
    faults += _find_hidden_focus(page)
    page.evaluate(files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8"))
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    for violation in found["violations"]:
        faults += [f"{violation['id']}: {node['html'][:100]}" for node in violation["nodes"]]
    context.close()
    return faults


def _find_hidden_focus(page: Any) -> list[str]:
    """What the Tab key reaches without a mark that shows it; and "nothing" if it reaches nothing."""
    seen: list[str] = []
    faults = []
    for _ in range(40):
        page.keyboard.press("Tab")
        place = page.evaluate(
            """() => {
              const node = document.activeElement, style = getComputedStyle(node);
              if (node === document.body) return null;
              const marked = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0;
              return [node.outerHTML.slice(0, 100), marked];
            }"""
        )
        if place is None or place[0] in seen:
            break
        seen.append(place[0])
        if not place[1]:
            faults.append(f"the focus is not seen: {place[0]}")
    return faults if seen else ["the Tab key reaches nothing"]
