"""``/me``: a patient's own record and who saw it; everybody's account and sessions."""

from __future__ import annotations

from web.guards import Routes

routes = Routes("me_pages")
