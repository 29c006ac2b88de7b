"""What one web process has at hand: settings, databases, cipher, cache, quotas. Made once by ``make_app``."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

from flask import current_app

from config import Principal, Settings
from integrations.cache import Cache, make_cache
from integrations.redis_store import RedisStore
from integrations.wakeup import RedisWakeup, Wakeup
from models.engine import Databases
from observability.pool_metrics import PoolMetrics
from services.change_token import ClinicState
from services.field_encryption import FieldCipher, field_cipher
from services.quota import Quotas
from services.quota_log import QuotaLog
from services.remembered_caller import RememberedCallers
from web.proxies import real

EXTENSION = "sigilo"

# The principals a web process acts as. It holds no other connection: not the worker's, not the migrator's.
WEB_PRINCIPALS = (Principal.STAFF, Principal.PATIENT, Principal.ANONYMOUS, Principal.AUDITOR)


@dataclass(frozen=True, slots=True)
class Runtime:
    settings: Settings
    databases: Databases
    cipher: FieldCipher
    store: RedisStore
    cache: Cache
    tag_key: bytes
    callers: RememberedCallers
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
        cache = make_cache(settings.cache_address, settings.secret_key.get_secret_value())
        return cls(
            settings=settings,
            databases=databases,
            cipher=field_cipher(settings),
            store=store,
            cache=cache,
            tag_key=hmac.digest(settings.secret_key.get_secret_value().encode(), b"sigilo entity tags", hashlib.sha256),
            callers=RememberedCallers(databases, cache),
            quotas=Quotas(store, processes=settings.web_workers),
            quota_log=QuotaLog(databases),
            wakeup=RedisWakeup(settings.redis_url.get_secret_value()),
            clinic_state=ClinicState(databases),
        )

    def close(self) -> None:
        """End threads and connections to Redis: for tests, which make several applications in a process."""
        self.wakeup.close()
        self.store.close()
        self.cache.close()


def runtime() -> Runtime:
    """The runtime of the application that serves this request."""
    found: Runtime = real(current_app).extensions[EXTENSION]
    return found
