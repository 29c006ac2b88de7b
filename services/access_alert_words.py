"""What the mail about unusual accesses says. The worker writes it, which has no pages and no catalogue of theirs.

No patient and no name: what was found, how much of it, whose (the end of an id that the page shows too), and where to
read more.
"""

from __future__ import annotations

from dataclasses import dataclass

from services.access_rules import RuleKey

DEFAULT_LOCALE = "pt_BR"


@dataclass(frozen=True, slots=True)
class Words:
    """``str.format`` templates: ``subject`` over number and clinic, ``text`` over name, clinic, number, lines, link;
    ``line`` of one alert over rule, count, role, person, moment; ``more`` over number."""

    subject: str
    text: str
    line: str
    more: str
    moment: str  # of strftime
    rules: dict[RuleKey, str]
    roles: dict[str, str]


WORDS = {
    "pt_BR": Words(
        "Acessos incomuns a revisar ({number}): {clinic}",
        "Olá, {name}.\n\n"
        "No Sigilo de {clinic} há acessos incomuns à espera de revisão: {number}.\n\n{lines}\n\n"
        "Leia e revise cada um neste endereço:\n\n{link}\n\n"
        "Esta mensagem não traz dados de pacientes. Outra só virá se houver algo novo.\n",
        "- {rule}: {count}; {role} …{person}, {moment}",
        "- e mais {number}",
        "%d/%m/%Y %H:%M",
        {
            RuleKey.MANY_PATIENTS: "Muitos pacientes em pouco tempo",
            RuleKey.MANY_LISTED: "Muitos pacientes em listas e buscas",
            RuleKey.RECORDS_LISTED: "Registros de muitos pacientes em listas e buscas",
            RuleKey.AT_NIGHT: "Acessos à noite",
            RuleKey.FAMILY_NAME: "Paciente com o sobrenome de quem acessou",
            RuleKey.COLLEAGUE: "Paciente que trabalha na clínica",
            RuleKey.BREAK_GLASS_BURST: "Muitos acessos de emergência",
            RuleKey.REFUSALS: "Muitas recusas",
            RuleKey.EXPORTS: "Exportação",
            RuleKey.RULES_CHANGED: "Mudança nas regras de acessos incomuns",
        },
        {
            "DOCTOR": "médico", "NURSE": "enfermagem", "RECEPTION": "recepção", "ADMIN": "administração",
            "AUDITOR": "auditoria", "PATIENT": "paciente",
        },
    ),
    "en": Words(
        "Unusual accesses to review ({number}): {clinic}",
        "Hello, {name}.\n\n"
        "In the Sigilo of {clinic} unusual accesses wait for a review: {number}.\n\n{lines}\n\n"
        "Read and review each at this address:\n\n{link}\n\n"
        "This message holds nothing of any patient. Another comes only when there is something new.\n",
        "- {rule}: {count}; {role} …{person}, {moment}",
        "- and {number} more",
        "%Y-%m-%d %H:%M",
        {
            RuleKey.MANY_PATIENTS: "Many patients in a short time",
            RuleKey.MANY_LISTED: "Many patients in lists and searches",
            RuleKey.RECORDS_LISTED: "Records of many patients in lists and searches",
            RuleKey.AT_NIGHT: "Accesses at night",
            RuleKey.FAMILY_NAME: "A patient with the reader's family name",
            RuleKey.COLLEAGUE: "A patient who works at the clinic",
            RuleKey.BREAK_GLASS_BURST: "Many emergency accesses",
            RuleKey.REFUSALS: "Many refusals",
            RuleKey.EXPORTS: "Export",
            RuleKey.RULES_CHANGED: "Rules for unusual accesses changed",
        },
        {
            "DOCTOR": "doctor", "NURSE": "nurse", "RECEPTION": "reception", "ADMIN": "administration",
            "AUDITOR": "audit", "PATIENT": "patient",
        },
    ),
}  # fmt: skip


def words_for(locale: str) -> Words:
    """In the reader's language."""
    return WORDS.get(locale, WORDS[DEFAULT_LOCALE])
