"""Secrets that lie in AWS Secrets Manager, Google Secret Manager or HashiCorp Vault, by a reference in their place.

``aws-sm://NAME#KEY``, ``gcp-sm://projects/P/secrets/S/versions/V#KEY``, ``vault://MOUNT/PATH#KEY``. What ``#`` names is
a member of the JSON object that the secret is; without it the secret is the whole text, which Vault does not have.

A store is a module with one function, ``fetch(place, environ) -> str``, imported when a reference names it. Google and
Vault are spoken to over HTTP as their references document, two requests each: Google's own client brings gRPC, Vault's
follows redirects and proxies of the environment. Amazon's requests are signed, and boto3, which does that, is here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, MutableMapping
from importlib import import_module
from typing import Protocol

STORES = {"aws-sm": "amazon", "gcp-sm": "google", "vault": "vault"}


class StoreFailed(Exception):
    """Why a secret can't be had and what to do, in a sentence without it and without any credential."""


class Store(Protocol):
    """What each module of this package is."""

    def fetch(self, place: str, environ: Mapping[str, str]) -> str:
        """The secret at ``place`` as text. Raises StoreFailed, after at most half a minute."""


def read_reference(reference: str, environ: Mapping[str, str], known: MutableMapping[str, str]) -> str:
    """What ``reference`` stands for. ``known`` keeps secrets for others that name the same. Raises StoreFailed."""
    address, _, key = reference.partition("#")
    if address not in known:
        scheme, _, place = address.partition("://")
        module: Store = import_module(f"{__name__}.{STORES[scheme]}")
        known[address] = module.fetch(place, environ)
    value = _member(known[address], key, address) if key else known[address]
    if not value.strip():
        raise StoreFailed(f"{reference} is empty: put the secret into it")
    return value.strip()


def _member(text: str, key: str, address: str) -> str:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise StoreFailed(f"{address} is no JSON object, so it has no {key}: store an object, or leave #{key} out")
    if not isinstance(found.get(key), str):
        raise StoreFailed(f"{address} has no text under {key}: name one of its members after the #")
    return str(found[key])
