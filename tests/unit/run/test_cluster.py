"""The machines of a training: read from the environment or a file, told to `accelerate launch`."""

from pathlib import Path

import pytest

from recipe.errors import JobError
from recipe.run.cluster import Cluster, find_own_address, read_cluster, read_hosts

RUNPOD = {  # of the second node of two with 8 GPUs each, as docs.runpod.io lists them
    "PRIMARY_ADDR": "10.65.0.2",
    "MASTER_ADDR": "10.65.0.2",
    "PRIMARY_PORT": "29400",
    "MASTER_PORT": "29400",
    "NODE_ADDR": "10.65.0.3",
    "NODE_RANK": "1",
    "NUM_NODES": "2",
    "NUM_TRAINERS": "8",
    "HOST_NODE_ADDR": "10.65.0.2:29400",
    "WORLD_SIZE": "16",
}
SLURM = {
    "SLURM_JOB_ID": "40012",
    "SLURM_NNODES": "4",
    "SLURM_NODEID": "3",
    "SLURM_JOB_NODELIST": "gpu[01-04]",
}


def list_hosts(nodelist: str) -> list[str]:
    assert nodelist == "gpu[01-04]"
    return ["gpu01", "gpu02", "gpu03", "gpu04"]


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        pytest.param(RUNPOD, Cluster(2, 1, "10.65.0.2", 29400), id="RunPod"),
        pytest.param(SLURM, Cluster(4, 3, "gpu01", 10_012), id="Slurm"),
        pytest.param(SLURM | RUNPOD, Cluster(2, 1, "10.65.0.2", 29400), id="said by hand inside Slurm"),
        pytest.param(
            {"MASTER_ADDR": "node-a", "NUM_NODES": "2", "NODE_RANK": "0"},
            Cluster(2, 0, "node-a"),
            id="by hand",
        ),
    ],
)
def test_a_cluster_is_read_from_the_environment(environment: dict[str, str], expected: Cluster) -> None:
    assert read_cluster(environment, list_hosts) == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({"NODE_RANK": "2"}, "NODE_RANK 2 is not a machine of NUM_NODES 2", id="rank"),
        pytest.param({"NUM_NODES": "two"}, "No cluster was found", id="no number"),
        pytest.param({"MASTER_ADDR": "", "PRIMARY_ADDR": ""}, "MASTER_ADDR is ''", id="no address"),
        pytest.param({"MASTER_PORT": "http"}, "its port 'http'", id="no port"),
    ],
)
def test_what_is_no_cluster_is_refused_with_a_sentence(changes: dict[str, str], expected: str) -> None:
    with pytest.raises(JobError, match=expected):
        read_cluster(RUNPOD | changes)


@pytest.mark.parametrize(("num_gpus", "num_processes"), [(8, "16"), (0, "2")], ids=["GPUs", "no GPU"])
def test_every_gpu_of_every_machine_gets_a_process(num_gpus: int, num_processes: str) -> None:
    flags = read_cluster(RUNPOD).flags(num_gpus)
    assert dict(zip(flags[::2], flags[1::2], strict=True)) == {
        "--num_machines": "2",
        "--machine_rank": "1",
        "--main_process_ip": "10.65.0.2",
        "--main_process_port": "29400",
        "--num_processes": num_processes,
        "--rdzv_backend": "c10d",
        "--rdzv_conf": "is_host=0,join_timeout=600",
    }


def test_a_machine_names_itself_by_the_address_at_which_others_reach_it() -> None:
    assert find_own_address("127.0.0.1", 29500) == "127.0.0.1"
    assert find_own_address("no-such-host.invalid", 29500) == ""


def test_a_platform_may_say_the_address_itself() -> None:
    variables = read_cluster(RUNPOD).variables(RUNPOD)
    assert variables["PET_LOCAL_ADDR"] == "10.65.0.3"


def test_hosts_stand_one_a_line(tmp_path: Path) -> None:
    (tmp_path / "hosts.txt").write_text("gpu01  # the first\n\n# spare: gpu09\ntrainer@gpu02\n")
    assert read_hosts(tmp_path / "hosts.txt") == ["gpu01", "trainer@gpu02"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("# none\n", "has 0 hosts"), ("a\na\n", "each of them once"), (None, "cannot be read")],
)
def test_a_list_without_hosts_is_refused(text: str | None, expected: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "hosts.txt").write_text(text)
    with pytest.raises(JobError, match=expected):
        read_hosts(tmp_path / "hosts.txt")
