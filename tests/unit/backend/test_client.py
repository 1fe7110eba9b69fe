import ipaddress
import json
import logging
import threading
from datetime import UTC, datetime

import httpx
import pytest
from damages import DAMAGES
from hypothesis import given, settings
from hypothesis import strategies as st

from recipe.backend.address import CheckedTransport, check_base_url, is_public
from recipe.backend.answers import RefusedError, UnavailableError, parse_retry_after
from recipe.backend.client import BackendClient
from recipe.backend.limits import Limits, RateGuard, RetryBudget
from recipe.backend.path_segment import check_segment
from recipe.errors import AuthenticationError, BackendError, JobError, MissingFileError

ORIGIN = "https://backend.example"
TOKEN = "header.payload.signature"
KEY = "the shared secret"
AUDIO = bytes(range(256)) * 40
STRONG = {"ETag": '"v1"', "Content-Type": "audio/wav"}


class Exchange:
    """A transport that answers from a list of answers (the last one stays) and keeps the requests."""

    def __init__(self, *answers):
        self.requests = []
        self.pauses = []
        self._answers = list(answers)

    def __call__(self, request):
        self.requests.append(request)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer(request) if callable(answer) else answer

    def client(self, base_url=ORIGIN, **arguments):
        return BackendClient(
            base_url, transport=httpx.MockTransport(self), sleep=self.pauses.append, **arguments
        )


class Body(httpx.SyncByteStream):
    """A body in chunks, which may break at the end."""

    def __init__(self, *chunks, error=None):
        self._chunks = chunks
        self._error = error

    def __iter__(self):
        yield from self._chunks
        if self._error:
            raise self._error


def answer(status=200, content=b"", headers=None):
    return lambda _: httpx.Response(status, headers={"Content-Length": str(len(content)), **(headers or {})},
                                    stream=Body(content))  # fmt: skip


def broken_after(content, total, headers):
    return lambda _: httpx.Response(
        200,
        headers={**headers, "Content-Length": str(total)},
        stream=Body(content, error=httpx.ReadError("reset")),
    )


def fetch(exchange, destination, *, max_bytes=1 << 20, filename="a.wav", **arguments):
    with exchange.client(**arguments) as client:
        return client.fetch_upload("user", filename, destination, max_bytes=max_bytes)


# Addresses


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("https://host.example", "https://host.example", id="plain"),
        pytest.param("https://host.example/", "https://host.example", id="slash_at_the_end"),
        pytest.param("HTTPS://Host.Example:8443/Base/v1//", "https://host.example:8443/Base/v1", id="prefix"),
        pytest.param("https://8.8.8.8", "https://8.8.8.8", id="public_ipv4"),
        pytest.param("https://[2606:4700::1111]:444", "https://[2606:4700::1111]:444", id="public_ipv6"),
    ],
)
def test_a_public_https_address_is_brought_to_one_spelling(text, expected):
    assert check_base_url(text, is_private_allowed=False) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "host.example",
        "https:host.example",
        "https://",
        "https:///path",
        "ftp://host.example",
        "file:///etc/passwd",
        "http://host.example",
        "https://127.0.0.1@evil.example",
        "https://user:pass@host.example",
        "https://@host.example",
        "https://good.example\\@evil.example",
        "https://good.example\\.evil.example",
        "https://host.example/?token=1",
        "https://host.example/#x",
        "https://host.example/../admin",
        "https://host.example/./x",
        "https://host.example/%2e%2e/x",
        "https://host.example:0",
        "https://host.example:65536",
        "https://host.example:port",
        "https://host .example",
        "https://host.example\n",
        "https://hôst.example",
        "https://127.0.0.1",
        "https://127.1",
        "https://0",
        "https://0x7f.1",
        "https://2130706433",
        "https://017700000001",
        "https://0177.0.0.1",
        "https://127.0.0.1.",
        "https://10.0.0.1",
        "https://169.254.169.254/latest",
        "https://100.64.0.1",
        "https://192.168.1.1",
        "https://0.0.0.0",
        "https://224.0.0.1",
        "https://255.255.255.255",
        "https://[::1]",
        "https://[::]",
        "https://[::ffff:127.0.0.1]",
        "https://[::127.0.0.1]",
        "https://[64:ff9b::7f00:1]",
        "https://[2002:7f00:1::]",
        "https://[fe80::1]",
        "https://[fc00::1]",
        "https://[ff02::1]",
        "https://[fe80::1%25eth0]",
        "https://localhost",
        "https://api.localhost.",
        "https://" + "a" * 3000,
    ],
)
def test_an_address_that_is_not_plainly_public_https_is_refused(text):
    with pytest.raises(JobError, match="backend_base_url"):
        BackendClient(text)


