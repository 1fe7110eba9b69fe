"""The dataset report on disk: JSON for programs, a page for people, Parquet for what is too long for both."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_type_hints

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset

from recipe.data.attention import sort_recordings
from recipe.data.report import RecordingReport
from recipe.data.report_page import MAX_LISTED, render_page
from recipe.run.files import remove_file, replacing, write_json, write_text

_ARROW_TYPES = {
    bool: pa.bool_(),
    int: pa.int64(),
    list[str]: pa.list_(pa.string()),
    dict[str, int]: pa.map_(pa.string(), pa.int64()),
    dict[str, list[int]]: pa.map_(pa.string(), pa.list_(pa.int64())),
}
RECORDING_SCHEMA = pa.schema(
    [(name, _ARROW_TYPES.get(kind, pa.string())) for name, kind in get_type_hints(RecordingReport).items()]
)
"""Of `dataset_recordings.parquet`: the fields of `RecordingReport`."""


def write_report(output_dir: Path, report: Mapping[str, Any], rows: Dataset) -> None:
    """Write `dataset_report.json` and `dataset_report.html`, and Parquet beside them for long lists.

    Of more than `MAX_LISTED` recordings `recordings` is empty in JSON and `recordings_file` names the file
    that has them, the worst first; likewise `suspect_windows`. Of so many warnings only the first are there.

    Args:
        output_dir: Receives all.
        report: The dataset report, complete, with `run`, `warnings` and `needs_a_person`.
        rows: All windows, by which those to play are numbered.
    """
    whole = {**report, "num_warnings": len(report["warnings"])}
    cut = {"warnings": report["warnings"][:MAX_LISTED]}
    for name, schema in (("recordings", RECORDING_SCHEMA), ("suspect_windows", None)):
        path, num_items = output_dir / f"dataset_{name}.parquet", len(report[name])
        whole |= {f"num_{name}": num_items, f"{name}_file": path.name if num_items > MAX_LISTED else ""}
        if num_items <= MAX_LISTED:
            remove_file(path)  # of an earlier attempt that had more
            continue
        items = sort_recordings(report[name]) if name == "recordings" else report[name]
        _write_parquet(path, items, schema)
        whole[name], cut[name] = items, []
    write_text(output_dir / "dataset_report.html", render_page(whole, rows))
    write_json(output_dir / "dataset_report.json", whole | cut)


def _write_parquet(path: Path, items: Sequence[Mapping[str, Any]], schema: pa.Schema | None) -> None:
    with replacing(path) as partial:
        pq.write_table(pa.Table.from_pylist(items, schema=schema), partial)
