"""WhisperTrain's reference backend: the platform's side of the contract, as a server that runs anywhere.

    mkdir -p demo/uploads/USER && cp talk.wav talk.vtt demo/uploads/USER/
    python scripts/reference_backend --root demo --port 8000

It serves the files of `ROOT/uploads/`, keeps progress events in `ROOT/events.sqlite` and shows the jobs
live at `/`. It is what the demo and the integration tests talk to, not a server for the open internet.
Secrets given in the environment stay out of the process list: WHISPERTRAIN_AUTH_TOKEN,
WHISPERTRAIN_WORKER_API_KEY.
"""

import argparse
import ipaddress
import logging
import os
import signal
import socket
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the project is run from its checkout

import uvicorn

from scripts.reference_backend.backend_app import SECURITY_HEADERS, build_app


class AnnouncedServer(uvicorn.Server):
    """A server that says on stdout, in one line, its address once it is ready."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve from now on, and print the address."""
        await super().startup(sockets=sockets)
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        print(f"listening on http://{f'[{host}]' if ':' in host else host}:{port}", flush=True)


def parse_arguments() -> argparse.Namespace:
    """The command line, its secrets completed from the environment."""
    parser = argparse.ArgumentParser(
        prog="reference_backend", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", type=Path, required=True, help="folder of uploads/ and events.sqlite")
    parser.add_argument("--port", type=int, default=8000, help="0 takes a free one (default: %(default)s)")
    parser.add_argument("--host", default="127.0.0.1", help="address to serve on (default: %(default)s)")
    parser.add_argument(
        "--auth_token",
        default=os.environ.get("WHISPERTRAIN_AUTH_TOKEN", ""),
        help="accept Authorization: Bearer TOKEN (better: WHISPERTRAIN_AUTH_TOKEN in the environment)",
    )
    parser.add_argument(
        "--worker_key",
        default=os.environ.get("WHISPERTRAIN_WORKER_API_KEY", ""),
        help="accept X-Worker-Key: KEY (better: WHISPERTRAIN_WORKER_API_KEY in the environment)",
    )
    arguments = parser.parse_args()
    if not (arguments.auth_token or arguments.worker_key or is_loopback(arguments.host)):
        parser.error(
            f"--host {arguments.host} can be reached by others, and no credentials are set: "
            "give --auth_token or --worker_key, or keep the default --host."
        )
    return arguments


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def main() -> None:
    """Serve until SIGTERM or SIGINT, then exit with 0."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    arguments = parse_arguments()
    # uvicorn finishes what it is sending and raises the signal again: that ends here, as a success.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    config = uvicorn.Config(
        build_app(arguments.root, arguments.auth_token, arguments.worker_key),
        host=arguments.host,
        port=arguments.port,
        headers=SECURITY_HEADERS,
        server_header=False,
        access_log=False,
        log_config=None,
        timeout_graceful_shutdown=3,
    )
    AnnouncedServer(config).run()


if __name__ == "__main__":
    main()
