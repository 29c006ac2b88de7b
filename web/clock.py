"""Times on screen: the clinic's zone and DD/MM/YYYY (SBIS NGS1.09), from the UTC that everything is kept in."""

from __future__ import annotations

from datetime import UTC, date, datetime

from flask import Flask
from flask_babel import format_date, get_locale, gettext, ngettext

from web.runtime import runtime

Given = datetime | date | str | None


def register_clock(app: Flask) -> None:
    app.jinja_env.filters.update(
        moment=moment, day=day, weekday=weekday, clock=clock, since=since, age=age, for_input=for_input, machine=machine
    )


def parse(given: Given) -> datetime | None:
    """A representation's ``2026-11-24T10:42:00Z``, or a datetime, as clinic time."""
    if given is None or given == "":
        return None
    value = datetime.fromisoformat(given) if isinstance(given, str) else given
    if not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day, tzinfo=runtime().settings.timezone)
    return value.astimezone(runtime().settings.timezone)


def moment(given: Given) -> str:
    """``24/11/2026 10:42``."""
    value = parse(given)
    return "" if value is None else value.strftime("%d/%m/%Y %H:%M")


def day(given: Given) -> str:
    """``24/11/2026``; a date without a time is no moment of any zone and stays the date it is."""
    if isinstance(given, str) and len(given) == 10:
        given = date.fromisoformat(given)
    if isinstance(given, date) and not isinstance(given, datetime):
        return given.strftime("%d/%m/%Y")
    value = parse(given)
    return "" if value is None else value.strftime("%d/%m/%Y")


def weekday(given: Given) -> str:
    """``Terça-feira, 24/11/2026``, in the page's language."""
    value = parse(given)
    if value is None:
        return ""
    name = str(format_date(value.date(), "EEEE"))
    return f"{name[:1].upper()}{name[1:]}, {day(given)}"


def clock(given: Given) -> str:
    """``10:42``."""
    value = parse(given)
    return "" if value is None else value.strftime("%H:%M")


def machine(given: Given) -> str:
    """For ``<time datetime>``: RFC 3339 in UTC."""
    value = parse(given)
    return "" if value is None else value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def for_input(given: Given) -> str:
    """For ``<input type=datetime-local>``: clinic time without a zone, which the form reader gives back."""
    value = parse(given)
    return "" if value is None else value.strftime("%Y-%m-%dT%H:%M")


def since(given: Given) -> str:
    """How long ago: ``4 min``, ``1 h 05``, ``3 d``."""
    value = parse(given)
    if value is None:
        return ""
    minutes = max(0, int((datetime.now(UTC) - value).total_seconds() // 60))
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 24 * 60:
        return f"{minutes // 60} h {minutes % 60:02}"
    return f"{minutes // (24 * 60)} d"


def age(born: str | date | None) -> str:
    """Completed years in the clinic's zone today; months below two years, days below two months."""
    if not born:
        return ""
    birth = date.fromisoformat(born[:10]) if isinstance(born, str) else born
    today = datetime.now(runtime().settings.timezone).date()
    months = (today.year - birth.year) * 12 + today.month - birth.month - (today.day < birth.day)
    if months >= 24:
        return str(ngettext("%(num)s year", "%(num)s years", months // 12))
    if months >= 2:
        return str(gettext("%(number)s months", number=months))
    return str(ngettext("%(num)s day", "%(num)s days", max(0, (today - birth).days)))


def decimal(value: float, places: int = 1) -> str:
    """A number as the page's language writes it: ``1,5`` or ``1.5``."""
    text = f"{value:.{places}f}"
    return text.replace(".", ",") if str(get_locale()).startswith("pt") else text
