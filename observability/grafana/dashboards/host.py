"""The machines that Sigilo runs on, and the containers on them."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from observability.grafana.page import choice, page
from observability.grafana.panels import Query, Words, above, bars, figure, trend
from observability.grafana.runbooks import Runbook

OVER = "$__rate_interval"
NODE = 'job="node", instance=~"$instance"'
# What holds data: not what lies in memory, nor a container's layers.
DISK = f'{NODE}, fstype!~"tmpfs|ramfs|overlay|squashfs|iso9660"'
LINK = f'{NODE}, device!~"lo|veth.*|br-.*|docker.*"'
CONTAINER = 'job="cadvisor", name!=""'

STANDING = (
    figure(
        "Processors busy",
        Query(f'1 - avg(rate(node_cpu_seconds_total{{{NODE}, mode="idle"}}[{OVER}]))'),
        words=Words(
            "Share of all processors' time that was used.",
            "Below 70 % in the clinic's hours; a backup or the model takes more for minutes.",
            Runbook.HOST,
        ),
        unit="percentunit",
        levels=above(0.7, 0.9),
    ),
    figure(
        "Memory taken",
        Query(f"max(1 - node_memory_MemAvailable_bytes{{{NODE}}} / node_memory_MemTotal_bytes{{{NODE}}})"),
        words=Words(
            "Share of memory that nothing more could be given from.",
            "Below 80 %. At the end the kernel kills what is largest: the model, or PostgreSQL.",
            Runbook.HOST,
        ),
        unit="percentunit",
        levels=above(0.8, 0.95),
    ),
    figure(
        "Fullest disk",
        Query(f"max(1 - node_filesystem_avail_bytes{{{DISK}}} / node_filesystem_size_bytes{{{DISK}}})"),
        words=Words(
            "Share of the fullest file system that is taken.",
            "Below 80 %. PostgreSQL stops when its disk is full.",
            Runbook.HOST,
        ),
        unit="percentunit",
        levels=above(0.8, 0.9),
    ),
    figure(
        "Load a processor",
        Query(
            f"max(node_load5{{{NODE}}}"
            f' / on(instance) count by (instance) (node_cpu_seconds_total{{{NODE}, mode="idle"}}))'
        ),
        words=Words(
            "Processes that run or wait for a processor or disk, for each processor, over five minutes.",
            "Below 1.",
            Runbook.HOST,
        ),
        levels=above(1, 2),
        decimals=2,
    ),
    figure(
        "Open files",
        Query(f"max(node_filefd_allocated{{{NODE}}} / node_filefd_maximum{{{NODE}}})"),
        words=Words("Share of the files that the kernel allows to be open.", "A few per cent.", Runbook.HOST),
        unit="percentunit",
        levels=above(0.7, 0.9),
        decimals=1,
    ),
    figure(
        "Since the last start",
        Query(f"min(time() - node_boot_time_seconds{{{NODE}}})"),
        words=Words(
            "Since the machine was last started.",
            "Days. Minutes without anybody having restarted it: it crashed.",
            Runbook.HOST,
        ),
        unit="s",
    ),
)
OVER_TIME = (
    trend(
        "Processors",
        Query(
            f'sum by (mode) (rate(node_cpu_seconds_total{{{NODE}, mode!="idle"}}[{OVER}]))'
            f' / on() group_left() count(node_cpu_seconds_total{{{NODE}, mode="idle"}})',
            "{{mode}}",
        ),
        words=Words(
            "What processors do, as shares of all of them.",
            "user leads. Much iowait: the disk is slower than the database; steal: the host of a virtual machine is"
            " full.",
            Runbook.HOST,
        ),
        unit="percentunit",
        stacked=True,
        highest=1,
    ),
    trend(
        "Memory",
        Query(f"sum(node_memory_MemTotal_bytes{{{NODE}}}) - sum(node_memory_MemAvailable_bytes{{{NODE}}})", "taken"),
        Query(f"sum(node_memory_MemTotal_bytes{{{NODE}}})", "all"),
        words=Words(
            "Memory that nothing more could be given from, and all there is.",
            "Steady. A line that only climbs is a leak.",
            Runbook.HOST,
        ),
        unit="bytes",
    ),
    bars(
        "Disks",
        Query(
            f"max by (mountpoint) (1 - node_filesystem_avail_bytes{{{DISK}}} / node_filesystem_size_bytes{{{DISK}}})",
            "{{mountpoint}}",
        ),
        words=Words("Share of each file system that is taken.", "Below 80 %.", Runbook.HOST),
        unit="percentunit",
        levels=above(0.8, 0.9),
        highest=1,
    ),
    trend(
        "Network",
        Query(f"sum(rate(node_network_receive_bytes_total{{{LINK}}}[{OVER}]))", "in"),
        Query(f"sum(rate(node_network_transmit_bytes_total{{{LINK}}}[{OVER}]))", "out"),
        words=Words(
            "Bytes a second in and out of the machine.",
            "Follows the requests. Much going out at night is the backup, or somebody taking data away.",
            Runbook.HOST,
        ),
        unit="Bps",
    ),
)
CONTAINERS = (
    trend(
        "Containers: processors",
        Query(f"sum by (name) (rate(container_cpu_usage_seconds_total{{{CONTAINER}}}[{OVER}]))", "{{name}}"),
        words=Words(
            "Processors that each container uses: 1 is one whole processor.",
            "The application and the database lead; the model while it answers.",
            Runbook.HOST,
        ),
        stacked=True,
    ),
    trend(
        "Containers: memory of what they may have",
        Query(
            f"max by (name) (container_memory_working_set_bytes{{{CONTAINER}}}"
            f" / (container_spec_memory_limit_bytes{{{CONTAINER}}} > 0))",
            "{{name}}",
        ),
        words=Words(
            "Share of each container's limit that it uses.",
            "Below 80 %. At its limit a container is killed and started again.",
            Runbook.HOST,
        ),
        unit="percentunit",
        levels=above(0.8, 0.95),
        highest=1,
    ),
    trend(
        "Containers: held back",
        Query(f"sum by (name) (rate(container_cpu_cfs_throttled_seconds_total{{{CONTAINER}}}[{OVER}]))", "{{name}}"),
        words=Words(
            "Seconds a second that each container waited because its share of the processors was used up.",
            "Near 0, but for the model.",
            Runbook.HOST,
        ),
        unit="s",
    ),
    bars(
        "Containers: since their start",
        Query(f"sort(min by (name) (time() - container_start_time_seconds{{{CONTAINER}}}))", "{{name}}"),
        words=Words(
            "Since each container was started.",
            "The same as the release. One far younger than the others was killed.",
            Runbook.HOST,
        ),
        unit="s",
    ),
)


def build() -> Dashboard:
    return page(
        "host",
        "Sigilo: machines and containers",
        "What the machines and the containers on them have left.",
        (
            ("How is it?", STANDING),
            ("Over time", OVER_TIME),
            ("Containers", CONTAINERS),
        ),
        (choice("instance", "Machine", 'label_values(node_boot_time_seconds{job="node"}, instance)'),),
    )
