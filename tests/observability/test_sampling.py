"""How many of the acts are traced: a share, a most in a second, and what belongs to a traced act always."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import set_span_in_context

from observability.sampling import MOST_A_SECOND, AtMost, sampler_of


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("observability.sampling.time", made)
    return made


def sampled(provider: TracerProvider, acts: int) -> int:
    tracer = provider.get_tracer("test")
    return sum(tracer.start_span("act").get_span_context().trace_flags.sampled for _ in range(acts))


def test_a_busy_second_has_no_more_than_its_most_and_a_quiet_hour_saves_none_up(clock: Clock) -> None:
    provider = TracerProvider(sampler=AtMost(ALWAYS_ON, 5.0))
    assert sampled(provider, 100) == 5
    clock.now += 0.5
    assert sampled(provider, 100) == 2
    clock.now += 3600
    assert sampled(provider, 100) == 5


def test_a_share_of_what_is_rare_is_that_share(clock: Clock) -> None:
    provider = TracerProvider(sampler=sampler_of(0.1))
    found = 0
    for _ in range(5_000):
        clock.now += 1
        found += sampled(provider, 1)
    assert 380 <= found <= 620  # 500, and five standard deviations of it either way


@pytest.mark.parametrize(("ratio", "most"), [(0.0, 0), (0.5, MOST_A_SECOND), (1.0, 400)])
def test_of_a_flood_only_who_asks_for_everything_gets_everything(clock: Clock, ratio: float, most: float) -> None:
    assert sampled(TracerProvider(sampler=sampler_of(ratio)), 400) == most


def test_what_belongs_to_a_traced_act_is_traced_whatever_is_left(clock: Clock) -> None:
    tracer = TracerProvider(sampler=sampler_of(0.5)).get_tracer("test")
    roots = [tracer.start_span("act") for _ in range(200)]
    kept = next(root for root in roots if root.get_span_context().trace_flags.sampled)
    left = roots[-1]
    assert not left.get_span_context().trace_flags.sampled
    for root in (kept, left):
        child = tracer.start_span("statement", context=set_span_in_context(root)).get_span_context()
        assert child.trace_flags.sampled == root.get_span_context().trace_flags.sampled
