"""The options of a run as they are given, before anything judges them; nothing heavy is imported here."""

import argparse
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml

DEFAULT_OUTPUT_DIR = "runs/default"


def is_options_file(argv: Sequence[str]) -> bool:
    """Whether the command line is the name of one file that holds the options."""
    return len(argv) == 1 and argv[0].endswith((".json", ".yaml", ".yml"))


def read_options_file(path: str) -> dict[str, Any]:
    """The options in a .json, .yaml or .yml file, whatever their names and values.

    Raises:
        OSError: if it cannot be opened.
        ValueError: if it does not hold options by name.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")  # as editors on Windows write it
        values = json.loads(text) if path.endswith(".json") else yaml.load(text, _YamlLoader)  # noqa: S506 - safe
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path} holds {type(values).__name__}; expected options by name")  # noqa: TRY004
    return values


def peek_options(argv: Sequence[str], names: Iterable[str]) -> dict[str, Any]:
    """Some options of the command line or its file, by name; those that cannot be read are left out.

    A flag without a value has "".
    """
    if is_options_file(argv):
        try:
            values = read_options_file(argv[0])
        except (OSError, ValueError):
            return {}
        return {name: values[name] for name in names if name in values}
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, argument_default=argparse.SUPPRESS)
    for name in names:
        parser.add_argument(f"--{name}", f"--{name.replace('_', '-')}", nargs="?", const="")
    return vars(parser.parse_known_args(argv)[0])


class _YamlLoader(yaml.SafeLoader):  # type: ignore[misc]  # untyped
    """Reads 2e-05 as a number, as in YAML 1.2, and not as the text of YAML 1.1."""


_YamlLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)[eE][-+]?\d+"), [*"-+.0123456789"]
)
