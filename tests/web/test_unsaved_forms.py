"""Every form that somebody writes into says what becomes of the text when they leave the page."""

from __future__ import annotations

import re
from pathlib import Path

TEMPLATES = Path(__file__).resolve().parent.parent.parent / "templates"
FORM = re.compile(r'<form\b[^\n]*?(?:method="post"|sent_to\().*?</form>', re.DOTALL)
WRITTEN_INTO = re.compile(
    r"\{\{ (area|field|choice|tick)\(|<textarea|<select|type=\"(text|radio|checkbox)\"|_fields.html"
)
SAYS = re.compile(r'sent_to\(|data-warns|data-drafts|role="search"')  # sent_to() warns: components/forms.html
# Passwords are typed anew; a file is still on its disk.
NOTHING_TO_LOSE = {
    "account/login.html", "account/step_up.html", "account/password.html", "account/role.html",
    "invitations/choose.html", "imports/imports.html",
}  # fmt: skip


def test_every_form_that_is_written_into_warns_or_keeps_a_draft() -> None:
    silent, speaking = [], 0
    for path in sorted(TEMPLATES.rglob("*.html")):
        name = str(path.relative_to(TEMPLATES))
        for form in FORM.findall(path.read_text()):
            opening = form.partition("\n")[0]
            if not WRITTEN_INTO.search(form) or name in NOTHING_TO_LOSE:
                continue
            speaking += 1
            if not SAYS.search(opening):
                silent.append(f"{name}: {opening[:120]}")
    assert silent == []
    assert speaking > 15
