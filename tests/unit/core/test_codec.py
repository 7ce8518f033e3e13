"""The codec: what it hides, what it refuses, and how keys change."""

import base64
import os
from pathlib import Path

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.api.failure.v1 import Failure
from temporalio.exceptions import ApplicationError

from goosejobs.clients import codec
from goosejobs.clients.codec import Codec, Key, Keyring, MissingKey, Undecodable, UnusableKeys
from goosejobs.settings import InvalidSettings, Settings

SECRET = "the recipe's own words"


def new_key() -> str:
    return base64.b64encode(os.urandom(codec.KEY_BYTES)).decode()


def keyring(*keys: str) -> Keyring:
    return Keyring.parse("\n".join(keys))


@pytest.fixture(scope="module")
def key() -> str:
    return new_key()


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("GOOSEJOBS_")]:
        monkeypatch.delenv(name)


def payload(text: str = SECRET) -> Payload:
    return Payload(metadata={"encoding": b"json/plain", "messageType": b"secret.Type"}, data=text.encode())


@pytest.mark.parametrize("text", ["", "x", SECRET, "x" * 200_000])
async def test_what_is_encrypted_comes_back_as_it_was_and_shows_nothing(key: str, text: str) -> None:
    one = Codec(keyring(key))
    (sealed,) = await one.encode([payload(text)])
    for word in (b"recipe", b"json/plain", b"secret.Type", base64.b64decode(key)):
        assert word not in sealed.SerializeToString()
    assert await one.decode([sealed]) == [payload(text)]


async def test_the_same_payload_is_never_encrypted_to_the_same_bytes(key: str) -> None:
    one = Codec(keyring(key))
    sealed = await one.encode([payload()] * 20)
    assert len({each.data for each in sealed}) == 20


async def test_without_a_key_everything_is_passed_on() -> None:
    none = Codec(Keyring())
    assert await none.encode([payload()]) == [payload()]
    assert await none.decode([payload()]) == [payload()]


async def test_what_was_written_before_there_was_a_key_is_read_and_not_current(key: str) -> None:
    one = Codec(keyring(key))
    assert await one.decode([payload()]) == [payload()]
    assert not one.is_current(payload())


async def test_the_first_key_encrypts_and_all_decrypt(key: str) -> None:
    old, both = Codec(keyring(key)), Codec(keyring(new_key(), key))
    (before,), (after,) = await old.encode([payload()]), await both.encode([payload()])
    assert await both.decode([before, after]) == [payload(), payload()]
    assert (both.is_current(before), both.is_current(after), old.is_current(before)) == (False, True, True)
    with pytest.raises(MissingKey):
        await old.decode([after])


@pytest.mark.parametrize("keys", [0, 1])
async def test_a_missing_key_is_named_and_the_variable_that_takes_it(key: str, keys: int) -> None:
    (sealed,) = await Codec(keyring(key)).encode([payload()])
    others = keyring(*(new_key() for _ in range(keys))) if keys else Keyring()
    with pytest.raises(MissingKey) as raised:
        await Codec(others).decode([sealed])
    said = str(raised.value)
    assert keyring(key).ids in said
    assert f"there is: {others.ids}" in said
    assert "GOOSEJOBS_CODEC_KEY_FILE" in said
    assert not Codec(others).is_current(sealed)


@pytest.mark.parametrize("place", [0, 11, 12, -1])
async def test_a_changed_byte_is_noticed(key: str, place: int) -> None:
    one = Codec(keyring(key))
    (sealed,) = await one.encode([payload()])
    data = bytearray(sealed.data)
    data[place] ^= 1
    changed = Payload(metadata=sealed.metadata, data=bytes(data))
    with pytest.raises(Undecodable, match="changed since"):
        await one.decode([changed])


@pytest.mark.parametrize("length", [0, 5, 12, 20])
async def test_what_is_cut_off_is_noticed(key: str, length: int) -> None:
    one = Codec(keyring(key))
    (sealed,) = await one.encode([payload()])
    with pytest.raises(Undecodable, match="changed since"):
        await one.decode([Payload(metadata=sealed.metadata, data=sealed.data[:length])])


async def test_a_key_id_that_was_exchanged_is_noticed_though_the_key_is_the_same() -> None:
    secret = os.urandom(codec.KEY_BYTES)
    one = Codec(Keyring((Key(secret, "one"), Key(secret, "two"))))
    (sealed,) = await one.encode([payload()])
    sealed.metadata[codec.KEY_ID] = b"two"
    with pytest.raises(Undecodable, match="changed since"):
        await one.decode([sealed])


