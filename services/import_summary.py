"""What came of an import, for the operator: counts, the first refusals, and one last line."""

from __future__ import annotations

import uuid
from collections import Counter
from dataclasses import dataclass

from services.import_entries import Reject

SHOWN = 10  # refusals that are listed; all of them are kept with the job
KINDS = ("patients", "records", "allergies")


@dataclass(frozen=True)
class ImportSummary:
    """Counts by "patients.created", "records.unchanged", "rejected", "duplicates", "ignored.Claim" and so on."""

    job_id: uuid.UUID | None  # None: a dry run, which keeps nothing
    counts: Counter[str]
    seconds: float
    first_rejects: tuple[Reject, ...] = ()
    is_resumed: bool = False

    @property
    def ignored(self) -> dict[str, int]:
        """Entries of types that Sigilo has no place for, by type."""
        return {name[8:]: count for name, count in self.counts.items() if name.startswith("ignored.")}

    def of(self, kind: str, outcome: str) -> int:
        return self.counts[f"{kind}.{outcome}"]

    @property
    def rejected(self) -> int:
        return self.counts["rejected"]

    @property
    def taken(self) -> int:
        """Entries that are in the database now: created, updated or unchanged."""
        return sum(self.of(kind, outcome) for kind in KINDS for outcome in ("created", "updated", "unchanged"))

    def __str__(self) -> str:
        lines = [f"refused: {_where(reject)}: {reject.reason}" for reject in self.first_rejects[:SHOWN]]
        if self.rejected > len(lines) > 0:
            lines.append(f"refused: {self.rejected - len(lines)} more")
        if self.ignored:
            names = ", ".join(f"{count} {name}" for name, count in sorted(self.ignored.items()))
            lines.append(f"passed over, of types that are not kept: {names}")
        return "\n".join([*lines, self._last_line()])

    def _last_line(self) -> str:
        totals = [sum(self.of(kind, outcome) for kind in KINDS) for outcome in ("created", "updated", "unchanged")]
        entries = ", ".join(
            f"{sum(self.of(kind, outcome) for outcome in ('created', 'updated', 'unchanged'))} {kind}" for kind in KINDS
        )
        rate = sum(totals) / self.seconds if self.seconds > 0 else 0
        return (
            f"{'Checked, kept nothing' if self.job_id is None else 'Imported'}: {entries} "
            f"({totals[0]} created, {totals[1]} updated, {totals[2]} unchanged), {self.rejected} refused, "
            f"in {self.seconds:.1f} s ({rate:.0f}/s)"
        )


def _where(reject: Reject) -> str:
    return f"{reject.file}:{reject.line}" + (f" {reject.pointer}" if reject.pointer else "")
