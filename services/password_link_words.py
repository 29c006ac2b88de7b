"""What the mail with a link says. Mail is written by the worker, which has no pages and no catalogue of theirs.

Nothing clinical, and nothing that helps whoever finds the mail later: the link works once, and not for long.
"""

from __future__ import annotations

from dataclasses import dataclass

DEFAULT_LOCALE = "pt_BR"


@dataclass(frozen=True, slots=True)
class Words:
    """``str.format`` templates over name, clinic, hours and link."""

    subject: str
    text: str


WORDS: dict[str, dict[str, Words]] = {
    "pt_BR": {
        "invitation": Words(
            "Seu acesso ao prontuário: {clinic}",
            "Olá, {name}.\n\n"
            "{clinic} criou um acesso para você no Sigilo, o prontuário eletrônico.\n"
            "Para entrar, escolha a sua senha neste endereço:\n\n{link}\n\n"
            "O link funciona uma única vez e vale por {hours} horas. Ninguém da clínica o conhece:\n"
            "não o repasse a ninguém. Se você não esperava esta mensagem, ignore-a e avise a clínica.\n",
        ),
        "reset": Words(
            "Escolha uma nova senha: {clinic}",
            "Olá, {name}.\n\n"
            "A administração de {clinic} pediu que você escolha uma nova senha no Sigilo.\n"
            "Faça isso neste endereço:\n\n{link}\n\n"
            "O link funciona uma única vez e vale por {hours} horas. Ninguém da clínica o conhece:\n"
            "não o repasse a ninguém. Se você não pediu uma nova senha, avise a clínica.\n",
        ),
    },
    "en": {
        "invitation": Words(
            "Your access to the medical records: {clinic}",
            "Hello, {name}.\n\n"
            "{clinic} made an account for you in Sigilo, its medical records.\n"
            "To get in, choose your password at this address:\n\n{link}\n\n"
            "The link works once, for {hours} hours. Nobody at the clinic knows it: give it to nobody.\n"
            "If you did not expect this message, ignore it and tell the clinic.\n",
        ),
        "reset": Words(
            "Choose a new password: {clinic}",
            "Hello, {name}.\n\n"
            "The administrators of {clinic} ask you to choose a new password in Sigilo.\n"
            "Do so at this address:\n\n{link}\n\n"
            "The link works once, for {hours} hours. Nobody at the clinic knows it: give it to nobody.\n"
            "If you did not ask for a new password, tell the clinic.\n",
        ),
    },
}


def words_for(kind: str, locale: str) -> Words:
    """The mail for an ``invitation`` or a ``reset``, in the reader's language."""
    return WORDS.get(locale, WORDS[DEFAULT_LOCALE])[kind]
