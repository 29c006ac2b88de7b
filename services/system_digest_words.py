"""What the mail about the installation says. The worker writes it, which has no pages and no catalogue of theirs.

Numbers, times and names of jobs: no patient, nobody's name but the reader's.
"""

from __future__ import annotations

from dataclasses import dataclass

DEFAULT_LOCALE = "pt_BR"


@dataclass(frozen=True, slots=True)
class Words:
    """``str.format`` templates. ``well`` and ``bad`` are by what they are about, over what ``bad`` counts (number) or
    names (what), and moment; ``alerts`` are those of backups."""

    subject_well: str
    subject_bad: str
    text: str
    to_look_at: str
    in_order: str
    moment: str  # of strftime
    often: dict[str, str]
    well: dict[str, str]
    bad: dict[str, str]
    alerts: dict[str, str]
    jobs: dict[str, str]


WORDS = {
    "pt_BR": Words(
        "Sigilo em ordem: {clinic}",
        "Sigilo pede atenção ({number}): {clinic}",
        "Olá, {name}.\n\nComo está o Sigilo de {clinic}, em {moment}.\n\n{lines}\n\n"
        "O estado de agora, com gráficos:\n\n{link}\n\n"
        "Esta mensagem não traz dados de pacientes. Ela vem {often}; quem cuida do servidor muda isso\n"
        "com ADMIN_DIGEST (daily, weekly ou off).\n",
        "Para ver:",
        "Em ordem:",
        "%d/%m/%Y %H:%M",
        {"daily": "todos os dias", "weekly": "às segundas-feiras"},
        {
            "work": "nenhum trabalho falhou de vez", "jobs": "as tarefas agendadas foram concluídas",
            "backups": "backup bom mais recente: {moment}", "no_backups": "ainda não há backup ensaiado",
            "trail": "trilha de auditoria íntegra, verificada em {moment}",
            "sealing": "atos selados na trilha em segundos",
            "emergencies": "nenhum acesso de emergência sem revisão", "alerts": "nenhum acesso incomum sem revisão",
        },
        {
            "work": "trabalhos que falharam de vez: {number}", "jobs": "tarefas agendadas que falharam: {what}",
            "backups": "backups: {what}; o bom mais recente é de {moment}",
            "no_backups": "backups: {what}; ainda não há nenhum ensaiado",
            "trail": "a trilha de auditoria NÃO está íntegra: rode sigilo audit verify",
            "unchecked": "a trilha de auditoria não foi verificada nesta noite",
            "sealing": "há um ato que espera há {number} s para ser selado: veja se há um executor",
            "emergencies": "acessos de emergência sem revisão: {number}",
            "alerts": "acessos incomuns sem revisão: {number}",
        },
        {
            "late": "atrasados", "failed": "o último falhou", "drill-failed": "o último ensaio não pôde ser feito",
            "drill-damaged": "o último ensaio falhou: o backup não é confiável",
            "trail-damaged": "o último ensaio encontrou a trilha alterada", "clock": "um relógio estava errado",
        },
        {
            "cleanup.expired": "limpeza", "audit.partitions": "partições da trilha",
            "chain.verify": "verificação da trilha", "chain.archive": "arquivos da trilha",
            "backups.daily": "backup da noite", "mail.digest": "este resumo",
        },
    ),
    "en": Words(
        "Sigilo is well: {clinic}",
        "Sigilo needs looking at ({number}): {clinic}",
        "Hello, {name}.\n\nHow Sigilo of {clinic} stands, on {moment}.\n\n{lines}\n\n"
        "How it stands now, with charts:\n\n{link}\n\n"
        "This message holds no data of patients. It comes {often}; whoever keeps the server changes that\n"
        "with ADMIN_DIGEST (daily, weekly or off).\n",
        "To look at:",
        "In order:",
        "%Y-%m-%d %H:%M",
        {"daily": "every day", "weekly": "on Mondays"},
        {
            "work": "no work failed for good", "jobs": "timed jobs were done",
            "backups": "newest good backup: {moment}", "no_backups": "no backup was restored in a drill yet",
            "trail": "audit trail intact, verified on {moment}", "sealing": "acts are sealed within seconds",
            "emergencies": "no emergency access waits for a review", "alerts": "no unusual access waits for a review",
        },
        {
            "work": "work that failed for good: {number}", "jobs": "timed jobs that failed: {what}",
            "backups": "backups: {what}; the newest good one is of {moment}",
            "no_backups": "backups: {what}; none was restored in a drill yet",
            "trail": "the audit trail is NOT intact: run sigilo audit verify",
            "unchecked": "the audit trail was not verified last night",
            "sealing": "an act has waited {number} s to be sealed: see whether a worker runs",
            "emergencies": "emergency accesses without a review: {number}",
            "alerts": "unusual accesses without a review: {number}",
        },
        {
            "late": "late", "failed": "the last one failed", "drill-failed": "the last drill could not be made",
            "drill-damaged": "the last drill failed: do not trust the backup",
            "trail-damaged": "the last drill found the trail altered", "clock": "a clock was wrong",
        },
        {
            "cleanup.expired": "clean-up", "audit.partitions": "partitions of the trail", "chain.verify": "trail check",
            "chain.archive": "archives of the trail", "backups.daily": "backup of the night",
            "mail.digest": "this digest",
        },
    ),
}  # fmt: skip


def words_for(locale: str) -> Words:
    return WORDS.get(locale, WORDS[DEFAULT_LOCALE])
