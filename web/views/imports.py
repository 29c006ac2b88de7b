"""``/imports``: upload files, watch the progress, see what was rejected."""

from __future__ import annotations

from web.guards import Routes

routes = Routes("imports_pages")
