"""Drafts: kept, offered again, never silently overwritten, and masked for whoever lost access since."""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update

from config import Principal, Settings
from models import AuditOutbox, BreakGlassGrant, Draft, new_id
from models.engine import Databases
from models.user import Role
from tests.factories.cast import Cast, Person, join_team, make_patient, make_person
from tests.web.writing.writer import NEW, MakeRecord, Open, Writer, edit, end_membership, id_in, inputs_of, record_of

NOBODY = "01a20000-0000-7000-8000-000000000000"


@pytest.fixture
def person(databases: Databases, cast: Cast, patient_id: uuid.UUID) -> Person:
    """A doctor on the patient's team who has no drafts yet."""
    made = make_person(databases, Role.DOCTOR, "Rosa Dias")
    join_team(databases, patient_id, made.id)
    return made


@pytest.fixture
def writer(open_as: Open, person: Person) -> Writer:
    return open_as(person)


# What differs between two loads of one page: ids, tokens of forms, the word of the live check.
VARIES = re.compile(
    r"[0-9a-f]{8}-[0-9a-f-]{27}|csrf_token\" value=\"[^\"]+"
    r"|X-CSRFToken\": \"[^\"]+|data-token=\"[^\"]+"
)


def keep(writer: Writer, fields: dict[str, str], status: int = 200) -> str:
    text: str = writer.send("/drafts", fields, status).get_data(as_text=True)
    return text


def drafts_of(databases: Databases, person: Person) -> list[Draft]:
    with databases.session(Principal.STAFF) as session:
        return list(session.scalars(select(Draft).where(Draft.user_id == person.id).order_by(Draft.created_at)))


def test_a_draft_is_kept_offered_and_continued_on_another_device(
    writer: Writer, open_as: Open, databases: Databases, person: Person, patient_id: uuid.UUID
) -> None:
    fields = writer.fill(f"{NEW}?patientId={patient_id}", title="Dor de cabeça", notes="desde <ontem>")
    assert re.search(r"Rascunho salvo às \d\d:\d\d", keep(writer, fields))
    elsewhere = open_as(person)
    page = elsewhere.shown(f"{NEW}?patientId={patient_id}")
    assert "Você tem um rascunho de" in page and "ontem" not in page
    assert "Você tem um rascunho" not in elsewhere.shown(NEW), "it belongs to the patient"
    path = elsewhere.get(f"/drafts/{fields['draftId']}").headers["Location"]
    again = inputs_of(elsewhere.shown(path))
    assert (again["title"], again["notes"], again["patientId"]) == ("Dor de cabeça", "desde <ontem>", str(patient_id))
    assert (again["draftId"], again["draftRevision"]) == (fields["draftId"], "1")
    made = id_in(elsewhere.send(NEW, again).headers["Location"])
    assert record_of(databases, made).notes == "desde <ontem>"
    assert drafts_of(databases, person) == [], "saved, so it is no draft any more"


def test_an_empty_form_is_no_draft(writer: Writer, databases: Databases, person: Person, patient_id: uuid.UUID) -> None:
    fields = writer.fill(f"{NEW}?patientId={patient_id}", priority="HIGH", notes="  ")
    assert "Rascunho" not in keep(writer, fields)
    assert drafts_of(databases, person) == []


def test_a_draft_needs_no_patient_and_no_valid_field_yet(
    writer: Writer, databases: Databases, person: Person
) -> None:
    keep(writer, writer.fill(NEW, notes="ainda sem paciente", cid10Codes="???", occurredAt="ontem"))
    (draft,) = drafts_of(databases, person)
    assert (draft.patient_id, draft.content["values"]["cid10Codes"]) == (None, "???")
    assert "Você tem um rascunho" in writer.shown(NEW)


def test_one_form_rewrites_its_draft_even_when_an_answer_was_lost(
    writer: Writer, databases: Databases, person: Person, patient_id: uuid.UUID
) -> None:
    fields = writer.fill(f"{NEW}?patientId={patient_id}", title="Um")
    for title in ("Um", "Um dois", "Um dois três"):
        keep(writer, fields | {"title": title})
    (draft,) = drafts_of(databases, person)
    assert (draft.content["values"]["title"], draft.revision) == ("Um dois três", 3)


