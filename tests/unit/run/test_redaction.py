"""Secrets are found in the forms that they take on their way into a log."""

import base64
import contextlib
import json
import os
import subprocess
import sys
import termios
from pathlib import Path
from urllib.parse import quote

import pytest

from recipe.run.launch import REPOSITORY_DIR
from recipe.run.redaction import PLACEHOLDER, Redactor

SECRET = 'a/b+c"d\\e='


@pytest.mark.parametrize(
    "form",
    [
        pytest.param(SECRET, id="as it is"),
        pytest.param(quote(SECRET, safe=""), id="in an address"),
        pytest.param(json.dumps(SECRET)[1:-1], id="in JSON"),
        pytest.param(repr(SECRET)[1:-1], id="in a Python literal"),
        pytest.param(base64.b64encode(SECRET.encode()).decode(), id="in Base64"),
        pytest.param(base64.urlsafe_b64encode(SECRET.encode()).decode().rstrip("="), id="in a JWT's Base64"),
    ],
)
def test_redacted(form: str) -> None:
    assert Redactor([SECRET]).redact(f"before {form} after") == f"before {PLACEHOLDER} after"


def test_a_secret_inside_another_leaves_no_rest() -> None:
    assert Redactor(["token", "token-long"]).redact("token-long token") == f"{PLACEHOLDER} {PLACEHOLDER}"


@pytest.mark.parametrize("secret", ["", "a", "abc"])
def test_a_text_that_is_too_short_to_be_a_secret_is_left(secret: str) -> None:
    assert Redactor([secret]).redact("abc abc") == "abc abc"


AWKWARD = [
    "null",
    "true",
    "false",
    "1234",
    "0000",
    "error",
    "success",
    "result",
    "completed",
    '"}, "',
    " ",
    "é",
]
"""Secrets that are words of JSON or of our answers."""


@pytest.mark.parametrize("secret", ["None", " undefined ", "NULL"])
def test_a_word_for_nothing_is_no_secret(secret: str) -> None:
    assert Redactor([secret]).redact(f"x {secret} x") == f"x {secret} x"


@pytest.mark.parametrize("secret", AWKWARD, ids=repr)
def test_a_structure_stays_what_it_was_whatever_the_secret_is(secret: str) -> None:
    public = {"status": "completed", "job_id": "job-1234-error", "model_path": "/runs/0000/true-result"}
    plain = {"success": True, "error": None, "result": {"loss": 1234.0, "steps": [0, 10000, False]}}
    value = {**public, **plain, "message": f"a {secret} b", "null": [f"x{secret}"]}
    redacted = Redactor([secret]).redact_values(value)
    is_hidden = len(secret) >= 4 and secret != "null"
    assert {name: redacted[name] for name in public | plain} == public | plain
    assert list(redacted) == list(value)
    assert redacted["message"] == (f"a {PLACEHOLDER} b" if is_hidden else value["message"])
    assert redacted["null"] == ([f"x{PLACEHOLDER}"] if is_hidden else value["null"])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (float("nan"), None),
        ({"a": (1, float("-inf"))}, {"a": [1, None]}),
        ({1: {"x"}}, {"1": ["x"]}),
        ("half a \ud83d smile", "half a ? smile"),
        (Path("/s3cret/x"), f"/{PLACEHOLDER}/x"),
    ],
    ids=repr,
)
def test_any_value_becomes_one_that_json_has(value: object, expected: object) -> None:
    assert Redactor(["s3cret"]).redact_values(value) == expected


PROGRAM = """
import logging, sys, warnings
early = logging.getLogger("early")
early.addHandler(logging.StreamHandler())
from recipe.run.redaction import Redactor, redact_output
redact_output(Redactor(["s3cret-token"]))
logging.basicConfig(format="%(message)s")
from tqdm import tqdm
for _ in tqdm(range(2), desc="bar s3cret-token", file=None, disable=None):
    tqdm.write("written s3cret-token", file=sys.stdout)
print("printed", "s3cret-token")
sys.stderr.writelines(["lines s3cret-token\\n"])
early.error("early %s", "s3cret-token")
logging.error("late %s", "s3cret-token")
warnings.warn("warned s3cret-token")
print("on a terminal:", sys.stderr.isatty())
raise ValueError("raised s3cret-token")
"""


def run_program(output: int) -> int:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=REPOSITORY_DIR, stdout=output, stderr=output, check=False
    ).returncode


EXPECTED = ["printed", "written", "lines", "early", "late", "warned", "ValueError: raised"]


def test_what_a_process_prints_and_logs_is_redacted_as_it_is_written(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as log:
        assert run_program(log.fileno()) == 1
    text = (tmp_path / "log").read_text()
    assert all(f"{word} {PLACEHOLDER}" in text for word in EXPECTED)
    assert "s3cret" not in text.replace('"', "").partition("Traceback")[0]


def test_a_terminal_stays_one_and_shows_bars() -> None:
    ours, theirs = os.openpty()
    termios.tcsetwinsize(ours, (24, 80))
    assert run_program(theirs) == 1
    os.close(theirs)
    text = b""
    with contextlib.suppress(OSError):  # the end of a terminal that nobody writes to
        while part := os.read(ours, 65536):
            text += part
    os.close(ours)
    assert b"on a terminal: True" in text
    assert f"bar {PLACEHOLDER}: 100%".encode() in text


WITHOUT_CONSOLE = """
import os, sys
from pathlib import Path
from tqdm import tqdm
from recipe.run.launch import open_standard_streams
from recipe.run.redaction import Redactor, redact_output
open_standard_streams()
redact_output(Redactor([]))
for _ in tqdm(range(2), mininterval=0):
    print("line", file=sys.stdout, flush=True)
os.system("echo from a child; echo and its errors >&2")
file = Path(sys.argv[1]).open("w")
assert file.fileno() > 2
file.write("done")
"""


@pytest.mark.parametrize("streams", ["<&- >&- 2>&-", ">&-", "2>&-", "2>&1 | true", "2> /dev/full >&2"])
def test_a_console_that_is_gone_ends_nothing(tmp_path: Path, streams: str) -> None:
    command = f'{sys.executable} -c "$0" "$1" {streams}'
    subprocess.run(
        ["/bin/sh", "-c", command, WITHOUT_CONSOLE, str(tmp_path / "end")], cwd=REPOSITORY_DIR, check=False
    )
    assert (tmp_path / "end").read_text() == "done"
