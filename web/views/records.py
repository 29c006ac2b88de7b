"""``/medical-records``: the list, one record, its versions; closing, inactivating, addenda."""

from __future__ import annotations

from web.guards import Routes

routes = Routes("records_pages")