def test_two_tabs_that_continue_one_draft_are_both_kept(
    writer: Writer, databases: Databases, person: Person, patient_id: uuid.UUID
) -> None:
    fields = writer.fill(f"{NEW}?patientId={patient_id}", title="Comum")
    keep(writer, fields)
    path = writer.get(f"/drafts/{fields['draftId']}").headers["Location"]
    first, second = (inputs_of(writer.shown(path)) for _ in range(2))
    assert "outra aba" not in keep(writer, first | {"title": "Da primeira"}), "it knew what it replaces"
    said = keep(writer, second | {"title": "Da segunda"})
    assert "outra aba" in said and "Nada foi sobrescrito" in said
    titles = {draft.content["values"]["title"] for draft in drafts_of(databases, person)}
    assert titles == {"Da primeira", "Da segunda"}
    # From then on each goes its own way.
    own = re.search(r'data-draft-id="([^"]+)"', said)
    assert own is not None
    keep(writer, second | {"title": "Da segunda, mais", "draftId": own[1], "draftRevision": "1"})
    assert len(drafts_of(databases, person)) == 2
    assert "Mais 1 rascunho" in writer.shown(f"{NEW}?patientId={patient_id}")


def test_a_draft_of_an_edit_holds_what_was_changed_and_goes_when_saved(
    writer: Writer, databases: Databases, person: Person, make_record: MakeRecord
) -> None:
    record_id = make_record(treatment="Losartana 50 mg")
    path = f"/medical-records/{record_id}/edit"
    keep(writer, writer.fill(path, notes="PA 160 × 100. Nega cefaleia."))
    (draft,) = drafts_of(databases, person)
    assert draft.content["values"] == {"notes": "PA 160 × 100. Nega cefaleia."}
    assert draft.content["own"] == {"notes": ". Nega cefaleia."}
    assert "Você tem um rascunho" in writer.shown(path)
    again = inputs_of(writer.shown(writer.get(f"/drafts/{draft.id}").headers["Location"]))
    assert (again["notes"], again["treatment"]) == ("PA 160 × 100. Nega cefaleia.", "Losartana 50 mg")
    writer.send(path, again)
    assert record_of(databases, record_id).notes == "PA 160 × 100. Nega cefaleia."
    assert drafts_of(databases, person) == []


def test_a_draft_of_an_older_version_meets_the_newer_one_on_the_conflict_screen(
    writer: Writer, open_as: Open, databases: Databases, person: Person, make_record: MakeRecord
) -> None:
    record_id = make_record()
    path = f"/medical-records/{record_id}/edit"
    keep(writer, writer.fill(path, notes="rascunho"))
    edit(open_as("doctor"), record_id, notes="salvo", priority="HIGH")
    (draft,) = drafts_of(databases, person)
    again = inputs_of(writer.shown(writer.get(f"/drafts/{draft.id}").headers["Location"]))
    assert (again["notes"], again["version"], again["priority"]) == ("rascunho", "1", "NORMAL")
    assert "<ins>salvo</ins>" in writer.send(path, again, 409).get_data(as_text=True)
    assert drafts_of(databases, person) != [], "nothing is saved yet"


def test_own_words_of_the_conflict_screen_are_kept_too(
    writer: Writer, open_as: Open, databases: Databases, person: Person, make_record: MakeRecord
) -> None:
    record_id = make_record()
    path = f"/medical-records/{record_id}/edit"
    mine = writer.fill(path, notes="minha")
    edit(open_as("doctor"), record_id, notes="deles")
    fields = inputs_of(writer.send(path, mine, 409).get_data(as_text=True))
    keep(writer, fields | {"choice.notes": "own", "own.notes": "em outras palavras"})
    assert drafts_of(databases, person)[0].content["values"]["notes"] == "em outras palavras"


