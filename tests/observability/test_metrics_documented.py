"""docs/metrics.md and the code name the same metrics, of the same types, with the same labels and meanings."""

from __future__ import annotations

import re

from prometheus_client.metrics import MetricWrapperBase

from observability import metrics, pool_metrics, scheduler_metrics, state_metrics, task_metrics
from tests.observability.documented import Metric, documented_metrics
from web.metrics import request_histogram


def in_the_code() -> set[Metric]:
    found = {
        Metric(state.name, "gauge", () if state.label is None else (state.label,), state.help)
        for state in state_metrics.STATE_METRICS
    }
    found.add(Metric(f"{state_metrics.BUILD}_info", "info", ("version",), state_metrics.BUILD_HELP))
    modules = (metrics, pool_metrics, scheduler_metrics, task_metrics)
    counted = [value for module in modules for value in vars(module).values()]
    for value in (*counted, request_histogram(None)):
        if isinstance(value, MetricWrapperBase):
            family = next(iter(value.describe()))
            name = f"{family.name}_total" if family.type == "counter" else family.name
            found.add(Metric(name, family.type, value._labelnames, family.documentation))
    return found


def test_the_page_and_the_code_say_the_same() -> None:
    documented, coded = set(documented_metrics()), in_the_code()
    assert documented - coded == set(), "said, but not so"
    assert coded - documented == set(), "so, but not said"


def test_names_have_the_prefix_and_base_units() -> None:
    for metric in documented_metrics():
        assert re.fullmatch("sigilo_[a-z0-9_]+", metric.name)
        assert metric.name.endswith("_total") == (metric.type == "counter"), metric.name
        assert not re.search("_(ms|milliseconds|minutes|hours|kb|mb|percent)(_|$)", metric.name), metric.name
