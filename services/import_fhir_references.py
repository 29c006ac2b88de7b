"""Who is meant: the identity of FHIR resources, and what their references point to.

The identity is (source, id). An id that is a UUID means one thing everywhere, so its source is plainly
``fhir``; any other (``Patient/1`` exists at every hospital) counts only within the system that gave it, which
is the base of its ``fullUrl``, or the name given with the import, or else ``fhir`` too. Our own exports carry
the identity that the row had, or ``sigilo`` and the row's id for what was written here.
"""

from __future__ import annotations

import re

from services.import_entries import Key
from services.import_fhir_elements import ID, OWN, Resource, child, extension, is_own, own_extension
from services.import_rules import EntryRefused, checked_key, is_uuid

FHIR_SOURCE = "fhir"
URN = "urn:uuid:"
RESTFUL = re.compile(
    r"(?:(?P<base>https?://[^\s?#]{1,150})/)?(?P<type>[A-Z][A-Za-z]{1,63})/(?P<id>[^/?#\s]+)(?:/_history/[^/?#\s]+)?"
)


class References:
    """The resources of one bundle (or one file of lone resources) by everything they may be called."""

    def __init__(self, default_source: str | None = None) -> None:
        self._default_source = default_source or FHIR_SOURCE
        self._known: dict[str, tuple[str, Key]] = {}
        self._base = ""

    def add(self, full_url: str | None, resource: Resource) -> None:
        """Make a resource known by its full URL and by ``Type/id``. Resources that have no id stay unknown."""
        try:
            key = self.key_of(full_url, resource)
        except EntryRefused:
            return
        kind = resource["resourceType"]
        if full_url:
            self._known[full_url] = (kind, key)
            if not self._base and (match := RESTFUL.fullmatch(full_url)) and match["base"]:
                self._base = match["base"]
        if isinstance(resource.get("id"), str):
            self._known[f"{kind}/{resource['id']}"] = (kind, key)

    def key_of(self, full_url: str | None, resource: Resource) -> Key:
        """The identity of a resource. Raises EntryRefused when it has none, or an illegal one."""
        if is_own(resource) and (origin := _origin(own_extension(resource, "origin"))):
            return origin
        identifier = resource.get("id")
        if identifier is None and full_url and full_url.lower().startswith(URN):
            identifier = full_url[len(URN) :]
        if identifier is None:
            raise EntryRefused("has no id, so a second import could not recognise it", "/id")
        if not isinstance(identifier, str) or not ID.fullmatch(identifier):
            raise EntryRefused("is no FHIR id: 1 to 64 letters, digits, hyphens and dots", "/id")
        match = RESTFUL.fullmatch(full_url) if full_url else None
        return self._key(match["base"] if match else None, identifier)

    def resolved(self, element: object, kind: str, pointer: str) -> Key:
        """The identity of what a Reference points to, which must be a ``kind``.

        Whether it exists is for later: it may stand in another file, or in the database. Raises EntryRefused.
        """
        reference = child({"it": element}, "it").get("reference")
        if not isinstance(reference, str) or not reference:
            raise EntryRefused(f"names no {kind}", pointer)
        known = self._known.get(reference)
        if known is not None:
            if known[0] != kind:
                raise EntryRefused(f"points to a {known[0]}, not to a {kind}", pointer)
            return known[1]
        if reference.lower().startswith(URN) and is_uuid(reference[len(URN) :]):
            return Key(FHIR_SOURCE, reference[len(URN) :].lower())
        match = RESTFUL.fullmatch(reference)
        if match is None:
            raise EntryRefused("is a kind of reference that cannot be followed here", pointer)
        if match["type"] != kind:
            raise EntryRefused(f"does not point to a {kind}", pointer)
        if not ID.fullmatch(match["id"]):
            raise EntryRefused("points to an illegal FHIR id", pointer)
        return self._key(match["base"] or self._base, match["id"])

    def _key(self, base: str | None, identifier: str) -> Key:
        if is_uuid(identifier):
            return Key(FHIR_SOURCE, identifier.lower())
        return Key(f"{FHIR_SOURCE}:{base}" if base else self._default_source, identifier)


def own_key(resource: Resource, name: str) -> Key | None:
    """An identity in an extension of a Sigilo export, such as the record that an addendum amends."""
    return _origin(own_extension(resource, name))


def _origin(element: Resource) -> Key | None:
    if not element:
        return None
    values = [extension(element, part).get("valueString") for part in ("source", "id")]
    return Key(checked_key(values[0], "/extension"), checked_key(values[1], "/extension"))


def origin_extension(name: str, key: Key) -> Resource:
    """The extension that ``own_key`` reads back."""
    return {
        "url": f"{OWN}/{name}",
        "extension": [{"url": "source", "valueString": key.source}, {"url": "id", "valueString": key.id}],
    }
