"""Registering and correcting a patient's identification, with a warning of homonyms."""

from __future__ import annotations

from web.guards import Routes

routes = Routes("patient_form")
