"""When each alert fires, and when it does not: one ``Case`` for each, in a module for each file of rules.

Series are written as promtool has it: ``0x2 1x9`` is three times 0 and then ten times 1, ``0+5x9`` counts up by five.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Series = dict[str, str]

# While the database does not say: promtool takes no "NaNx90".
NOT_KNOWN = " ".join(["NaN"] * 90)


@dataclass(frozen=True)
class Case:
    """``fires`` makes what the alert looks for true from minute ``since`` on: then the alert is pending, and fires when
    it has been so for as long as it says and not a step sooner, with ``labels`` beside severity and family. Each of
    ``quiet`` comes near and must not make it fire in as many minutes and twenty steps, or until minute ``until``.
    ``step``: minutes from one sample to the next. ``also``: other ways in which it fires."""

    fires: Series
    since: int
    quiet: tuple[Series, ...]
    labels: Mapping[str, str] = field(default_factory=dict)
    step: int = 1
    until: int = 0
    also: tuple[Case, ...] = ()
