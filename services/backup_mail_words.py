"""What the mail about backups says. The worker writes it, which has no pages and no catalogue of theirs.

No patient and no reason: what is not as it should be, since when nothing can be restored, and where to read more.
"""

from __future__ import annotations

from dataclasses import dataclass

DEFAULT_LOCALE = "pt_BR"


@dataclass(frozen=True, slots=True)
class Words:
    """``str.format`` templates over name, clinic, good and link, those of trouble over lines too. ``alerts``: by the
    names of ``services/backup_standing.py`` and ``services/base_backups.py``; ``none``: in place of when the newest
    good one was made."""

    subject: str
    text: str
    well_subject: str
    well_text: str
    alerts: dict[str, str]
    none: str
    moment: str  # of strftime


WORDS = {
    "pt_BR": Words(
        "Backups precisam de atenção: {clinic}",
        "Olá, {name}.\n\n"
        "Os backups do Sigilo de {clinic} não estão como deveriam:\n\n{lines}\n\n"
        "Backup bom mais novo: {good}. O que foi escrito depois dele pode se perder com a máquina.\n\n"
        "Veja o motivo e o que fazer neste endereço:\n\n{link}\n\n"
        "Esta mensagem não traz dados de pacientes. Outra só virá quando isso mudar.\n",
        "Backups em ordem de novo: {clinic}",
        "Olá, {name}.\n\n"
        "Os backups do Sigilo de {clinic} estão em ordem de novo. O mais novo, de {good}, foi restaurado e"
        " conferido.\n\n"
        "{link}\n\n"
        "Esta mensagem não traz dados de pacientes.\n",
        {
            "late": "- O último backup bom tem mais de 26 horas, ou não existe.",
            "failed": "- O backup mais novo falhou.",
            "drill-failed": "- O teste de restauração mais novo não pôde ser feito: falta a chave, o espaço ou o"
            " servidor do teste. Do backup em si nada se sabe.",
            "drill-damaged": "- O teste de restauração mais novo falhou: não confie nesse backup.",
            "trail-damaged": "- A trilha de auditoria não está íntegra, no backup como no banco. O backup é bom;"
            " é preciso descobrir quem alterou a trilha.",
            "clock": "- Um backup diz que foi feito no futuro: algum relógio está errado.",
            "unseen": "- Há mais de três horas a máquina do banco de dados não diz o que há no arquivamento.",
            "gap": "- Faltam alterações no arquivamento: depois da falha, nada poderia ser recuperado dele.",
            "full-late": "- O último backup de base completo tem mais de oito dias, ou não existe.",
            "differential-late": "- O último backup de base tem mais de 26 horas, ou não existe.",
        },
        "nenhum ainda",
        "%d/%m/%Y %H:%M",
    ),
    "en": Words(
        "Backups need looking at: {clinic}",
        "Hello, {name}.\n\n"
        "The backups of the Sigilo of {clinic} are not as they should be:\n\n{lines}\n\n"
        "Newest good backup: {good}. What was written since may be lost with the machine.\n\n"
        "Read why, and what to do, at this address:\n\n{link}\n\n"
        "This message holds nothing of any patient. Another comes only when this changes.\n",
        "Backups are well again: {clinic}",
        "Hello, {name}.\n\n"
        "The backups of the Sigilo of {clinic} are well again. The newest, of {good}, was restored and checked.\n\n"
        "{link}\n\n"
        "This message holds nothing of any patient.\n",
        {
            "late": "- The newest good backup is older than 26 hours, or there is none.",
            "failed": "- The newest backup failed.",
            "drill-failed": "- The newest restore drill could not be made: its key, its room or its server is missing."
            " Nothing is known of the backup itself.",
            "drill-damaged": "- The newest restore drill failed: do not trust that backup.",
            "trail-damaged": "- The audit trail is not intact, in the backup as in the database. The backup is good;"
            " who changed the trail is what to find out.",
            "clock": "- A backup says that it was made in the future: a clock is wrong.",
            "unseen": "- The database's machine has not said for three hours what the archive of changes holds.",
            "gap": "- Changes are missing in the archive: beyond the gap nothing could be recovered from it.",
            "full-late": "- The newest full base backup is older than eight days, or there is none.",
            "differential-late": "- The newest base backup is older than 26 hours, or there is none.",
        },
        "none yet",
        "%Y-%m-%d %H:%M",
    ),
}


def words_for(locale: str) -> Words:
    """In the reader's language."""
    return WORDS.get(locale, WORDS[DEFAULT_LOCALE])
