"""Shards made by a Ray cluster, or by Ray on this machine: a task for each recording, the longest first.

Ray starts a task again whose worker died; it then finds the dead worker's claim and succeeds it. Workers
that Ray did not start may share the folder.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from recipe.data.manifest import Recording
from recipe.data.preparation import LocalFiles, build_shard, longest_first
from recipe.data.recording import PreparationSettings
from recipe.data.shards import Shard
from recipe.errors import JobError
from recipe.run.launch import REPOSITORY_DIR

TASKS_PER_CORE = 4
"""Tasks that Ray is given at a time, so that a million recordings do not wait in its memory."""


def build_shards_on_ray(
    recordings: Sequence[Recording],
    settings: PreparationSettings,
    output_dir: Path,
    *,
    files: LocalFiles | None = None,
    on_recording: Callable[[Shard], None] = lambda _: None,
) -> list[Shard]:
    """As `build_shards`, by the cluster at `RAY_ADDRESS`, else by all cores of this machine.

    All machines of a cluster must have the files and the checkout at the same paths.

    Raises:
        JobError: Ray is not installed.
        DataError: as `build_shards` does.
    """
    try:
        import ray  # noqa: PLC0415 - no requirement of the project
    except ImportError:
        raise JobError(
            "engine: ray is not installed here; run `pip install ray`, or take --engine local."
        ) from None
    path = os.pathsep.join(filter(None, [str(REPOSITORY_DIR), os.environ.get("PYTHONPATH")]))
    ray.init(
        log_to_driver=False,
        include_dashboard=False if "RAY_ADDRESS" not in os.environ else None,
        runtime_env={"env_vars": {"PYTHONPATH": path}},
    )
    try:
        shards: dict[str, Shard] = {}
        for shard in _run_tasks(ray, recordings, settings, output_dir, files):
            shards[shard.report.name] = shard
            on_recording(shard)
        return [shards[recording.name] for recording in recordings]
    finally:
        ray.shutdown()


def _run_tasks(
    ray: Any,
    recordings: Sequence[Recording],
    settings: PreparationSettings,
    output_dir: Path,
    files: LocalFiles | None,
) -> Iterator[Shard]:
    # A file that crashes FFmpeg kills a child of Ray's worker, which says so; the worker itself dies of what
    # is no recording's fault, so its task is started again as often as it takes.
    task = ray.remote(num_cpus=1, max_retries=-1)(build_shard)
    once = (ray.put(settings), output_dir.resolve(), ray.put(files))
    waiting = (task.remote(recording, *once) for recording in longest_first(recordings, files))
    in_work = list(islice(waiting, TASKS_PER_CORE * int(ray.cluster_resources().get("CPU", 1))))
    while in_work:
        (done,), in_work = ray.wait(in_work, num_returns=1)
        in_work += islice(waiting, 1)
        try:
            yield ray.get(done)
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None