def test_a_password_in_the_address_is_not_shown():
    with pytest.raises(JobError) as raised:
        BackendClient("https://user:hunter2@host.example")
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("text", ["http://127.0.0.1:8000", "http://localhost:8000/base", "http://[::1]"])
def test_the_operator_may_allow_private_addresses_and_http(text):
    assert check_base_url(text, is_private_allowed=True) == text


@pytest.mark.parametrize("text", ["http://2130706433", "http://0x7f.1", "http://a@127.0.0.1"])
def test_odd_spellings_are_refused_even_where_private_addresses_are_allowed(text):
    with pytest.raises(JobError):
        check_base_url(text, is_private_allowed=True)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("1.1.1.1", True),
        ("100.63.255.255", True),
        ("100.64.0.1", False),  # carrier-grade NAT
        ("100.100.100.200", False),  # Alibaba's metadata
        ("168.63.129.16", False),  # Azure's
        ("169.254.169.254", False),  # Amazon's, Google's and others'
        ("192.0.0.192", False),  # Oracle's
        ("192.0.1.1", True),
        ("192.0.2.1", False),  # documentation
        ("192.88.99.1", False),  # relays of 6to4
        ("198.19.255.255", False),  # benchmarks
        ("203.0.113.7", False),
        ("223.255.255.255", True),
        ("224.0.0.1", False),
        ("240.0.0.1", False),
        ("255.255.255.255", False),
        ("2606:4700::1111", True),
        ("::", False),
        ("::8.8.8.8", False),
        ("64:ff9b::8.8.8.8", True),
        ("64:ff9b::10.0.0.1", False),
        ("64:ff9b:1::8.8.8.8", False),  # translation inside one network
        ("100::1", False),  # discarded
        ("2001:db8::1", False),
        ("2001:10::1", False),
        ("2001:200::1", True),
        ("2002:a9fe:a9fe::1", False),
        ("2002:808:808::1", True),
        ("3fff:fff::1", False),  # documentation
        ("4000::1", False),  # assigned to nobody
        ("5f00::1", False),
        ("fc00::1", False),
        ("fd00:ec2::254", False),  # Amazon's metadata
        ("fe80::1%eth0", False),
        ("fec0::1", False),  # once site-local
        ("ff0e::1", False),
    ],
)
def test_an_address_is_public_by_the_registries_of_iana(address, expected):
    assert is_public(ipaddress.ip_address(address)) is expected


@given(st.ip_addresses(v=4))
def test_no_ipv4_address_is_public_that_python_knows_to_be_private(address):
    assert address.is_global or not is_public(address)


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_judged_alike_in_all_of_its_ipv6_wrappings(address):
    packed = int(address)
    mapped = ipaddress.IPv6Address((0xFFFF << 32) | packed)
    nat64 = ipaddress.IPv6Address((0x64FF9B << 96) | packed)
    six_to_four = ipaddress.IPv6Address((0x2002 << 112) | (packed << 80))
    assert {is_public(mapped), is_public(nat64), is_public(six_to_four)} == {is_public(address)}


