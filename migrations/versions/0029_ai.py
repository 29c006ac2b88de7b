"""Questions to a language model and their answers, and patients who want none of it."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

STAFF, PATIENT, WORKER = "sigilo_staff", "sigilo_patient", "sigilo_worker"
AUDITOR, BACKUP, MIGRATOR = "sigilo_auditor", "sigilo_backup", "sigilo_migrator"
AT_WORK = "state IN ('WAITING', 'RUNNING')"
CHECKS = {
    "use_known": "use IN ('SUMMARY', 'CID10', 'PRIORITY')",
    "state_known": "state IN ('WAITING', 'RUNNING', 'DONE', 'FAILED', 'CANCELLED')",
    "engine_known": "engine IS NULL OR engine IN ('OLLAMA', 'RULES')",
    "verdict_known": "verdict IS NULL OR (verdict IN ('ACCEPTED', 'EDITED', 'REJECTED') AND state = 'DONE')",
    "verdict_whole": "(verdict IS NULL) = (verdict_at IS NULL)",
    "finished": f"({AT_WORK}) = (finished_at IS NULL)",
    "failed": "(state = 'FAILED') = (failure IS NOT NULL)",
    "provenance": "state <> 'DONE' OR (engine IS NOT NULL AND model IS NOT NULL)",
    "content_hash_length": "length(content_hash) = 32",
}
# What a worker sets; who asked, what and when is none of it.
BY_WORKER = (
    "state, partial_cipher, answer_cipher, engine, model, model_digest, parameters, prompt_tokens, answer_tokens, "
    "first_text_ms, duration_ms, removed, is_repaired, failure, attempts, next_attempt_at, started_at, heartbeat_at, "
    "finished_at, question_cipher"
)
BY_STAFF = (
    "state, cancelled_at, finished_at, verdict, verdict_at, led_to_id, expires_at, "
    "question_cipher, partial_cipher, answer_cipher"
)


def moment(name: str, *, default: bool = False, nullable: bool = True) -> sa.Column:
    given = {"server_default": sa.text("now()")} if default else {}
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable and not default, **given)


def upgrade() -> None:
    op.create_table(
        "ai_requests",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("use", sa.Text(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("visit_id", sa.Uuid(), nullable=True),
        sa.Column("requested_by", sa.Uuid(), nullable=False),
        sa.Column("acting_role", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="WAITING", nullable=False),
        sa.Column("rank", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("content_hash", sa.LargeBinary(), nullable=False),
        sa.Column("inputs", postgresql.JSONB(), nullable=False),
        sa.Column("prompt_version", sa.Text(), nullable=False),
        *(sa.Column(f"{name}_cipher", sa.LargeBinary(), nullable=True) for name in ("question", "partial", "answer")),
        sa.Column("engine", sa.Text(), nullable=True),
        sa.Column("model", sa.Text(), nullable=True),
        sa.Column("model_digest", sa.Text(), nullable=True),
        sa.Column("parameters", postgresql.JSONB(), nullable=True),
        *(
            sa.Column(name, sa.Integer(), nullable=True)
            for name in ("prompt_tokens", "answer_tokens", "first_text_ms", "duration_ms", "removed")
        ),
        sa.Column("is_repaired", sa.Boolean(), nullable=True),
        sa.Column("failure", sa.Text(), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        moment("next_attempt_at", default=True),
        moment("created_at", default=True),
        moment("started_at"),
        moment("heartbeat_at"),
        moment("finished_at"),
        moment("cancelled_at"),
        moment("expires_at", nullable=False),
        sa.Column("verdict", sa.Text(), nullable=True),
        moment("verdict_at"),
        sa.Column("led_to_id", sa.Uuid(), nullable=True),
        *(sa.CheckConstraint(rule, name=op.f(f"ck_ai_requests_{name}")) for name, rule in CHECKS.items()),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name=op.f("fk_ai_requests_patient_id")),
        sa.ForeignKeyConstraint(["visit_id"], ["visits.id"], name=op.f("fk_ai_requests_visit_id")),
        sa.ForeignKeyConstraint(["requested_by"], ["users.id"], name=op.f("fk_ai_requests_requested_by")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ai_requests")),
    )
    op.create_index(
        "ix_ai_requests_queue", "ai_requests", [sa.text("rank DESC"), "created_at"],
        postgresql_where=sa.text(AT_WORK),
    )  # fmt: skip
    op.create_index(
        "uq_ai_requests_at_work", "ai_requests", ["requested_by", "content_hash"], unique=True,
        postgresql_where=sa.text(AT_WORK),
    )  # fmt: skip
    op.create_index("ix_ai_requests_patient_id", "ai_requests", ["patient_id", "created_at"])
    op.create_index("ix_ai_requests_requested_by", "ai_requests", ["requested_by", "created_at"])
    op.create_index("ix_ai_requests_created_at", "ai_requests", ["created_at"])
    op.create_table(
        "ai_refusals",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        moment("refused_at", default=True),
        sa.Column("noted_by", sa.Uuid(), nullable=False),
        moment("ended_at"),
        sa.Column("ended_by", sa.Uuid(), nullable=True),
        sa.CheckConstraint("(ended_at IS NULL) = (ended_by IS NULL)", name=op.f("ck_ai_refusals_ended_whole")),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name=op.f("fk_ai_refusals_patient_id")),
        sa.ForeignKeyConstraint(["noted_by"], ["users.id"], name=op.f("fk_ai_refusals_noted_by")),
        sa.ForeignKeyConstraint(["ended_by"], ["users.id"], name=op.f("fk_ai_refusals_ended_by")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ai_refusals")),
    )
    op.create_index(
        "uq_ai_refusals_standing", "ai_refusals", ["patient_id"], unique=True,
        postgresql_where=sa.text("ended_at IS NULL"),
    )  # fmt: skip
    op.execute(f"GRANT SELECT, INSERT, UPDATE ({BY_STAFF}) ON ai_requests TO {STAFF}")
    op.execute(f"GRANT SELECT, UPDATE ({BY_WORKER}), DELETE ON ai_requests TO {WORKER}")
    op.execute(f"GRANT SELECT, INSERT, UPDATE (ended_at, ended_by) ON ai_refusals TO {STAFF}, {PATIENT}")
    op.execute(f"GRANT SELECT ON ai_refusals TO {WORKER}, {AUDITOR}")
    op.execute(f"GRANT SELECT ON ai_requests, ai_refusals TO {BACKUP}")
    for table in ("ai_requests", "ai_refusals"):
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        for role in (STAFF, WORKER, MIGRATOR):
            op.execute(f"CREATE POLICY {table}_{role[7:]} ON {table} TO {role} USING (true) WITH CHECK (true)")
        op.execute(f"CREATE POLICY {table}_backup ON {table} FOR SELECT TO {BACKUP} USING (true)")
    op.execute(f"CREATE POLICY ai_refusals_auditor ON ai_refusals FOR SELECT TO {AUDITOR} USING (true)")
    own = "patient_id = (SELECT sigilo_patient())"
    op.execute(f"CREATE POLICY ai_refusals_patient ON ai_refusals TO {PATIENT} USING ({own}) WITH CHECK ({own})")


def downgrade() -> None:
    op.drop_table("ai_refusals")
    op.drop_table("ai_requests")
