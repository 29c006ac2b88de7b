from tests.observability.alert_cases import Case, Series

PLACE = {"job": "redis", "instance": "redis-exporter:9121"}
EXPORTER = 'job="redis",instance="redis-exporter:9121"'
DEGRADED = "sigilo_quota_degraded"
CACHELESS = "sigilo_cache_degraded"


def of_redis(name: str, values: str) -> Series:
    return {f"redis_{name}{{{EXPORTER}}}": values}


def memory(used: int, limit: int) -> Series:
    return of_redis("memory_used_bytes", f"{used}x90") | of_redis("memory_max_bytes", f"{limit}x90")


CASES = {
    "RedisDown": Case(
        fires=of_redis("up", "1x2 0x90"),
        since=3,
        labels=PLACE,
        quiet=(of_redis("up", "1x2 0 1x90"),),
    ),
    "QuotaDegraded": Case(
        fires={f'{DEGRADED}{{instance="a"}}': "0x2 1x90", f'{DEGRADED}{{instance="b"}}': "0x90"},
        since=3,
        quiet=({f'{DEGRADED}{{instance="a"}}': "0x2 1 0x90"},),
    ),
    "CacheAway": Case(
        fires={f'{CACHELESS}{{instance="a"}}': "0x2 1x90", f'{CACHELESS}{{instance="b"}}': "0x90"},
        since=3,
        quiet=({f'{CACHELESS}{{instance="a"}}': "0x2 1x9 0x90"},),
    ),
    "RedisMemoryHigh": Case(
        fires=memory(81, 100),
        since=0,
        labels=PLACE,
        # A limit of 0 is none.
        quiet=(memory(80, 100), memory(81, 0)),
    ),
    "RedisRejectsConnections": Case(
        fires=of_redis("rejected_connections_total", "4x9 5+1x90"),
        since=10,
        labels=PLACE,
        quiet=(of_redis("rejected_connections_total", "4x90"),),
    ),
    "RedisAofFailing": Case(
        fires=of_redis("aof_last_write_status", "1x2 0x90") | of_redis("aof_last_bgrewrite_status", "1x90"),
        since=3,
        labels=PLACE,
        quiet=(of_redis("aof_last_write_status", "1x90") | of_redis("aof_last_bgrewrite_status", "1x2 0 1x90"),),
    ),
}
