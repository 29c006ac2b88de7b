"""``/patients``: find, see one with timeline, allergies and care team."""

from __future__ import annotations

from web.guards import Routes

routes = Routes("patients_pages")
