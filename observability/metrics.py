"""What web processes count for Prometheus beside requests, and what is counted wherever its service runs.

Labels are from closed lists: never an id, an address or a path. docs/metrics.md lists all of them; a test holds the two
together. Children of counters that every answer may meet are made once, for a look-up costs as much as the count.
"""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

REQUEST_BUCKETS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.3, 0.5, 1.0, 2.5, 5.0, 10.0)
REQUEST_SECONDS = "sigilo_http_request_duration_seconds"

IN_PROGRESS = Gauge(
    "sigilo_http_requests_in_progress", "Requests that are being answered", multiprocess_mode="livesum"
)
RATE_LIMITED = Counter("sigilo_rate_limited_total", "Requests refused by a quota", ["bucket"])
LOGINS = Counter("sigilo_logins_total", "Attempts to sign in", ["outcome"])
REFUSALS = Counter("sigilo_refusals_total", "Requests refused for want of a right", ["reason"])
MASKS = Counter("sigilo_masked_answers_total", "Answers about one record or patient that its reader sees masked")
REVEALS = Counter(
    "sigilo_reveals_total", "Acts that show clear data beyond the usual, or let it leave the screen", ["kind"]
)
QUOTA_DEGRADED = Gauge(
    "sigilo_quota_degraded",
    "1 while processes count quotas by themselves, Redis being away",
    multiprocess_mode="livemax",
)
CACHE_LOOKUPS = Counter("sigilo_cache_lookups_total", "Look-ups in the cache", ["kind", "outcome"])
CACHE_DEGRADED = Gauge(
    "sigilo_cache_degraded",
    "1 while processes work without the cache, its Redis being away",
    multiprocess_mode="livemax",
)

AI_QUESTIONS = Counter("sigilo_ai_questions_total", "Questions that came to an end", ["use", "outcome"])
AI_SECONDS = Histogram(
    "sigilo_ai_answer_seconds",
    "From the question's being taken up to its whole answer",
    ["use", "source"],
    buckets=(0.01, 0.05, 0.25, 1, 2.5, 5, 10, 20, 40, 80, 160, 320),
)
AI_TOKENS = Counter("sigilo_ai_tokens_total", "Tokens that the model read and wrote", ["direction"])
AI_VERDICTS = Counter("sigilo_ai_verdicts_total", "What people made of answers", ["use", "verdict"])
AI_USE = {"SUMMARY": "summary", "CID10": "codes", "PRIORITY": "priority"}
AI_SOURCE = {"OLLAMA": "model", "RULES": "rules"}

IMPORT_ENTRIES = Counter(
    "sigilo_import_entries_total", "Entries of imports that were taken, refused, or known already", ["outcome"]
)