SECRET = "Paciente relata uso irregular de losartana e consumo de vinho"


def test_security_38_a_draft_shows_nothing_of_a_record_its_writer_no_longer_sees(
    writer: Writer, databases: Databases, person: Person, make_record: MakeRecord, patient_id: uuid.UUID
) -> None:
    record_id = make_record(notes=SECRET, diagnosis="Hipertensão essencial", title="Pressão alta", restricted=True)
    path = f"/medical-records/{record_id}/edit"
    fields = writer.fill(path, notes=f"{SECRET}. Oriento caminhada diária.", title="Pressão alta, revisão")
    keep(writer, fields)
    end_membership(databases, patient_id, person.id)
    (draft,) = drafts_of(databases, person)
    page = writer.shown(f"/drafts/{draft.id}")
    assert "Oriento caminhada diária." in page and "revisão" in page, "their own words are theirs"
    for hidden in ("losartana", "vinho", "irregular", "Hipertensão", "Pressão"):
        assert hidden not in page
    for address in (path, f"{path}?draftId={draft.id}"):
        answer = writer.get(address)
        assert answer.status_code == 403 and "vinho" not in answer.get_data(as_text=True)
    assert "vinho" not in writer.shown("/drafts")


def test_security_38_a_draft_is_no_oracle(
    open_as: Open, databases: Databases, cast: Cast, make_record: MakeRecord
) -> None:
    """Somebody outside drafts guesses: the answer must not depend on whether the masked text has them."""
    record_id, outside = make_record(notes=SECRET), open_as("doctor2")
    form = inputs_of(outside.shown(NEW)) | {"recordId": str(record_id), "version": "1"}
    seen = []
    for guess in ("vinho", "cerveja"):
        fields = form | {"draftId": str(new_id()), "notes": guess, "title": "Retorno"}
        keep(outside, fields)
        page = outside.shown(f"/drafts/{fields['draftId']}")
        seen.append(VARIES.sub("", page))
        assert guess not in page
    assert seen[0] == seen[1]


def test_security_38_when_the_glass_closes_the_draft_is_masked(
    open_as: Open, databases: Databases, cast: Cast, make_record: MakeRecord, patient_id: uuid.UUID
) -> None:
    record_id = make_record(notes=SECRET)
    outside = open_as("doctor2")
    form = inputs_of(outside.shown(NEW)) | {"recordId": str(record_id), "version": "1", "draftId": str(new_id())}
    now = datetime.now(UTC)
    with databases.session(Principal.STAFF) as session:
        grant = BreakGlassGrant(
            patient_id=patient_id, user_id=cast.doctor2.id, acting_role="DOCTOR", reason="Emergência no plantão",
            granted_at=now - timedelta(minutes=1), expires_at=now + timedelta(minutes=29),
        )  # fmt: skip
        session.add(grant)
    keep(outside, form | {"notes": f"{SECRET}. Anotei no plantão."})
    assert "vinho" in outside.shown(f"/drafts/{form['draftId']}"), "thirty minutes of reading"
    with databases.session(Principal.STAFF) as session:
        session.execute(update(BreakGlassGrant).where(BreakGlassGrant.id == grant.id).values(expires_at=now))
    page = outside.shown(f"/drafts/{form['draftId']}")
    assert "vinho" not in page and "Anotei no plantão." in page
    # What is saved from an open tab afterwards is kept, and shown as little.
    keep(outside, form | {"notes": f"{SECRET}. Anotei no plantão. E depois."})
    page = outside.shown(f"/drafts/{form['draftId']}")
    assert "vinho" not in page and "Anotei no plantão." in page


