"""Encrypts what Temporal keeps: recipes, parameters, results, messages of failures. AES-256-GCM.

A payload is encrypted as a whole, its own metadata included; beside the ciphertext stands the id of the key,
bound to it as additional data. What is not encrypted is passed on: it was written before there was a key.
"""

import base64
import binascii
import dataclasses
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from temporalio.api.common.v1 import Payload
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import DataConverter, DefaultFailureConverterWithEncodedAttributes, PayloadCodec

KEY_BYTES: Final = 32
"""AES-256."""
ENCODING: Final = b"binary/encrypted"
"""The value of a payload's metadata `encoding`, as in Temporal's own examples."""
KEY_ID: Final = "encryption-key-id"

_FORMAT: Final = b"goosejobs payload 1"
_NONCE_BYTES: Final = 12
_MAX_FILE_BYTES: Final = 64 * 1024
_MAKE_ONE: Final = "make one with: openssl rand -base64 32"


class UnusableKeys(ValueError):
    """The keys cannot be used; str() is one sentence that quotes nothing of them."""


class Undecodable(Exception):
    """A payload is encrypted, and is not as it was written; str() is one sentence."""


class MissingKey(Undecodable):
    """A payload is encrypted with a key that is not here; str() says what to do."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key, and the name that it has in public.

    Attributes:
        secret: 32 bytes.
        id: Of the key itself, so that it needs no care and two sides cannot call one key by two names.
    """

    secret: bytes = field(repr=False)
    id: str


@dataclass(frozen=True, slots=True)
class Keyring:
    """The keys of this process.

    Attributes:
        keys: The first one encrypts, all decrypt. Without one nothing is encrypted.
    """

    keys: tuple[Key, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read keys in base64, separated by white space or commas.

        Raises:
            UnusableKeys: One of them is none; there is none; one stands there twice.
        """
        words = text.replace(",", " ").split()
        if not words:
            raise UnusableKeys(f"there is no key: {_MAKE_ONE}")
        keys = tuple(_key(word, number) for number, word in enumerate(words, 1))
        if len({key.id for key in keys}) < len(keys):
            raise UnusableKeys("the same key stands there twice: remove one")
        return cls(keys)

    @classmethod
    def read(cls, file: Path) -> Self:
        """Read them from a file, such as a mounted Secret.

        Raises:
            UnusableKeys: It cannot be read, or see `parse`.
        """
        try:
            with file.open("rb") as opened:
                text = opened.read(_MAX_FILE_BYTES).decode("ascii")
        except OSError as error:
            raise UnusableKeys(f"cannot read {file}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise UnusableKeys(f"{file} holds no keys in base64: {_MAKE_ONE}") from None
        try:
            return cls.parse(text)
        except UnusableKeys as error:
            raise UnusableKeys(f"{file}: {error}") from None

    @property
    def ids(self) -> str:
        """The keys' public names, for a message."""
        return ", ".join(key.id for key in self.keys) or "none"


def _key(word: str, number: int) -> Key:
    try:
        secret = base64.b64decode(word, validate=True)
    except (binascii.Error, ValueError):
        raise UnusableKeys(f"key {number} is not base64: {_MAKE_ONE}") from None
    if len(secret) != KEY_BYTES:
        raise UnusableKeys(f"key {number} has {len(secret)} bytes instead of {KEY_BYTES}: {_MAKE_ONE}")
    if len(set(secret)) == 1:
        raise UnusableKeys(f"key {number} is one byte, {KEY_BYTES} times: {_MAKE_ONE}")
    return Key(secret, hashlib.sha256(_FORMAT + b" key id" + secret).hexdigest()[:8])


class Codec(PayloadCodec):
    """Encrypts each payload on its way to Temporal, and decrypts it on its way back.

    Args:
        keyring: Without a key it encrypts nothing, and says so of what is encrypted.
    """

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring
        self._ciphers = {key.id: AESGCM(key.secret) for key in keyring.keys}

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Encrypt with the first key."""
        if not self._keyring.keys:
            return list(payloads)
        return [self._encrypt(payload) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Decrypt what we encrypted.

        Raises:
            MissingKey: The key is not here.
            Undecodable: The payload is not as it was written.
        """
        return [self._decrypt(payload) if is_encrypted(payload) else payload for payload in payloads]

    def is_current(self, payload: Payload) -> bool:
        """Whether it stands in Temporal as it would be written today; else it should be written anew."""
        if not self._keyring.keys:
            return not is_encrypted(payload)
        first = self._keyring.keys[0]
        return is_encrypted(payload) and payload.metadata.get(KEY_ID) == first.id.encode()

    def _encrypt(self, payload: Payload) -> Payload:
        id_ = self._keyring.keys[0].id
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._ciphers[id_].encrypt(nonce, payload.SerializeToString(), _bound(id_))
        return Payload(metadata={"encoding": ENCODING, KEY_ID: id_.encode()}, data=nonce + sealed)

    def _decrypt(self, payload: Payload) -> Payload:
        id_ = payload.metadata.get(KEY_ID, b"").decode("ascii", "replace")
        cipher = self._ciphers.get(id_)
        if cipher is None:
            raise MissingKey(
                f"it is encrypted with key {id_[:64]!r}, which is not here (there is: {self._keyring.ids}): "
                "add that key to GOOSEJOBS_CODEC_KEY_FILE, as a further one"
            )
        nonce, sealed = payload.data[:_NONCE_BYTES], payload.data[_NONCE_BYTES:]
        try:
            return Payload.FromString(cipher.decrypt(nonce, sealed, _bound(id_)))
        except (InvalidTag, ValueError):
            raise Undecodable(f"it was encrypted with key {id_}, and has been changed since") from None


def is_encrypted(payload: Payload) -> bool:
    """Whether a payload says so of itself."""
    return payload.metadata.get("encoding") == ENCODING


def data_converter(keyring: Keyring) -> DataConverter:
    """What all our clients convert with; messages and traces of failures are encrypted like payloads."""
    converter = dataclasses.replace(pydantic_data_converter, payload_codec=Codec(keyring))
    if not keyring.keys:
        return converter
    return dataclasses.replace(
        converter, failure_converter_class=DefaultFailureConverterWithEncodedAttributes
    )


def _bound(id_: str) -> bytes:
    """What cannot be changed beside the ciphertext."""
    return b"\0".join((_FORMAT, id_.encode()))
