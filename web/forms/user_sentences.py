"""What services about users, roles, tokens and passwords say to people: named here for the catalogue, which collects
texts from ``web`` and ``templates`` and can't see a service's (web/forms/sentences.py translates them)."""

from __future__ import annotations

N_ = str  # marks a text for translation and leaves it as it is

SENTENCES = (
    N_("say why: a reason is required"),
    N_("at most 1000 characters"),
    N_("an e-mail address"),
    N_("a name of 1 to 200 characters"),
    N_("one or more roles of the clinic's staff"),
    N_("a role of the clinic's staff"),
    N_("a role that this user holds"),
    N_("a council number such as CRM-SP 123456"),
    N_("a council number such as CRM-SP 123456 or COREN-SP 654321"),
    N_("a doctor's CRM, such as CRM-SP 123456"),
    N_("a nurse's COREN, such as COREN-SP 654321"),
    N_("a CPF with valid check digits, such as 529.982.247-25"),
    N_("a CPF that no other user has: this person has an account already"),
    N_("There is a user with this e-mail address already."),
    N_("This user is disabled. Enable them first."),
    N_("This user is enabled already."),
    N_("This user is disabled."),
    N_("This user has no role yet: the link goes out once a role is granted."),
    N_("This user holds that role already."),
    N_("This user does not hold that role."),
    N_("That role was asked for already and waits for a second administrator."),
    N_("This is a patient's account. Somebody who works here gets one of their own."),
    N_("This is the last active administrator. Make another one first."),
    N_("Somebody decided on this request already."),
    N_("You asked for this role yourself: another administrator must approve it."),
    N_("Nobody decides on their own roles: ask another administrator."),
    N_("Nobody changes their own roles: ask another administrator."),
    N_("Nobody disables themselves: ask another administrator."),
    N_("Nobody enables themselves: ask another administrator."),
    N_("Nobody makes tokens for themselves: ask another administrator."),
    N_("Nobody resets their own password: change it under My account."),
    N_("Mail is not configured, so no link can be sent: set SMTP_URL and PUBLIC_URL."),
    N_("what the token is for, in 1 to 100 characters"),
    N_("at least one: a token without scopes may do everything the role may"),
    N_("a quota is written N/second, N/minute, N/hour or N/day, such as 20/minute"),
    N_("at least 12 characters: a few words are easy to remember"),
    N_("at most 256 characters"),
    N_("characters that can be typed"),
    N_("this password is among the first that are tried: choose another"),
    N_("a password other than the present one and the one before it"),
)
