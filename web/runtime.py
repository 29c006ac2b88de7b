"""What one web process has at hand: settings, databases, cipher, quotas. Made once by ``make_app``."""

from __future__ import annotations

from dataclasses import dataclass

from flask import current_app

from config import Principal, Settings
from integrations.redis_store import RedisStore
from integrations.wakeup import RedisWakeup, Wakeup
from models.engine import Databases
from observability.pool_metrics import PoolMetrics
from services.change_token import ClinicState
from services.field_encryption import FieldCipher, field_cipher
from services.quota import Quotas
from services.quota_log import QuotaLog

EXTENSION = "sigilo"

# The principals a web process acts as. It holds no other connection: not the worker's, not the migrator's.
WEB_PRINCIPALS = (Principal.STAFF, Principal.PATIENT, Principal.ANONYMOUS, Principal.AUDITOR)


@dataclass(frozen=True, slots=True)
class Runtime:
    settings: Settings
    databases: Databases
    cipher: FieldCipher
    store: RedisStore
    quotas: Quotas
    quota_log: QuotaLog
    wakeup: Wakeup
    clinic_state: ClinicState

    @classmethod
    def start(cls, settings: Settings, databases: Databases | None = None) -> Runtime:
        """Nothing connects yet: a process may be forked afterwards."""
        if databases is None:
            urls = {principal.value: settings.url_for(principal) for principal in WEB_PRINCIPALS}
            databases = Databases(
                urls, pool_size=settings.database_pool_size, anew=lambda name: settings.url_anew(Principal(name)),
                watch=PoolMetrics,
            )  # fmt: skip
        store = RedisStore(settings.redis_url.get_secret_value())
        return cls(
            settings=settings,
            databases=databases,
            cipher=field_cipher(settings),
            store=store,
            quotas=Quotas(store, processes=settings.web_workers),
            quota_log=QuotaLog(databases),
            wakeup=RedisWakeup(settings.redis_url.get_secret_value()),
            clinic_state=ClinicState(databases),
        )

    def close(self) -> None:
        """End threads and connections to Redis: for tests, which make several applications in a process."""
        self.wakeup.close()
        self.store.close()


def runtime() -> Runtime:
    """The runtime of the application that serves this request."""
    found: Runtime = current_app.extensions[EXTENSION]
    return found
