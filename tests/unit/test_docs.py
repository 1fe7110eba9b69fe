"""What README, CONTRIBUTING and docs say of the code is what the code does."""

import dataclasses
import re
from pathlib import Path

import pytest
from pydantic_core import PydanticUndefined

from recipe.arguments import OPTION_GROUPS, SourceArguments
from recipe.run.folder import RunFolder
from recipe.run.settings import OperatorSettings
from recipe.training.arguments import Arguments
from recipe.training.attempt import NOTHING_PUBLISHED
from recipe.training.shutdown import EXIT_CODE
from recipe.worker.job import Job

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def read_rows(page: Path, first_heading: str) -> list[list[str]]:
    """The cells of the table whose first heading is given, without the head."""
    table = page.read_text().partition(f"| {first_heading} |")[2].partition("\n\n")[0]
    return [[cell.strip() for cell in line.strip()[1:-1].split("|")] for line in table.splitlines()[2:]]


def codes(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_is_linked_is_there(page):
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text())
    missing = [t for t in targets if "://" not in t and not (page.parent / t).exists()]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_paths_of_the_project_are_there(page):
    folders = "recipe|scripts|tests|accelerate_configs"
    paths = re.findall(rf"(?<![\w/.-])((?:{folders})/[\w./-]*)", page.read_text())
    assert [path for path in paths if not (ROOT / path.rstrip(".")).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_tests_that_are_named_are_there(page):
    named = re.findall(r"(tests/[\w/]+\.py)::(\w+)", page.read_text())
    missing = [(path, name) for path, name in named if f"def {name}(" not in (ROOT / path).read_text()]
    assert missing == []


def test_each_promise_of_security_has_its_test():
    for table in (ROOT / "docs" / "security.md").read_text().split("| promise |")[1:]:
        rows = [line for line in table.partition("\n\n")[0].splitlines()[2:] if line]
        assert rows
        assert [row for row in rows if "::test_" not in row] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_modules_that_are_run_are_there(page):
    modules = re.findall(r"python -m (scripts[\w.]*)", page.read_text())
    paths = [ROOT / module.replace(".", "/") for module in modules]
    assert [path for path in paths if not path.is_dir() and not path.with_suffix(".py").exists()] == []


def test_options_in_readme_are_options_of_train():
    known = {f.name for group in Arguments.__annotations__.values() for f in dataclasses.fields(group)}
    of_scripts = {"help", "report", "model", "fix", "config_file", "quiet", "copy_files", "requirement"}
    named = re.findall(r"(?<![\w-])--([a-z_]+)", (ROOT / "README.md").read_text())
    assert set(named) <= known | of_scripts


@pytest.mark.parametrize("page", ["README.md", "train.py"])
def test_the_exit_codes_that_are_told_are_those_of_the_code(page):
    told = re.sub(r"\s+", " ", (ROOT / page).read_text())
    assert f"0 finished and published, {NOTHING_PUBLISHED} finished, nothing published" in told
    assert f"1 refused or failed, {EXIT_CODE} interrupted" in told


def test_the_stage_table_names_the_folders_of_the_recipe():
    rows = read_rows(ROOT / "README.md", "stage")
    named = {path.split("/")[1] for row in rows for path in codes(row[1])}
    folders = {path.parent.name for path in (ROOT / "recipe").glob("*/__init__.py")}
    assert named | {"page", "run", "worker"} == folders


def test_the_stage_table_names_files_of_the_run_folder():
    run = RunFolder(Path("run"))
    known = {path.name for path in vars(run).values()} | {"checkpoint-N"}
    left = {name.rstrip("/") for row in read_rows(ROOT / "README.md", "stage") for name in codes(row[4])}
    assert left
    assert left <= known


def test_the_map_of_the_recipe_names_its_folders():
    text = (ROOT / "recipe" / "__init__.py").read_text()
    folders = {path.parent.name for path in (ROOT / "recipe").glob("*/__init__.py")}
    assert [name for name in sorted(folders) if not re.search(rf"\b{name}\b", text)] == []


def test_the_configs_in_readme_are_all_there_are():
    text = (ROOT / "README.md").read_text()
    sentence = text.partition("`accelerate_configs/` has a file for each:")[2].partition(".")[0]
    assert set(codes(sentence)) == {path.stem for path in (ROOT / "accelerate_configs").glob("*.yaml")}


def test_the_job_table_has_all_fields_with_their_defaults():
    rows = read_rows(ROOT / "docs" / "runpod.md", "input")
    assert {codes(row[0])[0] for row in rows} == set(Job.model_fields)
    for name, default, _ in rows:
        field = Job.model_fields[codes(name)[0]]
        shown = default.strip("`")
        if field.default is PydanticUndefined:
            assert shown == "required"
        elif field.default is None:
            assert shown.startswith("by ")
        elif shown not in {"blank", "from RunPod's", "{}"}:
            assert type(field.default)(shown) == field.default


def test_the_environment_table_has_all_that_the_code_reads():
    rows = read_rows(ROOT / "docs" / "runpod.md", "variable")
    documented = {name for row in rows for name in codes(row[0])}
    sources = [path.read_text() for path in [ROOT / "handler.py", *(ROOT / "recipe").rglob("*.py")]]
    read = {name for source in sources for name in re.findall(r"\"(WHISPERTRAIN_[A-Z_]+)\"", source)}
    assert read <= documented
    seconds = {codes(row[0])[0]: row[1] for row in rows}
    settings = OperatorSettings(Path())
    assert float(seconds["WHISPERTRAIN_GRACE_SECONDS"]) == settings.grace_seconds
    assert float(seconds["WHISPERTRAIN_FLUSH_SECONDS"]) == settings.flush_seconds


def test_options_named_for_jobs_may_be_set_by_jobs():
    rows = {codes(row[0])[0]: row for row in read_rows(ROOT / "docs" / "runpod.md", "input")}
    known = {f.name for group in OPTION_GROUPS for f in dataclasses.fields(group)}
    named = [name for name in codes(rows["options"][2]) if not name.startswith("train.py")]
    assert named
    assert set(named) <= known


def test_the_index_of_docs_lists_every_page():
    listed = {row[0].partition("](")[2].rstrip(")") for row in read_rows(ROOT / "docs" / "README.md", "page")}
    assert listed == {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"}


def test_pictures_are_small():
    sizes = {path.name: path.stat().st_size for path in (ROOT / "docs").glob("*.png")}
    assert sizes
    assert max(sizes.values()) < 150_000, sizes


def test_source_options_are_no_job_options():
    assert not {f.name for f in dataclasses.fields(SourceArguments)} & {
        f.name for group in OPTION_GROUPS for f in dataclasses.fields(group)
    }
