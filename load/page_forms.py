"""What a form of a page would send if its button were pressed now."""

from __future__ import annotations

from html.parser import HTMLParser


class _Fields(HTMLParser):
    """Names and values of one form's inputs, as browsers gather them."""

    def __init__(self, form_id: str) -> None:
        super().__init__()
        self.values: dict[str, str] = {}
        self._form_id = form_id
        self._is_inside = False
        self._text: str | None = None  # the name of the text area that is being read
        self._select: str | None = None

    def handle_starttag(self, tag: str, given: list[tuple[str, str | None]]) -> None:
        attributes = dict(given)
        if tag == "form":
            self._is_inside = attributes.get("id") == self._form_id
        if not self._is_inside or attributes.get("form", self._form_id) != self._form_id:
            return  # another form's, or one that belongs to another by name
        name, value = attributes.get("name") or "", attributes.get("value") or ""
        if tag == "input" and name:
            is_box = attributes.get("type") in ("checkbox", "radio")
            if name not in self.values and (not is_box or "checked" in attributes):
                self.values[name] = value
        elif tag == "textarea":
            self._text = name
            self.values[name] = ""
        elif tag == "select":
            self._select = name
        elif tag == "option" and self._select and (self._select not in self.values or "selected" in attributes):
            self.values[self._select] = value

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._is_inside = False
        elif tag == "textarea" and self._text is not None:
            self.values[self._text] = self.values[self._text].removeprefix("\n")
            self._text = None
        elif tag == "select":
            self._select = None

    def handle_data(self, text: str) -> None:
        if self._text is not None:
            self.values[self._text] += text


def form_values(page: str, form_id: str) -> dict[str, str]:
    """Of the form with that id, its token left out; empty where the page has no such form."""
    reader = _Fields(form_id)
    reader.feed(page)
    return {name: value for name, value in reader.values.items() if name != "csrf_token"}
