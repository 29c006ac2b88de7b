"""Every group of routes that the application serves. A new module of routes is named here, and nowhere else."""

from __future__ import annotations

from web import health, metrics, static_files
from web.api import audit, care, docs, imports, me, patients, records, visits
from web.guards import Routes
from web.views import (
    access_alerts,
    access_rules,
    account,
    dead_letters,
    drafts,
    emergency_accesses,
    invitations,
    live,
    notifications,
    patient_care,
    patient_form,
    patient_page,
    rate_limits,
    record_form,
    step_up,
    system,
    system_jobs,
    user_invite,
    user_roles,
    user_state,
    user_tokens,
    users,
    worklist,
)
from web.views import audit as audit_pages
from web.views import imports as imports_pages
from web.views import me as me_pages
from web.views import patients as patients_pages
from web.views import records as records_pages
from web.views import visits as visits_pages

GROUPS: tuple[Routes, ...] = (
    health.routes,
    metrics.routes,
    static_files.routes,
    docs.routes,
    me.routes,
    records.routes,
    patients.routes,
    care.routes,
    visits.routes,
    audit.routes,
    imports.routes,
    account.routes,
    live.routes,
    worklist.routes,
    visits_pages.routes,
    records_pages.routes,
    record_form.routes,
    drafts.routes,
    patients_pages.routes,
    patient_form.routes,
    patient_page.routes,
    patient_care.routes,
    emergency_accesses.routes,
    notifications.routes,
    audit_pages.routes,
    me_pages.routes,
    users.routes,
    user_invite.routes,
    user_state.routes,
    user_roles.routes,
    user_tokens.routes,
    invitations.routes,
    step_up.routes,
    rate_limits.routes,
    system.routes,
    system_jobs.routes,
    dead_letters.routes,
    access_alerts.routes,
    access_rules.routes,
    imports_pages.routes,
)
