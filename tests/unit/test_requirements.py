"""The worker's requirements are what the worker imports; its image holds nothing else that is asked for."""

import ast
import re
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
IMPORTED_BY_OTHERS = {"tensorboard"}
"""Distributions that torch imports for us."""


def normalise(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def read_requirements(name: str) -> set[str]:
    lines = (ROOT / name).read_text().splitlines()
    return {normalise(re.match(r"[\w.-]+", line)[0]) for line in lines if re.match(r"\w", line)}


def imported_modules(paths: list[Path]) -> set[str]:
    nodes = [node for path in paths for node in ast.walk(ast.parse(path.read_text()))]
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module]
    return {name.partition(".")[0] for name in names}


def test_every_requirement_of_the_worker_is_imported_by_the_worker():
    modules = imported_modules([ROOT / "train.py", ROOT / "handler.py", *(ROOT / "recipe").rglob("*.py")])
    distributions = packages_distributions()
    imported = {normalise(name) for module in modules for name in distributions.get(module, [])}
    assert read_requirements("requirements.txt") - imported == IMPORTED_BY_OTHERS


def test_a_package_is_required_in_one_place():
    files = ("requirements.txt", "requirements-demo.txt", "requirements-dev.txt", "requirements-export.txt")
    names = [name for file in files for name in sorted(read_requirements(file))]
    assert len(names) == len(set(names))
