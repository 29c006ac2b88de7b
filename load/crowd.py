"""Everybody at once: each person signs in and goes about their day until time is up."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from load.browser import Browser, Caller, Unexpected
from load.care_days import doctor, nurse, outsider
from load.ledger import Ledger
from load.other_days import admin, auditor, integrator, patient, reception
from load.people import Person
from load.room import Room

DAYS: dict[str, Callable[[Browser, Room, Person], Awaitable[None]]] = {
    "doctor": doctor, "doctor2": outsider, "nurse": nurse, "reception": reception, "auditor": auditor, "admin": admin,
    "patient": patient,
}  # fmt: skip


async def work(url: str, room: Room, ledger: Ledger, *, seconds: float, arrive_seconds: float) -> float:
    """``seconds`` of a clinic's day, in whose first ``arrive_seconds`` people come one after the other. Gives how long
    it took with the last answers that were under way."""
    context = ssl.create_default_context()
    began = time.monotonic()
    order = list(room.people)
    room.chance.shuffle(order)
    tasks = [
        asyncio.create_task(_live(url, room, ledger, person, context, arrive_seconds * place / len(order)))
        for place, person in enumerate(order)
    ]
    ending = asyncio.create_task(_end(room, seconds))
    try:
        await asyncio.gather(*tasks)
    finally:
        ending.cancel()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return time.monotonic() - began


async def _end(room: Room, seconds: float) -> None:
    await asyncio.sleep(seconds)
    room.ended.set()


async def _live(
    url: str, room: Room, ledger: Ledger, person: Person, context: ssl.SSLContext, delay: float
) -> None:  # fmt: skip
    with suppress(TimeoutError):
        await asyncio.wait_for(room.ended.wait(), delay)
    if room.ended.is_set():
        return
    if person.role == "integrator":
        await _call(url, room, ledger, person, context)
        return
    browser = Browser(url, person.address, person.role, ledger, context)
    watching = asyncio.create_task(browser.watch(room.ended))
    try:
        is_in = False
        while not room.ended.is_set():
            with suppress(Unexpected):
                if not is_in:
                    await browser.sign_in(person.email, person.password)
                    is_in = True
                await DAYS[person.role](browser, room, person)
            await room.think()
        await watching
        with suppress(Unexpected):
            await browser.look_for_news()
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await browser.close()


async def _call(url: str, room: Room, ledger: Ledger, person: Person, context: ssl.SSLContext) -> None:
    headers = {"Authorization": f"Bearer {person.token}", "X-Forwarded-For": person.address}
    caller = Caller(url, person.role, ledger, context, headers)
    try:
        while not room.ended.is_set():
            with suppress(Unexpected):
                await integrator(caller, room, person)
            await room.think()
    finally:
        await caller.close()