def test_security_19_drafts_are_their_writers_alone(
    writer: Writer, open_as: Open, databases: Databases, person: Person, patient_id: uuid.UUID
) -> None:
    fields = writer.fill(f"{NEW}?patientId={patient_id}", title="Só meu")
    keep(writer, fields)
    other, path = open_as("doctor"), f"/drafts/{fields['draftId']}"
    assert other.get(path).status_code == 404
    assert other.get(f"{NEW}?draftId={fields['draftId']}").status_code == 404
    assert "Só meu" not in other.shown("/drafts")
    token = other.get("/live/form-token").get_json()["token"]
    other.send(f"{path}/discard", {"csrf_token": token})
    other.send("/drafts", fields | {"csrf_token": token, "title": "Sobrescrito", "writer": ""}, 200)
    (draft,) = drafts_of(databases, person)
    assert draft.content["values"]["title"] == "Só meu"


def test_a_discarded_draft_is_gone(writer: Writer, databases: Databases, person: Person, patient_id: uuid.UUID) -> None:
    fields = writer.fill(f"{NEW}?patientId={patient_id}", title="Não quero")
    keep(writer, fields)
    sent = {"csrf_token": fields["csrf_token"], "next": "//evil.example"}
    answer = writer.send(f"/drafts/{fields['draftId']}/discard", sent)
    assert answer.headers["Location"] == "/?done=draft-discarded"
    assert drafts_of(databases, person) == []
    assert writer.get(f"/drafts/{fields['draftId']}").status_code == 404


def test_a_draft_expires(writer: Writer, databases: Databases, person: Person, patient_id: uuid.UUID) -> None:
    fields = writer.fill(f"{NEW}?patientId={patient_id}", title="Antigo")
    keep(writer, fields)
    with databases.session(Principal.STAFF) as session:
        session.execute(update(Draft).where(Draft.user_id == person.id).values(expires_at=datetime.now(UTC)))
    assert writer.get(f"/drafts/{fields['draftId']}").status_code == 404
    assert "Você tem um rascunho" not in writer.shown(f"{NEW}?patientId={patient_id}")
    assert "Nenhum rascunho" in writer.shown("/drafts")


@pytest.mark.parametrize(
    ("odd", "status"),
    [({"draftId": "x"}, 422), ({"patientId": "x"}, 422), ({"notes": "a\0b"}, 422), ({"recordId": NOBODY}, 404),
     ({"patientId": NOBODY}, 404), ({"amendsId": NOBODY}, 404), ({"visitId": NOBODY}, 422),
     ({"draftRevision": "9" * 30}, 200), ({"authorId": "x"}, 200)],
)  # fmt: skip
def test_security_28_odd_drafts_are_refused_or_harmless(
    writer: Writer, patient_id: uuid.UUID, odd: dict[str, str], status: int
) -> None:
    keep(writer, writer.fill(f"{NEW}?patientId={patient_id}", title="Estranho") | odd, status)


def test_writing_a_draft_is_no_read_and_listing_them_is_one(
    writer: Writer, databases: Databases, person: Person, patient_id: uuid.UUID
) -> None:
    fields = writer.fill(f"{NEW}?patientId={patient_id}", title="Evento")

    def events() -> list[Any]:
        with databases.session(Principal.WORKER) as session:
            found = select(AuditOutbox.action, AuditOutbox.entity_ids).where(AuditOutbox.actor_id == person.id)
            return list(session.execute(found.order_by(AuditOutbox.id)))

    before = len(events())
    keep(writer, fields)
    assert len(events()) == before
    writer.shown("/drafts")
    assert events()[-1] == ("draft.list", [patient_id])


def test_queries_do_not_grow_with_drafts(
    writer: Writer, databases: Databases, settings: Settings, person: Person, patient_id: uuid.UUID
) -> None:
    from tests.services.test_query_counts import counted

    sizes = []
    for _ in range(2):
        for number in range(4):
            own = make_patient(databases, settings, f"Paciente {number}")
            keep(writer, writer.fill(f"{NEW}?patientId={own}", title=f"Nota {number}"))
        runtime = writer.client.application.extensions["sigilo"].databases
        with counted(runtime) as statements:
            writer.shown("/drafts")
        sizes.append(len(statements))
    assert sizes[0] == sizes[1]
    with databases.session(Principal.STAFF) as session:
        assert session.scalar(select(func.count()).where(Draft.user_id == person.id)) == 8
