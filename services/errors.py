"""What a service may answer instead of a result. The web layer turns each into one status and problem."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class ServiceError(Exception):
    """An act that was refused and changed nothing. ``detail`` says why and what to do; it echoes no input.

    ``keeps_record``: what the transaction holds is the record of the refusal, so it is committed all the same.
    """

    keeps_record = False

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


@dataclass(frozen=True)
class FieldError:
    """One field that is wrong: an RFC 6901 JSON pointer into the body, and what it should be."""

    pointer: str
    message: str


class Invalid(ServiceError):
    """The input is well-formed but wrong; ``errors`` says where."""

    def __init__(self, detail: str, errors: Sequence[FieldError] = ()) -> None:
        super().__init__(detail)
        self.errors = tuple(errors)

    @classmethod
    def at(cls, pointer: str, message: str) -> Invalid:
        return cls("The request has a field that can't be accepted.", [FieldError(pointer, message)])


class Unauthenticated(ServiceError):
    """Nobody is signed in, or the credentials are wrong or no longer valid."""


class CallerChanged(ServiceError):
    """The caller is not, or not any more, what they were remembered as; nothing was done. Find out anew who calls."""


class Forbidden(ServiceError):
    """The caller may know that it exists, but may not do this. ``pointers`` name fields it may not write."""

    def __init__(self, detail: str, pointers: Sequence[str] = ()) -> None:
        super().__init__(detail)
        self.pointers = tuple(pointers)


class StepUpRequired(Forbidden):
    """The act asks for the password again."""


class NotFound(ServiceError):
    """It does not exist, or its existence is itself confidential to the caller."""


class Gone(ServiceError):
    """It was inactivated, and the caller may know that."""


class Conflict(ServiceError):
    """It contradicts the present state, such as a CPF that another patient has."""


class DuplicateIdentifier(Conflict):
    """Another patient has this CPF or CNS; whose it is, is not said."""


class StaleVersion(Conflict):
    """Somebody changed it since the caller read it."""

    def __init__(self, current_version: int, conflicting_fields: Sequence[str]) -> None:
        super().__init__("This was changed after you read it. Read it again, merge, and send the current version.")
        self.current_version = current_version
        self.conflicting_fields = tuple(conflicting_fields)


class PreconditionRequired(ServiceError):
    """The caller must say which version it changes."""


class QuotaExceeded(ServiceError):
    """Too many requests; ``retry_after`` seconds from now one will pass."""

    def __init__(self, detail: str, retry_after: int) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class Unavailable(ServiceError):
    """A part that this act needs is down; nothing was changed or shown."""
