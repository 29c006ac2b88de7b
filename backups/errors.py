"""What a backup, a drill or a restore may end with instead of a result."""

from __future__ import annotations

from services.errors import Conflict, ServiceError


class BackupFailed(ServiceError):
    """It ended without a result and left nothing half done. The text says what failed and what to do: no address, no
    secret, nothing of a patient's."""


class NotRestorable(BackupFailed):
    """What lies in the store is not what was backed up. Anything else that goes wrong with a drill, such as a key that
    is not here or a server without room, says nothing about the backup."""


class Shrunken(ServiceError):
    """The newest backup holds far less than one before it: whoever restores has to say which one they mean."""


class Untrusted(ServiceError):
    """Something newer than the newest backup that can be trusted lies in the store, damaged or changed: whoever
    restores has to say which one they mean."""


class Busy(Conflict):
    """Another process makes a backup, drills one or restores."""
