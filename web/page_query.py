"""The query string that every page takes: the place in an endless list, and the toast of what was just done."""

from __future__ import annotations

from typing import Annotated

from pydantic import StringConstraints

from web.api.schemas import PageQuery


class ListQuery(PageQuery):
    """``done`` is read by templates/components/toast.html alone; here it is only no unknown field."""

    done: Annotated[str, StringConstraints(max_length=50)] | None = None