def test_a_name_that_leads_to_a_private_address_is_refused_when_it_is_connected_to():
    """This goes through the real transport: it fails if an upgrade of httpx bypasses the check."""
    resolver = lambda host, port: ["93.184.216.34", "10.0.0.1"]  # noqa: E731
    transport = CheckedTransport(is_private_allowed=False, resolver=resolver)
    with (
        BackendClient(ORIGIN, transport=transport) as client,
        pytest.raises(BackendError, match=r"leads to 10\.0\.0\.1") as raised,
    ):
        client.post_progress("job", {})
    assert not isinstance(raised.value, UnavailableError)


# Requests


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param(
            {"auth_token": TOKEN, "worker_api_key": KEY}, {"authorization": f"Bearer {TOKEN}"}, id="both"
        ),
        pytest.param({"auth_token": " ", "worker_api_key": KEY}, {"x-worker-key": KEY}, id="blank_token"),
        pytest.param({}, {}, id="none"),
    ],
)
def test_the_token_is_preferred_to_the_key(arguments, expected):
    exchange = Exchange(answer())
    with exchange.client(**arguments) as client:
        client.post_progress("job", {"status": "failed"})
    (request,) = exchange.requests
    sent = {
        name: request.headers[name] for name in ("authorization", "x-worker-key") if name in request.headers
    }
    assert sent == expected


@pytest.mark.parametrize("field", ["auth_token", "worker_api_key"])
@pytest.mark.parametrize(
    "secret", ["s3cret\n", "s3cret\r\nX: y", "s3\x00cret", "s3crét", " s3cret", "s3cret "]
)
def test_a_credential_that_is_no_header_value_is_refused_without_showing_it(field, secret):
    with pytest.raises(JobError, match=field) as raised:
        BackendClient(ORIGIN, **{field: secret})
    assert "s3" not in str(raised.value)


def test_progress_is_posted_as_json_below_the_path_of_the_base_address():
    exchange = Exchange(answer(201))
    with exchange.client(ORIGIN + "/base/") as client:
        client.post_progress("job 1", {"status": "dataset_ready", "name": "été"})
    (request,) = exchange.requests
    assert request.method == "POST"
    assert request.url.raw_path == b"/base/api/training/progress/job%201"
    assert request.headers["content-type"] == "application/json"
    assert json.loads(request.content) == {"status": "dataset_ready", "name": "été"}


def test_a_number_that_json_does_not_have_is_our_own_mistake():
    with Exchange(answer()).client() as client, pytest.raises(ValueError, match="JSON"):
        client.post_progress("job", {"loss": float("nan")})


@settings(deadline=None)
@given(st.text(max_size=80))
def test_every_accepted_name_arrives_as_the_same_single_segment(name):
    try:
        check_segment(name)
    except JobError:
        return
    exchange = Exchange(answer())
    with exchange.client(ORIGIN + "/base") as client:
        client.post_progress(name, {})
    path = exchange.requests[0].url.raw_path
    assert path.count(b"/") == 5
    assert httpx.URL("https://x/" + path.rpartition(b"/")[2].decode()).path == "/" + name


@pytest.mark.parametrize("filename", ["..", "../../admin", "a?b#c", "a/b", "x" * 300, "a\r\nHost: evil", ""])
def test_a_name_that_is_no_segment_sends_nothing(filename, tmp_path):
    exchange = Exchange(answer())
    with pytest.raises(JobError, match="filename"):
        fetch(exchange, tmp_path / "a", filename=filename)
    assert exchange.requests == []


