"""The script that a GPU is measured with runs where there is none, at toy size."""

import subprocess
import sys

from training_runs import REPOSITORY, clean_environment


def test_the_table_has_a_line_for_each_way_to_train():
    command = [
        sys.executable,
        "-m",
        "scripts.benchmarks.utilisation",
        "--sizes",
        "toy",
        "--trained",
        "LoRA",
    ]
    output = subprocess.run(
        [*command, "--max_batch_size", "1", "--num_updates", "1"],
        cwd=REPOSITORY,
        env=clean_environment(),
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
    heading, _, *rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in output.splitlines()
        if line.startswith("|")
    ]
    assert [row[1:3] for row in rows] == [["LoRA", "kept"], ["LoRA", "recomputed"]]
    for row in rows:
        figures = dict(zip(heading, row, strict=True))
        assert float(figures["audio s per s"]) > 0
        assert 0 < int(figures["utilisation"].rstrip("%")) < 100
        assert float(figures["peak GiB"]) > 0
    assert "python -m scripts.benchmarks.utilisation --sizes toy" in output
