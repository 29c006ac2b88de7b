"""Which diagnoses the law keeps closer than the rest.

Lei 14.289/2022 protects people with HIV, chronic hepatitis, tuberculosis and leprosy; mental health and
violence are held to the same measure. ICD-10 blocks as published by the WHO.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

CID10 = re.compile(r"^[A-Z]\d{2}(?:\.?[0-9A-Z]{1,2})?$")

RESTRICTED_BLOCKS = (
    ("A15", "A19"),  # tuberculosis
    ("A30", "A30"),  # leprosy
    ("B15", "B19"),  # viral hepatitis
    ("B20", "B24"),  # HIV disease
    ("B90", "B92"),  # sequelae of tuberculosis and leprosy (B91, poliomyelitis, stands between)
    ("F00", "F99"),  # mental and behavioural disorders
    ("T74", "T74"),  # maltreatment syndromes
    ("X60", "X84"),  # intentional self-harm
    ("X85", "Y09"),  # assault
    ("Z21", "Z21"),  # asymptomatic HIV infection status
)


def must_be_restricted(codes: Iterable[str]) -> bool:
    """Whether any of these CID-10 codes makes a record restricted by law."""
    return any(first <= code[:3] <= last for code in codes for first, last in RESTRICTED_BLOCKS)