def test_proxies_of_the_environment_are_ignored(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    exchange = Exchange(answer())
    with exchange.client(auth_token=TOKEN) as client:
        client.post_progress("job", {})
    assert len(exchange.requests) == 1


def test_cookies_are_not_kept():
    exchange = Exchange(answer(headers={"Set-Cookie": "tracker=1; Path=/"}))
    with exchange.client() as client:
        client.post_progress("job", {})
        client.post_progress("job", {})
    assert "cookie" not in exchange.requests[1].headers


# What answers mean


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (301, RefusedError),
        (304, RefusedError),
        (307, RefusedError),
        (400, RefusedError),
        (401, AuthenticationError),
        (403, AuthenticationError),
        (404, MissingFileError),
        (408, UnavailableError),
        (409, RefusedError),
        (410, MissingFileError),
        (413, RefusedError),
        (422, RefusedError),
        (425, UnavailableError),
        (429, UnavailableError),
        (500, UnavailableError),
        (501, RefusedError),
        (503, UnavailableError),
        (599, UnavailableError),
    ],
)
def test_a_status_becomes_an_error_that_names_call_and_status_and_nothing_secret(status, error):
    exchange = Exchange(answer(status, headers={"Location": "https://evil.example/?key=1"}))
    with exchange.client(auth_token=TOKEN) as client, pytest.raises(error) as raised:
        client.post_progress("job", {})
    assert type(raised.value) is error
    assert f"POST /api/training/progress/job was answered {status}" in str(raised.value)
    assert TOKEN not in str(raised.value)
    assert "evil" not in str(raised.value)
    assert len(exchange.requests) == 1


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("7", 7.0),
        (" 0 ", 0.0),
        ("9" * 60, 1e60),
        ("9" * 5000, None),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("٣", None),
        ("Tue, 03 Mar 2026 12:00:30 GMT", 30.0),
        ("Tue, 03 Mar 2026 12:00:30 -0000", 30.0),
        ("Tue, 03 Mar 2026 11:00:00 GMT", 0.0),
        ("Tue, 99 Mar 2026 11:00:00 GMT", None),
    ],
)
def test_retry_after_is_a_number_of_seconds_or_a_date(value, expected):
    assert parse_retry_after(value, datetime(2026, 3, 3, 12, tzinfo=UTC)) == expected


@pytest.mark.parametrize(
    "error",
    [httpx.ConnectError("refused"), httpx.ReadTimeout(""), httpx.RemoteProtocolError("bad " + TOKEN)],
    ids=lambda error: type(error).__name__,
)
def test_a_broken_connection_is_worth_another_try_and_quotes_no_header(error):
    with Exchange(error).client(auth_token=TOKEN) as client, pytest.raises(UnavailableError) as raised:
        client.post_progress("job", {})
    assert TOKEN not in str(raised.value)


# Downloads


def test_a_file_arrives_whole_under_its_name_and_nothing_half_done_stays(tmp_path):
    exchange = Exchange(answer(content=AUDIO, headers=STRONG))
    assert fetch(exchange, tmp_path / "a.wav", filename="été 1.wav") == len(AUDIO)
    assert (tmp_path / "a.wav").read_bytes() == AUDIO
    assert {path.name for path in tmp_path.iterdir()} == {"a.wav", "a.wav.source"}
    (request,) = exchange.requests
    assert request.url.raw_path == b"/uploads/user/%C3%A9t%C3%A9%201.wav"
    assert request.headers["accept-encoding"] == "identity"
    assert "range" not in request.headers


def test_a_whole_file_is_not_fetched_again(tmp_path):
    exchange = Exchange(answer(content=AUDIO, headers=STRONG))
    fetch(exchange, tmp_path / "a.wav")
    assert fetch(exchange, tmp_path / "a.wav") == len(AUDIO)
    assert len(exchange.requests) == 1


def test_a_file_that_was_cut_since_is_fetched_again(tmp_path):
    exchange = Exchange(answer(content=AUDIO, headers=STRONG))
    fetch(exchange, tmp_path / "a.wav")
    (tmp_path / "a.wav").write_bytes(AUDIO[:10])
    fetch(exchange, tmp_path / "a.wav")
    assert (tmp_path / "a.wav").read_bytes() == AUDIO


