"""What must not be shown is not shown, and what may be shown is not spoilt."""

from base64 import b64encode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goosejobs_worker.goose.redact import (
    keep_end,
    keep_start,
    message_text,
    plain,
    spellings,
    without_secrets,
)

CREDENTIALS = {
    "an OpenAI key": "sk-proj-abcDEF123456_ghi",
    "an Anthropic key": "sk-ant-api03-abcdefghijkl",
    "a Groq key": "gsk_abcdefghijklmnopqrstuvwxyz",
    "a Hugging Face token": "hf_abcdefghijklmnopqrstuvwxyz",
    "a GitHub token": "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
    "an AWS key id": "AKIAIOSFODNN7EXAMPLE",
    "a Google key": "AIzaSyA1234567890abcdefghijklmnopqrstuv",
    "a JSON web token": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N",
}


@pytest.mark.parametrize("sort", CREDENTIALS)
def test_the_shape_of_a_credential_is_masked_wherever_it_stands(sort: str) -> None:
    secret = CREDENTIALS[sort]
    assert without_secrets(f"look: ({secret}), there", ()) == "look: (***), there"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Authorization: Bearer abc123def456", "Authorization: Bearer ***"),
        ("at https://me:pass@proxy:8080/x", "at https://***@proxy:8080/x"),
        ("GET https://h/v1?key=AbC123&alt=sse", "GET https://h/v1?key=***&alt=sse"),
        ("GET https://h/v1?a=1&api_key=AbC123", "GET https://h/v1?a=1&api_key=***"),
    ],
)
def test_credentials_in_headers_and_addresses_are_masked(text: str, shown: str) -> None:
    assert without_secrets(text, ()) == shown


@pytest.mark.parametrize(
    "text",
    [
        "a task-based, risk-free skateboard",
        "bearer certificates are old",
        '{"token": "next-page", "tokens": 512}',
        "see https://example.com/a:b@c?page=2&sort=key",
        "hf_hub_download loads it",
        "sk-learn is short",
    ],
)
def test_an_ordinary_answer_is_left_as_it_is(text: str) -> None:
    assert without_secrets(text, ()) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Incorrect API key provided: abc*****xyz. See", "Incorrect API key provided: *** See"),
        ('{"password": "hunter22"}', '{"password": "***"}'),
        ("token=abcdef;", "token=***;"),
    ],
)
def test_an_error_message_hides_what_it_names_as_a_secret(text: str, shown: str) -> None:
    assert message_text(text, (), 1000) == shown


def test_the_longer_of_two_secrets_is_masked_first() -> None:
    assert without_secrets("password1234", ("password", "password1234")) == "***"


def test_terminal_codes_and_control_characters_go_and_line_breaks_stay() -> None:
    text = "\x1b]0;title\x07\x1b[1;31mred\x1b[0m\r\nnext\tline\x00\x85\u202egnp.exe\ud800"
    assert plain(text) == "red\nnext\tlinegnp.exe\ufffd"


@settings(max_examples=80, deadline=None)
@given(st.text(st.characters(), max_size=300), st.integers(min_value=64, max_value=200))
def test_a_message_is_always_one_line_within_its_limit_that_can_be_sent(text: str, limit: int) -> None:
    shown = message_text(text, (), limit)
    assert len(shown) <= limit
    assert "\n" not in shown
    assert shown.encode("utf-8").decode("utf-8") == shown


def test_what_was_lost_before_is_marked_and_what_is_left_is_kept_whole() -> None:
    assert keep_end("short", 100, 50) == "[cut: the end of 55 characters] … short"
    assert keep_start("short", 100, 50) == "short … [cut: 55 characters in all]"


@settings(max_examples=80, deadline=None)
@given(
    st.text(max_size=300), st.integers(min_value=64, max_value=200), st.integers(min_value=0, max_value=50)
)
def test_a_cut_is_always_marked_and_within_its_limit(text: str, limit: int, lost: int) -> None:
    for cut in (keep_start(text, limit, lost), keep_end(text, limit, lost)):
        assert len(cut) <= limit
        assert (cut == text) or "[cut: " in cut
        assert (cut == text) == (len(text) <= limit and not lost)


@pytest.mark.parametrize(
    "shown",
    [
        "it is pa ss/w\"ö'rd!",
        'it is {"p": "pa ss/w\\"\\u00f6\'rd!"}',
        'it is {"p": "pa ss/w\\"ö\'rd!"}',
        "it is cGEgc3MvdyLDtidyZCE=",
        "it is pa%20ss%2Fw%22%C3%B6%27rd%21",
    ],
)
def test_the_value_of_a_secret_is_masked_however_it_is_written(shown: str) -> None:
    masked = without_secrets(shown, spellings(["pa ss/w\"ö'rd!\n"]))
    assert masked.startswith("it is ")
    assert not any(part in masked for part in ("pa", "cGEg", "rd!"))


def test_each_line_of_a_secret_is_masked_by_itself() -> None:
    key = "-----BEGIN KEY-----\nMIIEvQIBADANBg\nkqhkiG9w0BAQEF\n-----END KEY-----\n"
    assert without_secrets("2: kqhkiG9w0BAQEF", spellings([key])) == "2: ***"


@pytest.mark.parametrize("value", ["", "x", "no!", "true", "False", "null", " \n"])
def test_a_value_too_short_or_too_plain_to_be_a_secret_masks_nothing(value: str) -> None:
    assert spellings([value]) == frozenset()


@pytest.mark.parametrize("before", ["", "a", "ab", "abc"])
@pytest.mark.parametrize("after", ["", "\n", ":x", "xyz"])
def test_a_secret_within_a_text_in_base64_is_masked(before: str, after: str) -> None:
    coded = b64encode(f"{before}correct horse battery{after}".encode()).decode()
    masked = without_secrets(coded, spellings(["correct horse battery"]))
    assert len(masked.replace("***", "")) <= len(b64encode((before + after).encode())) + 6
