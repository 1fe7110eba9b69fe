"""Stands in for `train.py` below the handler: keeps to their interface, in milliseconds and without torch.

python stand_in_train.py BEHAVIOUR ARGUMENTS_FILE            # as a launcher that does not forward SIGTERM
python stand_in_train.py BEHAVIOUR ARGUMENTS_FILE --rank     # the training itself
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from disks import fill

from recipe.backend.events import Outbox
from recipe.run.credentials import find_secrets
from recipe.run.launch import die_with_parent
from recipe.run.redaction import Redactor, redact_output

NUM_STEPS = {"finish": 10, "quick": 0, "fill after the result": 0, "leak": 3}
STEP_SECONDS = 0.2

stop_requested = threading.Event()


def main(behaviour: str, arguments_file: Path) -> int:
    arguments = json.loads(arguments_file.read_text())
    run = Path(arguments["output_dir"])
    with (run / "starts.txt").open("a") as starts:
        starts.write(f"{os.getpid()}\n")
    if behaviour == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        start_helper()
    if behaviour == "stillborn":
        sys.exit("MemoryError: there is no room")
    if os.environ.get("RANK", "0") != "0":  # the other ranks of a training on several GPUs
        stop_requested.wait(60)
        return 143
    if behaviour == "self-test" or arguments.get("self_test"):
        return finish(run, arguments, None, 2)
    redactor = Redactor(find_secrets(os.environ))
    outbox = Outbox(run / "events.sqlite", arguments["job_id"], redactor=redactor)
    outbox.begin_attempt()
    outbox.append("initializing", {"epochs": arguments.get("num_train_epochs")}, key="initializing")
    print("hello from the training", flush=True)
    if behaviour == "leak":
        print("the token is", os.environ["WHISPERTRAIN_AUTH_TOKEN"], flush=True)
        (run / "environment.txt").write_text(",".join(os.environ))
    if behaviour == "fail":
        (run / "error.json").write_text(
            json.dumps({"error": "Recording a.wav is odd.", "error_type": "DataError"})
        )
        outbox.append("failed", {"error": "Recording a.wav is odd."})
        return 1
    return train(behaviour, run, arguments, outbox)


def train(behaviour: str, run: Path, arguments: dict, outbox: Outbox) -> int:
    checkpoint = run / "checkpoint.json"
    step = json.loads(checkpoint.read_text())["step"] if checkpoint.exists() else 0
    if step:
        outbox.append("resumed", {"step": step})
    if behaviour == "fill":
        fill(run.parent)
        sys.exit("RuntimeError: [enforce fail at inline_container.cc] unexpected pos 64 vs 0")
    helper = start_helper()
    num_steps = NUM_STEPS.get(behaviour, 3000)
    while step < num_steps:
        time.sleep(STEP_SECONDS)
        step += 1
        outbox.append("training_progress", {"step": step, "total_steps": num_steps, "not_relayed": "x"})
        if behaviour == "die" and step == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        if stop_requested.is_set():
            time.sleep(0.5)  # a helper that was signalled too is gone by now
            checkpoint.write_text(json.dumps({"step": step, "has_helper": helper.poll() is None}))
            helper.kill()
            error = {"error": f"Asked to stop; step {step} was saved.", "error_type": "InterruptedTraining"}
            (run / "error.json").write_text(json.dumps(error))
            outbox.append("interrupted", {"error": error["error"]})
            return 143
    helper.kill()
    return finish(run, arguments, outbox, step, fills_disk=behaviour == "fill after the result")


def start_helper() -> subprocess.Popen:
    """A process such as the workers of a data loader, without which no checkpoint can be written."""
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])


def finish(run: Path, arguments: dict, outbox: Outbox | None, step: int, *, fills_disk: bool = False) -> int:
    result = {"status": "completed", "job_id": arguments.get("job_id", ""), "message": "ok", "warnings": []}
    if outbox and outbox.job_id.startswith("leak"):
        result["message"] = f"the token was {os.environ['WHISPERTRAIN_AUTH_TOKEN']}"
    result["artifacts"] = {"training_metrics": [{"step": n} for n in range(step)], "final_loss": float("nan")}
    (run / "result.json").write_text(json.dumps(result))
    if fills_disk:
        fill(run.parent)
    if outbox:
        outbox.append("completed", {"final_result": result})
    return 0


if __name__ == "__main__":
    if "--rank" in sys.argv:
        die_with_parent(signal.SIGTERM)
        signal.signal(signal.SIGTERM, lambda number, frame: stop_requested.set())
        redact_output(Redactor(find_secrets(os.environ)))
        sys.exit(main(sys.argv[1], Path(sys.argv[2])))
    subprocess.run([sys.executable, *sys.argv, "--rank"], check=True)