@pytest.mark.parametrize("name", ["a.wav", "a.wav.source"])
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_finished_download_that_is_damaged_is_fetched_again(tmp_path, damage, name, caplog):
    exchange = Exchange(*[answer(content=AUDIO, headers=STRONG)] * 2)
    fetch(exchange, tmp_path / "a.wav")
    damage(tmp_path / name)
    assert fetch(exchange, tmp_path / "a.wav") == len(AUDIO)
    assert (tmp_path / "a.wav").read_bytes() == AUDIO
    assert len(exchange.requests) == 2
    assert f"{name} is damaged" in caplog.text
    assert (tmp_path / f"{name}.damaged").exists()
    fetch(exchange, tmp_path / "a.wav")
    assert len(exchange.requests) == 2


@pytest.mark.parametrize("name", ["a.wav.part", "a.wav.source"])
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_download_that_broke_off_and_is_damaged_ends_whole(tmp_path, damage, name):
    """Bytes of the part that changed are seen by nobody but the decoder; all else starts over."""
    with pytest.raises(BackendError):
        fetch(
            Exchange(broken_after(AUDIO[:1000], len(AUDIO), STRONG), *[answer(401)] * 9), tmp_path / "a.wav"
        )
    damage(tmp_path / name)
    exchange = Exchange(answer(content=AUDIO, headers=STRONG))
    assert fetch(exchange, tmp_path / "a.wav") == len(AUDIO)
    assert (tmp_path / "a.wav").read_bytes() == AUDIO


def test_an_empty_file_is_a_file(tmp_path):
    assert fetch(Exchange(answer(content=b"", headers=STRONG)), tmp_path / "a.vtt") == 0
    assert (tmp_path / "a.vtt").read_bytes() == b""


def rest_of(content, headers):
    def respond(request):
        first = int(request.headers["range"].removeprefix("bytes=").removesuffix("-"))
        return httpx.Response(
            206,
            headers={**headers, "Content-Range": f"bytes {first}-{len(content) - 1}/{len(content)}"},
            stream=Body(content[first:]),
        )

    return respond


@pytest.mark.parametrize(
    "validator",
    [
        pytest.param({"ETag": '"v1"'}, id="strong_etag"),
        pytest.param(
            {"Last-Modified": "Tue, 03 Mar 2026 12:00:00 GMT", "Date": "Tue, 03 Mar 2026 12:00:05 GMT"},
            id="old_date",
        ),
    ],
)
def test_a_broken_download_goes_on_where_it_stopped(tmp_path, validator):
    exchange = Exchange(broken_after(AUDIO[:1000], len(AUDIO), validator), rest_of(AUDIO, validator))
    fetch(exchange, tmp_path / "a.wav")
    assert (tmp_path / "a.wav").read_bytes() == AUDIO
    assert exchange.requests[1].headers["range"] == "bytes=1000-"
    assert exchange.requests[1].headers["if-range"] == validator.get("ETag", validator.get("Last-Modified"))


@pytest.mark.parametrize(
    "validator",
    [
        pytest.param({}, id="none"),
        pytest.param({"ETag": 'W/"v1"'}, id="weak_etag"),
        pytest.param({"ETag": "v1"}, id="unquoted_etag"),
        pytest.param(
            {"Last-Modified": "Tue, 03 Mar 2026 12:00:00 GMT", "Date": "Tue, 03 Mar 2026 12:00:00 GMT"},
            id="date_of_this_very_second",
        ),
        pytest.param(
            {
                "Last-Modified": "Tue, 03 Mar 2026 12:00:00 +99999999999999",
                "Date": "Tue, 03 Mar 2026 12:00:00",
            },
            id="date_beyond_all_dates",
        ),
    ],
)
def test_without_a_strong_validator_a_download_starts_over(tmp_path, validator):
    exchange = Exchange(broken_after(AUDIO[:1000], len(AUDIO), validator), answer(content=AUDIO))
    fetch(exchange, tmp_path / "a.wav")
    assert (tmp_path / "a.wav").read_bytes() == AUDIO
    assert "range" not in exchange.requests[1].headers


def lie_about_the_range(request):
    """As many bytes as are missing, but not those that are."""
    headers = {**STRONG, "Content-Range": f"bytes 10-{len(AUDIO) - 1}/{len(AUDIO)}"}
    return httpx.Response(206, headers=headers, stream=Body(AUDIO[10 : len(AUDIO) - 990]))