async def test_messages_traces_and_details_of_failures_are_encrypted(key: str) -> None:
    converter = codec.data_converter(keyring(key))
    failure = Failure()
    try:
        try:
            raise ValueError(f"inner {SECRET}")
        except ValueError as inner:
            raise ApplicationError(SECRET, {"detail": SECRET}, type="GooseFailed") from inner
    except ApplicationError as error:
        await converter.encode_failure(error, failure)
    raw = failure.SerializeToString()
    assert b"recipe" not in raw
    assert b"test_codec" not in raw
    back = await converter.decode_failure(failure)
    assert isinstance(back, ApplicationError)
    assert (back.message, back.details, back.type) == (SECRET, ({"detail": SECRET},), "GooseFailed")
    assert SECRET in str(back.__cause__)


async def test_without_a_key_failures_stay_readable_for_people() -> None:
    failure = Failure()
    await codec.data_converter(Keyring()).encode_failure(ApplicationError(SECRET), failure)
    assert failure.message == SECRET


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "there is no key"),
        ("\n \n", "there is no key"),
        ("not-base64!", "key 1 is not base64"),
        ("c2hvcnQ=", "key 1 has 5 bytes instead of 32"),
        (f"{'QUFB' * 11}", "key 1 has 33 bytes instead of 32"),
        (base64.b64encode(bytes(32)).decode(), "key 1 is one byte, 32 times"),
    ],
)
def test_what_is_no_key_is_told_and_not_quoted(text: str, says: str) -> None:
    with pytest.raises(UnusableKeys) as raised:
        Keyring.parse(text)
    said = str(raised.value)
    assert says in said
    assert "openssl rand -base64 32" in said
    assert not text.strip() or text.strip() not in said


def test_the_second_key_is_looked_at_too(key: str) -> None:
    with pytest.raises(UnusableKeys, match="key 2 has 5 bytes"):
        keyring(key, "c2hvcnQ=")
    with pytest.raises(UnusableKeys, match="the same key stands there twice"):
        keyring(key, new_key(), key)


def test_neither_a_keyring_nor_settings_show_a_key(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOSEJOBS_CODEC_KEY", key)
    settings = Settings.load()
    shown = f"{settings!r} {settings} {settings.keyring!r} {Codec(settings.keyring)!r}"
    assert settings.keyring.ids in shown
    assert key not in shown
    assert repr(base64.b64decode(key))[2:-1] not in shown


def test_keys_come_from_a_file_one_a_line(key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other, file = new_key(), tmp_path / "keys"
    file.write_text(f"{key}\n{other}\n")
    monkeypatch.setenv("GOOSEJOBS_CODEC_KEY_FILE", str(file))
    assert Settings.load().keyring == keyring(key, other)


def test_keys_come_from_the_variable_separated_by_commas(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    other = new_key()
    monkeypatch.setenv("GOOSEJOBS_CODEC_KEY", f"{key}, {other}")
    assert Settings.load().keyring == keyring(key, other)


def test_without_a_setting_there_is_no_key() -> None:
    assert Settings.load().keyring == Keyring()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "No such file"),
        (b"", "there is no key"),
        (b"\xff\xfe\x00", "holds no keys in base64"),
        (b"c2VjcmV0", "key 1 has 6 bytes"),
    ],
)
def test_a_file_that_is_no_good_is_named_with_its_variable(
    content: bytes | None, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "keys"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setenv("GOOSEJOBS_CODEC_KEY_FILE", str(file))
    with pytest.raises(InvalidSettings) as raised:
        Settings.load()
    said = str(raised.value)
    assert said.startswith("GOOSEJOBS_CODEC_KEY_FILE: ")
    assert "\n" not in said
    assert str(file) in said
    assert says in said
    assert "c2VjcmV0" not in said


def test_a_bad_variable_is_not_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOSEJOBS_CODEC_KEY", "bXktcGFzc3dvcmQ=")
    with pytest.raises(InvalidSettings, match=r"^GOOSEJOBS_CODEC_KEY: key 1 has 11 bytes") as raised:
        Settings.load()
    assert "bXktc" not in str(raised.value)


def test_file_and_variable_together_are_refused(
    key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "keys").write_text(key)
    monkeypatch.setenv("GOOSEJOBS_CODEC_KEY_FILE", str(tmp_path / "keys"))
    monkeypatch.setenv("GOOSEJOBS_CODEC_KEY", new_key())
    with pytest.raises(InvalidSettings, match="GOOSEJOBS_CODEC_KEY: set either this or"):
        Settings.load()
