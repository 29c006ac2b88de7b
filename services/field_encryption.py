"""CPF, CNS and passport at rest: AES-256-GCM bound to their row, and a keyed index to find equal ones.

Ciphertext layout: one byte key number, 12 bytes nonce, ciphertext with its 16-byte tag (NIST SP 800-38D).
The row's id is associated data, so a ciphertext copied to another row does not open. The index is
HMAC-SHA-256 with a key of its own: equal numbers have equal indexes, and nobody without the key can test
a guess (a CPF has only 10⁹ possible values).
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

from config import Settings, decode_key

NONCE_BYTES = 12


class FieldCipher:
    """Encrypts and indexes identifiers. Holds the current key and, during a rotation, the previous one."""

    def __init__(self, key: bytes, previous: bytes | None = None) -> None:
        if len(key) != 32 or (previous is not None and len(previous) != 32):
            raise ValueError("a field key is 32 bytes")
        self._ciphers = {
            _key_number(k): AESGCM(_derive(k, b"sigilo field encryption")) for k in _present(key, previous)
        }
        self._current = _key_number(key)
        self._index_keys = [_derive(k, b"sigilo blind index") for k in _present(key, previous)]
        self._digest_key = _derive(key, b"sigilo audit digests")

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
        """The index under the current key, and under the previous one while a rotation lasts."""
        message = f"{kind}:{value}".encode()
        return [hmac.digest(key, message, hashlib.sha256) for key in self._index_keys]


def _present(key: bytes, previous: bytes | None) -> list[bytes]:
    return [key] if previous is None else [key, previous]


def _key_number(key: bytes) -> int:
    """One byte that tells keys apart, so that a ciphertext says which key it needs."""
    return hashlib.sha256(b"sigilo key number" + key).digest()[0]


def _derive(key: bytes, purpose: bytes) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=purpose).derive(key)


@lru_cache(maxsize=4)
def _cipher(key: str, previous: str) -> FieldCipher:
    return FieldCipher(decode_key(key), decode_key(previous) if previous else None)


def field_cipher(settings: Settings) -> FieldCipher:
    """The cipher of this installation's FIELD_KEY (and FIELD_KEY_PREVIOUS)."""
    return _cipher(settings.field_key.get_secret_value(), settings.field_key_previous.get_secret_value())