CHANGED = bytes(reversed(AUDIO)) + b"longer"


@pytest.mark.parametrize(
    "second",
    [
        pytest.param(
            answer(content=CHANGED, headers={"ETag": '"v2"'}), id="if_range_answered_with_all_of_it"
        ),
        pytest.param(rest_of(CHANGED, {"ETag": '"v2"'}), id="if_range_ignored_but_etag_told"),
        pytest.param(lie_about_the_range, id="wrong_content_range"),
        pytest.param(lambda _: httpx.Response(206, stream=Body(CHANGED)), id="no_content_range"),
        pytest.param(answer(416), id="range_not_satisfiable"),
    ],
)
def test_a_file_that_changed_meanwhile_is_never_glued_to_its_old_beginning(tmp_path, second):
    last = answer(content=CHANGED, headers={"ETag": '"v2"'})
    exchange = Exchange(broken_after(AUDIO[:1000], len(AUDIO), STRONG), second, last)
    fetch(exchange, tmp_path / "a.wav")
    assert (tmp_path / "a.wav").read_bytes() == CHANGED
    assert all("range" not in request.headers for request in exchange.requests[2:])


@pytest.mark.parametrize(
    ("answered", "message"),
    [
        pytest.param(answer(206, AUDIO[:10], {"Content-Range": "bytes 0-9/10"}), "206", id="unasked_206"),
        pytest.param(answer(204), "204", id="no_content"),
        pytest.param(answer(content=b"x", headers={"Content-Encoding": "gzip"}), "encoded", id="gzip"),
        pytest.param(answer(content=b"<p>", headers={"Content-Type": "Text/HTML; a=b"}), "web", id="html"),
        pytest.param(answer(content=b"x" * 2000), "2000 bytes", id="too_large"),
        pytest.param(lambda _: httpx.Response(200, stream=Body(b"x" * 2000)), "goes on", id="endless"),
        pytest.param(answer(400), "400", id="refused"),
    ],
)
def test_an_answer_that_is_not_the_file_is_refused_at_once_and_leaves_no_file(tmp_path, answered, message):
    exchange = Exchange(answered)
    with pytest.raises(BackendError, match=message) as raised:
        fetch(exchange, tmp_path / "a.wav", max_bytes=1000)
    assert str(raised.value).startswith("GET /uploads/user/a.wav")
    assert len(exchange.requests) == 1
    assert not (tmp_path / "a.wav").exists()


def test_a_body_shorter_than_announced_is_not_a_file(tmp_path):
    exchange = Exchange(answer(content=AUDIO, headers={"Content-Length": str(len(AUDIO) + 1)}))
    with pytest.raises(UnavailableError, match="ended after"):
        fetch(exchange, tmp_path / "a.wav", limits=Limits(num_attempts=2))
    assert not (tmp_path / "a.wav").exists()


