from tests.observability.alert_cases import NOT_KNOWN, Case

# The state of the clinic is the same whichever web server is asked.
WEB, OTHER = 'job="sigilo-web",instance="web-1:8000"', 'job="sigilo-web",instance="web-2:8000"'


def age(queue: str, web: str = WEB) -> str:
    return f'sigilo_queue_oldest_age_seconds{{{web},queue="{queue}"}}'


def entries(outcome: str) -> str:
    return f'sigilo_import_entries_total{{job="sigilo-worker",instance="w:9301",outcome="{outcome}"}}'


def jobs(status: str) -> str:
    return f'sigilo_import_jobs{{{WEB},status="{status}"}}'


def fallbacks(reason: str) -> str:
    return f'sigilo_ai_fallbacks_total{{job="sigilo-worker",instance="w:9301",use="summary",reason="{reason}"}}'


ANSWERS = 'sigilo_ai_answer_seconds_count{job="sigilo-worker",instance="w:9301",use="summary",source="rules"}'
LEADER, SECOND = (f'sigilo_scheduler_leader{{job="sigilo-scheduler",instance="{name}:9305"}}' for name in "ab")
RETRIES = 'sigilo_task_retries_total{job="sigilo-worker",instance="w:9301",task="audit.drain"}'

CASES = {
    "QueueStuck": Case(
        fires={age("audit"): "0x2 301x90", age("audit", OTHER): "0x2 301x90"},
        since=3,
        labels={"queue": "audit"},
        quiet=({age("audit"): "300x90"}, {age("default"): "3600x90"}, {age("mail"): "400x4 0x90"}),
    ),
    "QueueSlow": Case(
        fires={age("default"): "0x2 7201x90"},
        since=3,
        labels={"queue": "default"},
        quiet=({age("default"): "7200x90"}, {age("audit"): "9000x90"}),
    ),
    "DeadLettersOpen": Case(
        fires={f"sigilo_dead_letters_open{{{WEB}}}": "0x2 1x90"},
        since=3,
        quiet=({f"sigilo_dead_letters_open{{{WEB}}}": "0x90"}, {f"sigilo_dead_letters_open{{{WEB}}}": NOT_KNOWN}),
    ),
    "TaskRetriesMany": Case(
        fires={RETRIES: "0+2x90"},
        since=11,
        labels={"task": "audit.drain"},
        quiet=({RETRIES: "0+1x90"}, {RETRIES: "900x90"}),
    ),
    "ImportFailed": Case(
        fires={jobs("failed"): "2x9 3x90", jobs("done"): "9x90"},
        since=10,
        quiet=({jobs("failed"): "2x90"}, {jobs("done"): "2x9 9x90"}, {jobs("failed"): "2x9 1x90"}),
    ),
    "ImportRejectsMost": Case(
        fires={entries("rejected"): "0+60x90", entries("imported"): "0+40x90"},
        since=1,
        quiet=(
            {entries("rejected"): "0+40x90", entries("imported"): "0+60x90"},
            # A small file of which most was known or wrong.
            {entries("rejected"): "0x9 25x90", entries("imported"): "0x9 15x90"},
        ),
    ),
    "AiBacklog": Case(
        fires={f"sigilo_ai_waiting{{{WEB}}}": "0x2 21x90"},
        since=3,
        quiet=({f"sigilo_ai_waiting{{{WEB}}}": "20x90"}, {f"sigilo_ai_waiting{{{WEB}}}": "90x14 0x90"}),
    ),
    "AiModelDown": Case(
        fires={f"sigilo_ai_model_up{{{WEB}}}": "1x2 0x90"},
        since=3,
        # NaN: there is no OLLAMA_URL, and nobody misses a model.
        quiet=({f"sigilo_ai_model_up{{{WEB}}}": NOT_KNOWN}, {f"sigilo_ai_model_up{{{WEB}}}": "1x90"}),
    ),
    "AiAnswersUnusable": Case(
        fires={fallbacks("answer_invalid"): "0+1x90", ANSWERS: "0+1x90"},
        since=11,
        quiet=(
            {fallbacks("answer_invalid"): "0+1x90", ANSWERS: "0+2x90"},
            {fallbacks("unavailable"): "0+1x90", ANSWERS: "0+1x90"},
            {fallbacks("answer_invalid"): "0+1x10 10x90", ANSWERS: "0+1x90"},
        ),
    ),
    "NoSchedulerLeader": Case(
        fires={LEADER: "1x2 0x90", SECOND: "0x90"},
        since=3,
        quiet=({LEADER: "1x2 0x90", SECOND: "0x4 1x90"},),
    ),
    "SchedulerSlotLate": Case(
        fires={f'sigilo_scheduler_slot_late{{{WEB},slot="backups.daily"}}': "0x2 1x90"},
        since=3,
        labels={"slot": "backups.daily"},
        quiet=({f'sigilo_scheduler_slot_late{{{WEB},slot="backups.daily"}}': "0x2 1x8 0x90"},),
    ),
    "JobRunFailed": Case(
        fires={f'sigilo_job_run_failed{{{WEB},slot="chain.verify"}}': "0x2 1x90"},
        since=3,
        labels={"slot": "chain.verify"},
        quiet=({f'sigilo_job_run_failed{{{WEB},slot="chain.verify"}}': "0x90"},),
    ),
}
