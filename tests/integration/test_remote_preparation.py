"""Recordings in a bucket, or listed by a web server, become the shards of a local folder that holds them."""

import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer
from training_runs import write_recording

from recipe.arguments import DataArguments, ModelArguments
from recipe.data.caption_choice import Wanted
from recipe.data.preparation import SETTLED_SECONDS, build_shards
from recipe.data.remote_folder import read_remote_folder
from recipe.data.sources import list_recordings
from recipe.errors import DataError
from recipe.model.preparation import preparation_settings
from recipe.model.whisper import load_whisper
from scripts.prepare import parse_arguments, prepare

NAMES = ("one", "deep/two words", "deep/three")
KEYS = {
    "AWS_ACCESS_KEY_ID": "AKIAWHISPERTRAIN",
    "AWS_SECRET_ACCESS_KEY": "a-secret-for-the-tests",
    "AWS_DEFAULT_REGION": "us-east-1",
}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for number, name in enumerate(NAMES):
        (folder / name).parent.mkdir(exist_ok=True)
        write_recording(folder / name, num_cues=2, seed=number)
    return folder


@pytest.fixture(scope="module")
def bucket(data_dir: Path) -> Iterator[str]:
    """A real S3 server with the recordings below a prefix; its address."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    client = boto3.client(
        "s3", endpoint_url=address, region_name="us-east-1",
        aws_access_key_id="AKIAWHISPERTRAIN", aws_secret_access_key="a-secret-for-the-tests",
    )  # fmt: skip
    client.create_bucket(Bucket="speech")
    for path in data_dir.rglob("*.*"):
        client.upload_file(str(path), "speech", f"fr/{path.relative_to(data_dir)}")
    client.put_object(Bucket="speech", Key="fr/readme.md", Body=b"nothing")
    client.put_object(Bucket="speech", Key="other/talk.m4a", Body=b"nothing")
    yield address
    server.stop()


@pytest.fixture(scope="module")
def web(data_dir: Path) -> Iterator[str]:
    """The address of a list of the recordings' files, on a web server."""
    names = [str(path.relative_to(data_dir)).replace(" ", "%20") for path in data_dir.rglob("*.*")]
    (data_dir.parent / "site").mkdir()
    (data_dir.parent / "site" / "files.txt").write_text("\n".join(f"../{data_dir.name}/{n}" for n in names))

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(data_dir.parent)))
    threading.Thread(target=server.serve_forever).start()
    yield f"http://127.0.0.1:{server.server_port}/site/files.txt"
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def environment(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**KEYS, "AWS_ENDPOINT_URL": bucket}.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("is_bucket", [True, False], ids=["bucket", "web"])
def test_remote_recordings_become_the_shards_of_a_local_folder(
    data_dir: Path, tiny_dir: Path, tmp_path: Path, web: str, is_bucket: bool
) -> None:
    options = ["--data_dir", "s3://speech/fr" if is_bucket else web, "--language", "en"]
    options += ["--model_name_or_path", str(tiny_dir), "--output_dir", str(tmp_path / "run")]
    prepare(parse_arguments([*options, "--num_workers", "1"]))
    time.sleep(SETTLED_SECONDS + 0.1)  # no note tells what the captions, just fetched, have become
    prepare(parse_arguments([*options, "--num_workers", "1"]))
    folder = tmp_path / "run" / "prepared"
    model = ModelArguments(str(tiny_dir))
    settings = preparation_settings(model, DataArguments(), load_whisper(model), tmp_path)
    made = {path.name: path.stat().st_mtime_ns for path in (folder / "shards").glob("*.arrow")}
    assert len(made) == len(NAMES)
    local = list_recordings(data_dir, "en")
    shards = build_shards(local, settings, tmp_path / "local", num_workers=1)
    assert {shard.path.name for shard in shards} == made.keys()
    found = build_shards(local, settings, folder / "shards", num_workers=1)
    assert [shard.content_hash for shard in found] == [shard.content_hash for shard in shards]
    assert {shard.path.name: shard.path.stat().st_mtime_ns for shard in found} == made
    left = [path for path in (tmp_path / "run" / "downloads").rglob("*") if path.is_file()]
    assert {path.suffix for path in left} == {".vtt"}, "sound is deleted once it is prepared"
    notes = list((folder / "shards" / "claims").glob("*.note"))
    assert len(notes) >= len(NAMES) * is_bucket


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        ("s3://speech/nothing", "s3://speech/nothing holds no audio file. It is empty."),
        ("s3://missing/fr", "s3://missing/fr cannot be listed"),
        ("http://127.0.0.1:1/files.txt", "Expected a text with the address of a file in each line."),
    ],
)
def test_a_place_that_cannot_be_used_is_refused(tmp_path: Path, place: str, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence.replace(".", r"\.")):
        read_remote_folder(place, Wanted(), tmp_path)
