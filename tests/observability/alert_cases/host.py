from tests.observability.alert_cases import Case, Series

NODE = {"job": "node", "instance": "node-exporter:9100"}
HOST = 'job="node",instance="node-exporter:9100"'
DISK = {**NODE, "device": "/dev/sda1", "fstype": "ext4", "mountpoint": "/"}
CLINIC = {"job": "blackbox", "probe": "readyz", "instance": "https://clinic/readyz"}
CERTIFICATE = 'probe_ssl_earliest_cert_expiry{job="blackbox",probe="readyz",instance="https://clinic/readyz"}'
HOURLY = CERTIFICATE.replace("}", ',renewed="hourly"}')


def disk(available: str, *, fstype: str = "ext4", readonly: int = 0) -> Series:
    """A filesystem of 1,000 bytes."""
    labels = f'{{{HOST},device="/dev/sda1",fstype="{fstype}",mountpoint="/"}}'
    return {
        f"node_filesystem_avail_bytes{labels}": available,
        f"node_filesystem_size_bytes{labels}": "1000x2000",
        f"node_filesystem_readonly{labels}": f"{readonly}x2000",
    }


def memory(available: str) -> Series:
    return {
        f"node_memory_MemAvailable_bytes{{{HOST}}}": available,
        f"node_memory_MemTotal_bytes{{{HOST}}}": "1000x2000",
    }


def container(used: str, limit: str, name: str = "worker") -> Series:
    labels = f'{{job="cadvisor",instance="cadvisor:8080",name="{name}"}}'
    return {
        f"container_memory_working_set_bytes{labels}": used,
        f"container_spec_memory_limit_bytes{labels}": limit,
    }


def clock(offset: str, synchronised: str) -> Series:
    return {f"node_timex_offset_seconds{{{HOST}}}": offset, f"node_timex_sync_status{{{HOST}}}": synchronised}


KILLS = f"node_vmstat_oom_kill{{{HOST}}}"

CASES = {
    # A byte every five minutes is 288 a day.
    "DiskFullSoon": Case(
        fires=disk("395-1x200"),
        since=540,
        step=5,
        labels=DISK,
        quiet=(
            disk("390-0.1x200"),
            # Half of it is left: an import may write for a while.
            disk("700-3x60 520x200"),
            disk("395-1x200", fstype="tmpfs"),
            disk("395-1x200", readonly=1),
        ),
    ),
    "DiskAlmostFull": Case(
        fires=disk("500x2 99x90"),
        since=3,
        labels=DISK,
        quiet=(disk("101x90"), disk("0x90", fstype="squashfs"), disk("0x90", readonly=1)),
    ),
    "MemoryLow": Case(
        fires=memory("500x2 99x90"),
        since=3,
        labels=NODE,
        quiet=(memory("101x90"), memory("50x8 500x90")),
    ),
    "OutOfMemoryKill": Case(
        fires={KILLS: "2x9 3x90"},
        since=10,
        labels=NODE,
        quiet=({KILLS: "2x90"},),
    ),
    "ContainerNearMemoryLimit": Case(
        fires=container("500x2 910x90", "1000x90"),
        since=3,
        labels={"job": "cadvisor", "instance": "cadvisor:8080", "name": "worker"},
        # A limit of 0 is none.
        quiet=(
            container("900x90", "1000x90"),
            container("910x90", "0x90"),
            # The machine itself and its services, as cAdvisor sees them too.
            container("910x90", "1000x90", name=""),
        ),
    ),
    "ClockWrong": Case(
        fires=clock("0x2 -0.6x90", "1x90"),
        since=3,
        labels=NODE,
        quiet=(clock("0.4x90", "1x90"), clock("0x90", "1x2 0x10 1x90")),
    ),
    # Until 21 days are left: the certificate of these ends on day 21 of 1970, or later. Where it is made anew every few
    # hours, until two hours are.
    "CertificateExpiresSoon": Case(
        fires={CERTIFICATE: f"{21 * 86400}x90"},
        since=1,
        labels=CLINIC,
        quiet=({CERTIFICATE: f"{22 * 86400}x90"}, {HOURLY: f"{6 * 3600}x90"}),
    ),
    "CertificateExpiresNow": Case(
        fires={CERTIFICATE: f"{5 * 86400}x90"},
        since=1,
        labels=CLINIC,
        quiet=({CERTIFICATE: f"{6 * 86400}x90"}, {HOURLY: f"{6 * 3600}x90"}),
        also=(Case(fires={HOURLY: f"{2 * 3600}x90"}, since=0, labels={**CLINIC, "renewed": "hourly"}, quiet=()),),
    ),
}