def test_a_body_without_a_length_is_taken_and_noted(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        fetch(Exchange(lambda _: httpx.Response(200, stream=Body(AUDIO))), tmp_path / "a.wav")
    assert "without a length" in caplog.text


@pytest.mark.parametrize("error", [answer(401), answer(403), answer(404), answer(410), answer(422)])
def test_what_will_not_change_is_not_tried_again(tmp_path, error):
    exchange = Exchange(error)
    with pytest.raises(BackendError):
        fetch(exchange, tmp_path / "a.wav")
    assert len(exchange.requests) == 1


def test_retries_are_bounded_and_their_pauses_grow_to_a_ceiling(tmp_path):
    exchange = Exchange(answer(503))
    limits = Limits(num_attempts=6, backoff_seconds=0.1, max_backoff_seconds=0.4)
    with pytest.raises(UnavailableError, match="503"):
        fetch(exchange, tmp_path / "a.wav", limits=limits)
    assert len(exchange.requests) == 6
    assert all(
        pause <= ceiling for pause, ceiling in zip(exchange.pauses, [0.1, 0.2, 0.4, 0.4, 0.4], strict=True)
    )


@pytest.mark.parametrize(("asked", "least", "most"), [("3", 3, 4), ("86400", 60, 61), ("nonsense", 0, 1)])
def test_retry_after_is_honoured_and_clamped(tmp_path, asked, least, most):
    exchange = Exchange(answer(429, headers={"Retry-After": asked}), answer(content=AUDIO))
    fetch(exchange, tmp_path / "a.wav")
    assert least <= sum(exchange.pauses) <= most


def test_all_downloads_of_a_client_share_a_budget_of_retries(tmp_path):
    exchange = Exchange(answer(500))
    with exchange.client(limits=Limits(num_retries_in_hand=10)) as client:
        for number in range(20):
            with pytest.raises(UnavailableError):
                client.fetch_upload("user", "a.wav", tmp_path / str(number), max_bytes=10)
    assert len(exchange.requests) == 20 + 10


def test_a_download_that_succeeds_pays_for_a_retry_of_the_next(tmp_path):
    exchange = Exchange(answer(500), answer(content=b"a"), answer(500), answer(content=b"b"))
    with exchange.client(limits=Limits(num_retries_in_hand=1)) as client:
        for name in ("a", "b"):
            assert client.fetch_upload("user", name, tmp_path / name, max_bytes=10) == 1


def test_a_success_earns_one_retry_back_up_to_the_capacity():
    budget = RetryBudget(1)
    budget.give_back()
    assert [budget.take(), budget.take()] == [True, False]
    budget.give_back()
    assert budget.take()


def test_a_fast_beginning_does_not_pay_for_a_trickle_later():
    times = iter([0.0, 10.0, 10.0, 15.0, 20.0, 20.0])
    guard = RateGuard(Limits(stall_seconds=10, min_bytes_per_second=100), lambda: next(times))
    assert [guard.is_too_slow(1_000_000), guard.is_too_slow(10), guard.is_too_slow(10)] == [
        False,
        False,
        True,
    ]


def test_a_file_that_gains_ground_may_break_more_often_than_the_number_of_attempts(tmp_path):
    size = 12 * 300

    def next_piece(request):
        first = int(request.headers.get("range", "bytes=0-")[6:-1])
        headers = {**STRONG, "Content-Range": f"bytes {first}-{size - 1}/{size}"}
        headers |= {} if first else {"Content-Length": str(size)}
        return httpx.Response(
            206 if first else 200, headers=headers, stream=Body(b"x" * 300, error=httpx.ReadError(""))
        )

    exchange = Exchange(*[next_piece] * 11, rest_of(b"x" * size, STRONG))
    assert fetch(exchange, tmp_path / "a.wav", limits=Limits(num_attempts=3, progress_bytes=600)) == size


def test_a_download_ends_at_its_deadline_however_willing_the_backend(tmp_path):
    now = iter(range(1000))
    exchange = Exchange(lambda _: httpx.Response(200, stream=Body(*[b"x" * 100] * 500)))
    limits = Limits(file_seconds=60, min_bytes_per_second=0)
    with pytest.raises(BackendError, match="longer than 60 s"):
        fetch(exchange, tmp_path / "a.wav", limits=limits, clock=lambda: float(next(now)))


def test_a_download_ends_soon_after_it_is_told_to(tmp_path):
    stop = threading.Event()
    exchange = Exchange(answer(503, headers={"Retry-After": "50"}))
    client = BackendClient(ORIGIN, transport=httpx.MockTransport(exchange), sleep=lambda _: stop.set())
    with client, pytest.raises(BackendError):
        client.fetch_upload("user", "a.wav", tmp_path / "a.wav", max_bytes=10, stop=stop)
    assert len(exchange.requests) <= 2


def test_the_caller_sees_the_bytes_on_disk_grow(tmp_path):
    seen = []
    exchange = Exchange(lambda _: httpx.Response(200, stream=Body(b"ab", b"cd", b"e")))
    with exchange.client() as client:
        client.fetch_upload("user", "a.wav", tmp_path / "a.wav", max_bytes=10, on_bytes=seen.append)
    assert seen == [2, 4, 5]


# Redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("arguments", [{"auth_token": TOKEN}, {"worker_api_key": KEY}], ids=["token", "key"])
@pytest.mark.parametrize(
    "target",
    ["https://storage.example/a?signature=1", "https://backend.example:8443/a", "//cdn.backend.example/a"],
)
def test_a_redirect_to_another_origin_carries_no_credentials(tmp_path, status, arguments, target):
    exchange = Exchange(answer(status, headers={"Location": target}), answer(content=AUDIO))
    fetch(exchange, tmp_path / "a.wav", **arguments)
    first, second = exchange.requests
    assert {"authorization", "x-worker-key"} & set(first.headers)
    assert not {"authorization", "x-worker-key"} & set(second.headers)
    assert second.method == "GET"
    assert (tmp_path / "a.wav").read_bytes() == AUDIO


def test_a_redirect_within_the_origin_keeps_the_credentials(tmp_path):
    exchange = Exchange(answer(307, headers={"Location": "/files/1"}), answer(content=AUDIO))
    fetch(exchange, tmp_path / "a.wav", worker_api_key=KEY)
    assert [request.headers["x-worker-key"] for request in exchange.requests] == [KEY, KEY]


def test_credentials_do_not_come_back_at_a_foreign_hosts_command_to_anyone_but_the_backend(tmp_path):
    exchange = Exchange(
        answer(302, headers={"Location": "https://a.example/"}),
        answer(302, headers={"Location": "https://b.example/"}),
        answer(content=AUDIO),
    )
    fetch(exchange, tmp_path / "a.wav", auth_token=TOKEN)
    assert ["authorization" in request.headers for request in exchange.requests] == [True, False, False]


@pytest.mark.parametrize(
    "location",
    [
        "http://storage.example/a",
        "https://user:pass@storage.example/a",
        "https://127.0.0.1/a",
        "https://2130706433/a",
        "https://[::1]/a",
        "https://good.example\\@evil.example/a",
        "file:///etc/passwd",
        "ftp://storage.example/a",
    ],
)
def test_a_redirect_obeys_the_rules_of_addresses(tmp_path, location):
    exchange = Exchange(answer(302, headers={"Location": location}), answer(content=AUDIO))
    with pytest.raises(BackendError, match="redirected") as raised:
        fetch(exchange, tmp_path / "a.wav")
    assert len(exchange.requests) == 1
    assert location not in str(raised.value)


@pytest.mark.parametrize(
    "location",
    ["https://a:b:c/", "javascript:alert(1)", "https://\x7f/", "http://xn--aaaa.com/", "https://xn--/"],
)
def test_a_redirect_to_what_is_no_address_is_a_broken_answer(tmp_path, location):
    exchange = Exchange(answer(302, headers={"Location": location}))
    with pytest.raises(UnavailableError, match="connection broke"):
        fetch(exchange, tmp_path / "a.wav", limits=Limits(num_attempts=2))
    assert len(exchange.requests) == 2


def test_redirects_in_a_circle_end(tmp_path):
    exchange = Exchange(answer(302, headers={"Location": "/again"}))
    with pytest.raises(BackendError, match="more than 4 times"):
        fetch(exchange, tmp_path / "a.wav")
    assert len(exchange.requests) == 5


def test_a_storage_that_refuses_a_signed_address_does_not_mean_that_our_credentials_are_bad(tmp_path):
    exchange = Exchange(
        answer(302, headers={"Location": "https://storage.example/?signature=expired"}),
        answer(403),
        answer(302, headers={"Location": "https://storage.example/?signature=fresh"}),
        answer(content=AUDIO),
    )
    assert fetch(exchange, tmp_path / "a.wav", auth_token=TOKEN) == len(AUDIO)
