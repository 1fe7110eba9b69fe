import pytest

from recipe.backend.path_segment import check_segment
from recipe.errors import JobError


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("recording1.wav", id="plain"),
        pytest.param("talk [abc].fr-CA.srt", id="brackets_and_spaces"),
        pytest.param("Vidéo — été.m4a", id="accents"),
        pytest.param("100%.wav", id="percent"),
        pytest.param("..hidden", id="dots_in_front"),
        pytest.param("👩‍🔬.wav", id="joined_emoji"),
        pytest.param("x" * 255, id="longest"),
    ],
)
def test_a_name_that_is_one_segment_is_accepted(name):
    check_segment(name)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("", id="empty"),
        pytest.param(".", id="dot"),
        pytest.param("..", id="dots"),
        pytest.param("../x", id="parent"),
        pytest.param("a/b", id="slash"),
        pytest.param("a\\b", id="backslash"),
        pytest.param("a?b", id="query"),
        pytest.param("a#b", id="fragment"),
        pytest.param("a\nb", id="newline"),
        pytest.param("a\x00b", id="nul"),
        pytest.param("a\x85b", id="c1_control"),
        pytest.param("a\u2028b", id="line_separator"),
        pytest.param("a\ud800", id="lone_surrogate"),
        pytest.param("x" * 256, id="one_byte_too_long"),
        pytest.param("é" * 128, id="too_long_in_bytes_only"),
        pytest.param("x" * 300, id="300_characters"),
    ],
)
def test_any_other_name_is_refused_with_its_field_and_in_printable_text(name):
    with pytest.raises(JobError, match=r"^filename '") as raised:
        check_segment(name, "filename")
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < 400
