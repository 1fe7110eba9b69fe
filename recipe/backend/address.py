"""Where requests may go: rules for the backend's address, and a transport that keeps them."""

import contextvars
import ipaddress
import math
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import httpcore
import httpx

from recipe.errors import BackendError, JobError

Resolver = Callable[[str, int], Sequence[str]]
"""From a host name and a port to its numeric addresses; raises `OSError` where there are none."""

_BASE_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9a-f:.]+\]|[a-z0-9_](?:[a-z0-9._-]*[a-z0-9_.])?)(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<prefix>(?:/[a-z0-9._~!$&'()*+,;=:-]+)*)/*",
    re.ASCII | re.IGNORECASE,
)
# WHATWG URL, section 3.5: a host whose last label is a number is meant as an IPv4 address, in whatever
# notation (2130706433, 0x7f.1, 017700000001); only the dotted one is what it seems.
_NUMERIC_HOST = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)\.?", re.ASCII | re.IGNORECASE)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
_SPECIAL = tuple(
    map(
        ipaddress.ip_network,
        [
            *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
            *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15"),
            *("198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
            *("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"),
            "168.63.129.16/32",  # not IANA's: Azure answers its own machines there
        ],
    )
)
"""Blocks that are not globally reachable, by IANA's special-purpose registries for IPv4 and IPv6 (2025).

Blocks inside IETF's own (192.0.0.0/24, 2001::/23) that are reachable serve protocols, never a backend.
IANA assigns IPv6 addresses in 2000::/3 alone, so the table names what is special inside it. Python's
`is_global` knows less, and by version: 192.0.0.192, fec0::/10 and 64:ff9b:1::/48 pass it in 3.11.
"""
MAX_URL_CHARACTERS = 2048
_ALLOW = "the operator of this worker can allow it with WHISPERTRAIN_ALLOW_PRIVATE_BACKEND=1"

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_io_deadline: contextvars.ContextVar[float] = contextvars.ContextVar("io_deadline", default=math.inf)


def check_base_url(text: str, *, is_private_allowed: bool) -> str:
    """The backend's address in one spelling: `https://host[:port][/prefix]`, no slash at the end.

    Args:
        text: `backend_base_url` as the job has it.
        is_private_allowed: Whether plain http and addresses of private networks are allowed.

    Raises:
        JobError: for credentials, a query, odd characters, a forbidden scheme or a forbidden IP address.
    """
    match = _BASE_URL.fullmatch(text) if len(text) <= MAX_URL_CHARACTERS else None
    if match is None:
        # The text is not shown: what makes it wrong may be a password inside it.
        raise JobError(
            "backend_base_url: expected https://host, perhaps with a port and a path; credentials, spaces, "
            "backslashes, a query and a fragment are not allowed."
        )
    host, prefix = match["host"].lower(), match["prefix"]
    if match["scheme"].lower() == "http" and not is_private_allowed:
        raise JobError(f"backend_base_url: expected https, found http; {_ALLOW}.")
    if {".", ".."}.intersection(prefix.split("/")) or int(match["port"] or 443) not in range(1, 65536):
        raise JobError(f"backend_base_url: {text[:200]} has a dot segment or an impossible port.")
    if host.startswith("[") or _NUMERIC_HOST.fullmatch(host):
        _check_literal(host.strip("[]"), is_private_allowed=is_private_allowed)
    if not is_private_allowed and (
        host.rstrip(".") == "localhost" or host.rstrip(".").endswith(".localhost")
    ):
        raise JobError(f"backend_base_url: {host} is this machine itself; {_ALLOW}.")  # RFC 6761, section 6.3
    port = f":{int(match['port'])}" if match["port"] else ""
    return f"{match['scheme'].lower()}://{host}{port}{prefix}"


def _check_literal(host: str, *, is_private_allowed: bool) -> None:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        raise JobError(
            f"backend_base_url: {host[:60]!r} is not an IP address as it is usually written."
        ) from None
    if not is_private_allowed and not is_public(address):
        raise JobError(f"backend_base_url: {host} is not a public address; {_ALLOW}.")


def is_public(address: Address) -> bool:
    """Whether an address belongs to the open internet, seen through IPv6's wrappings of IPv4."""
    if isinstance(address, ipaddress.IPv6Address):
        wrapped = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if wrapped is None and address in _NAT64:
            wrapped = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if wrapped is not None:
            return is_public(wrapped)
    is_assigned = address.version == 4 or address in _GLOBAL_UNICAST
    return is_assigned and not any(address in block for block in _SPECIAL)


def resolve(host: str, port: int) -> list[str]:
    """The numeric addresses of a host, in the system's order of preference."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def set_io_deadline(seconds: float) -> None:
    """Bound all reads and writes of this thread's request together, `seconds` from now.

    A time-out per read cannot: a server that sends a byte now and then never trips it.
    """
    _io_deadline.set(time.monotonic() + seconds)


class CheckedTransport(httpx.HTTPTransport):
    """httpx's transport, connecting only to addresses that are allowed, and keeping the I/O deadline.

    Args:
        is_private_allowed: Whether addresses of private networks may be connected to.
        resolver: From a host name to its addresses.
        verify: The TLS context; by default certifi's authorities.
    """

    def __init__(
        self, *, is_private_allowed: bool, resolver: Resolver = resolve, verify: ssl.SSLContext | None = None
    ) -> None:
        context = verify or httpx.create_ssl_context(trust_env=False)
        super().__init__(verify=context, trust_env=False)
        # httpx has no parameter for the network backend, httpcore has.
        self._pool = httpcore.ConnectionPool(
            ssl_context=context,
            max_connections=64,
            max_keepalive_connections=16,
            keepalive_expiry=15.0,
            network_backend=_CheckedNetwork(is_private_allowed=is_private_allowed, resolver=resolver),
        )


class _CheckedNetwork(httpcore.NetworkBackend):
    """Resolves a name once per connection and connects to the very addresses that it checked.

    So a name that leads elsewhere the second time (DNS rebinding) gains nothing, while a backend that
    moves during a long run is still found. The host name, and with it Host and TLS, stay as they are.
    """

    def __init__(self, *, is_private_allowed: bool, resolver: Resolver) -> None:
        self._is_private_allowed = is_private_allowed
        self._resolver = resolver
        self._network = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        failure: Exception = httpcore.ConnectError(f"{host} has no address")
        for address in self._checked_addresses(host, port):
            try:
                stream = self._network.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
            else:
                return _DeadlineStream(stream)
        raise failure

    def _checked_addresses(self, host: str, port: int) -> list[str]:
        try:
            addresses = list(self._resolver(host, port))
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(f"{host} cannot be resolved") from error
        for address in addresses:
            if not self._is_private_allowed and not is_public(ipaddress.ip_address(address)):
                raise BackendError(f"The host {host} leads to {address}, not a public address; {_ALLOW}.")
        return addresses


class _DeadlineStream(httpcore.NetworkStream):
    """A network stream whose reads and writes end at the thread's I/O deadline."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _cut(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _cut(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _DeadlineStream(self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _cut(timeout: float | None, error: type[httpcore.TimeoutException]) -> float | None:
    remaining = _io_deadline.get() - time.monotonic()
    if remaining <= 0:
        raise error("the exchange took too long")
    if remaining == math.inf:
        return timeout
    return remaining if timeout is None else min(remaining, timeout)
