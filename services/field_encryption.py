"""CPF, CNS and passport at rest: AES-256-GCM bound to their row, and a keyed index to find equal ones.

Ciphertext layout: one byte key number, 12 bytes nonce, ciphertext with its 16-byte tag (NIST SP 800-38D).
The row's id is associated data, so a ciphertext copied to another row does not open. The index is
HMAC-SHA-256 with a key of its own: equal numbers have equal indexes, and nobody without the key can test
a guess (a CPF has only 10⁹ possible values).

While keys change there are several: one seals, all open and find (docs/secrets.md). ``sigilo keys reencrypt`` moves
what lies under the others to the one that seals.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import uuid
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from config import Settings, decode_key, key_number

NONCE_BYTES = 12


class FieldCipher:
    """Encrypts and indexes identifiers under ``key``; opens and finds what lies under the ``former`` ones too."""

    def __init__(self, key: bytes, *former: bytes) -> None:
        """Raises ValueError for a key that is not 32 bytes, and for two that a ciphertext could not tell apart."""
        keys = (key, *former)
        if any(len(each) != 32 for each in keys):
            raise ValueError("a field key is 32 bytes")
        self._ciphers = {key_number(each): AESGCM(_derive(each, b"sigilo field encryption")) for each in keys}
        if len(self._ciphers) != len(keys):
            raise ValueError("two field keys have the same number")
        self._current = key_number(key)
        self._index_keys = [_derive(each, b"sigilo blind index") for each in keys]
        self._digest_key = _derive(key, b"sigilo audit digests")

    @property
    def current(self) -> int:
        """Number of the key that seals."""
        return self._current

    @property
    def numbers(self) -> frozenset[int]:
        """Numbers of all keys that open."""
        return frozenset(self._ciphers)

    @property
    def digest_key(self) -> bytes:
        """Key of the audit digests of things that are no patient's (users, roles, settings)."""
        return self._digest_key

    def encrypt(self, value: str, row_id: uuid.UUID) -> bytes:
        return self.encrypt_bytes(value.encode(), row_id)

    def decrypt(self, sealed: bytes, row_id: uuid.UUID) -> str:
        """Raises ValueError when the key is unknown, or the bytes were changed or belong to another row."""
        return self.decrypt_bytes(sealed, row_id).decode()

    def encrypt_bytes(self, value: bytes, row_id: uuid.UUID) -> bytes:
        nonce = os.urandom(NONCE_BYTES)
        return (
            bytes([self._current]) + nonce + self._ciphers[self._current].encrypt(nonce, value, row_id.bytes)
        )

    def decrypt_bytes(self, sealed: bytes, row_id: uuid.UUID) -> bytes:
        cipher = self._ciphers.get(sealed[0]) if sealed else None
        if cipher is None:
            raise ValueError("this field was encrypted with a key that is not configured")
        try:
            return cipher.decrypt(sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES :], row_id.bytes)
        except InvalidTag as error:
            raise ValueError("this field does not belong to its row, or was changed") from error

    def blind_index(self, kind: str, value: str) -> bytes:
        """32 bytes, equal for equal ``value`` of the same ``kind`` (cpf, cns, passport)."""
        return self.blind_indexes(kind, value)[0]

    def blind_indexes(self, kind: str, value: str) -> list[bytes]:
        """The index under the current key first, and under each former one while a rotation lasts."""
        message = f"{kind}:{value}".encode()
        return [hmac.digest(key, message, hashlib.sha256) for key in self._index_keys]


def _derive(key: bytes, purpose: bytes) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=purpose).derive(key)


@lru_cache(maxsize=4)
def _cipher(key: str, *former: str) -> FieldCipher:
    return FieldCipher(decode_key(key), *map(decode_key, former))


def field_cipher(settings: Settings) -> FieldCipher:
    """The cipher of this installation's FIELD_KEY (and FIELD_KEY_PREVIOUS)."""
    return _cipher(settings.field_key.get_secret_value(), *settings.former_field_keys)
