"""What services say of a record that can't be saved, as the catalogue has to know it: ``said`` translates these."""

from __future__ import annotations

N_ = str  # the name by which Babel finds texts that are translated elsewhere

SENTENCES = (
    N_("a CID-10 code such as I10 or E11.9"),
    N_("a time between 1900 and now"),
    N_("a record with these CID-10 codes is restricted by law"),
    N_("an addendum to a restricted record is restricted too"),
    N_("say why: a reason is required"),
    N_("text that is not only spaces"),
    N_("a visit of this patient"),
    N_("a version of this record"),
    N_("an active record of the same patient"),
    N_("a record that is itself no addendum"),
    N_("You are not on this patient's care team. Ask a doctor of the team or reception to add you."),
    N_("You are not on this patient's care team, so you can read this record but not change it."),
    N_("Only the patient's care team adds to somebody's record."),
    N_("This record is closed. Only its author corrects it; write an addendum instead."),
    N_("This record was inactivated. Restore it, or ask for it with includeDeleted."),
    N_("These fields are masked from you, so you can't write them."),
    N_("Nurses write triage notes (kind TRIAGE) and addenda."),
    N_("Nurses write triage notes and addenda, and make nothing else of them."),
    N_("Nurses change the priority of others' records, and nothing else in them."),
    N_("Somebody else is signed in in this browser now. Sign in as yourself in another tab, then save."),
    N_("This form is out of date or was not ours. Load the page again and repeat."),
)
