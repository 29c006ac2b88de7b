"""Patients, care teams, visits, records, drafts and imports."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "patients",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("full_name", sa.Text(), nullable=False),
        sa.Column("social_name", sa.Text(), nullable=True),
        sa.Column(
            "name_key",
            sa.Text(),
            sa.Computed("sigilo_fold(coalesce(social_name, full_name))", persisted=True),
            nullable=False,
        ),
        sa.Column("mother_name", sa.Text(), nullable=True),
        sa.Column("birth_date", sa.Date(), nullable=True),
        sa.Column("birth_date_estimated", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("sex", sa.Text(), nullable=False),
        sa.Column("cpf_cipher", sa.LargeBinary(), nullable=True),
        sa.Column("cpf_index", sa.LargeBinary(), nullable=True),
        sa.Column("cns_cipher", sa.LargeBinary(), nullable=True),
        sa.Column("cns_index", sa.LargeBinary(), nullable=True),
        sa.Column("passport_cipher", sa.LargeBinary(), nullable=True),
        sa.Column("passport_index", sa.LargeBinary(), nullable=True),
        sa.Column("nationality", sa.Text(), nullable=True),
        sa.Column("phone", sa.Text(), nullable=True),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("address", sa.Text(), nullable=True),
        sa.Column("deceased_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("responsible_id", sa.Uuid(), nullable=True),
        sa.Column("audit_key_cipher", sa.LargeBinary(), nullable=False),
        sa.Column("source", sa.Text(), nullable=True),
        sa.Column("source_id", sa.Text(), nullable=True),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_by", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("deleted_by", sa.Uuid(), nullable=True),
        sa.Column("deletion_reason", sa.Text(), nullable=True),
        sa.Column(
            "search_names",
            postgresql.TSVECTOR(),
            sa.Computed(
                "to_tsvector('simple'::regconfig, sigilo_fold(full_name || ' ' || coalesce(social_name, '')))",
                persisted=True,
            ),
            nullable=False,
        ),
        sa.CheckConstraint(
            "birth_date BETWEEN '1850-01-01' AND '2200-01-01'", name=op.f("ck_patients_birth_date_plausible")
        ),
        sa.CheckConstraint(
            "sex IN ('FEMALE', 'MALE', 'OTHER', 'UNKNOWN')", name=op.f("ck_patients_sex_known")
        ),
        sa.CheckConstraint("(cns_cipher IS NULL) = (cns_index IS NULL)", name=op.f("ck_patients_cns_pair")),
        sa.CheckConstraint("(cpf_cipher IS NULL) = (cpf_index IS NULL)", name=op.f("ck_patients_cpf_pair")),
        sa.CheckConstraint(
            "(deleted_at IS NULL) = (deletion_reason IS NULL)",
            name=op.f("ck_patients_inactivation_has_reason"),
        ),
        sa.CheckConstraint(
            "(passport_cipher IS NULL) = (passport_index IS NULL)", name=op.f("ck_patients_passport_pair")
        ),
        sa.CheckConstraint("(source IS NULL) = (source_id IS NULL)", name=op.f("ck_patients_source_pair")),
        sa.CheckConstraint("length(address) BETWEEN 1 AND 500", name=op.f("ck_patients_address_length")),
        sa.CheckConstraint("length(full_name) BETWEEN 1 AND 200", name=op.f("ck_patients_full_name_length")),
        sa.CheckConstraint(
            "length(mother_name) BETWEEN 1 AND 200", name=op.f("ck_patients_mother_name_length")
        ),
        sa.CheckConstraint(
            "length(social_name) BETWEEN 1 AND 200", name=op.f("ck_patients_social_name_length")
        ),
        sa.CheckConstraint("version >= 1", name=op.f("ck_patients_version_positive")),
        sa.ForeignKeyConstraint(["created_by"], ["users.id"], name=op.f("fk_patients_created_by")),
        sa.ForeignKeyConstraint(["deleted_by"], ["users.id"], name=op.f("fk_patients_deleted_by")),
        sa.ForeignKeyConstraint(["responsible_id"], ["users.id"], name=op.f("fk_patients_responsible_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_patients")),
    )
    op.create_index("ix_patients_birth_date", "patients", ["birth_date"], unique=False)
    op.create_index(
        "ix_patients_inactive",
        "patients",
        ["deleted_at"],
        unique=False,
        postgresql_where=sa.text("deleted_at IS NOT NULL"),
    )
    op.create_index(
        "ix_patients_page",
        "patients",
        ["name_key", "id"],
        unique=False,
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_index(
        "ix_patients_passport_index",
        "patients",
        ["passport_index"],
        unique=False,
        postgresql_where=sa.text("passport_index IS NOT NULL"),
    )
    op.create_index("ix_patients_responsible_id", "patients", ["responsible_id"], unique=False)
    op.create_index(
        "ix_patients_search_names", "patients", ["search_names"], unique=False, postgresql_using="gin"
    )
    op.create_index(
        "uq_patients_cns_index",
        "patients",
        ["cns_index"],
        unique=True,
        postgresql_where=sa.text("cns_index IS NOT NULL"),
    )
    op.create_index(
        "uq_patients_cpf_index",
        "patients",
        ["cpf_index"],
        unique=True,
        postgresql_where=sa.text("cpf_index IS NOT NULL"),
    )
    op.create_index(
        "uq_patients_source",
        "patients",
        ["source", "source_id"],
        unique=True,
        postgresql_where=sa.text("source IS NOT NULL"),
    )
    op.create_table(
        "patient_versions",
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("content", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("changed_by", sa.Uuid(), nullable=True),
        sa.Column("changed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["changed_by"], ["users.id"], name=op.f("fk_patient_versions_changed_by")),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name=op.f("fk_patient_versions_patient_id")),
        sa.PrimaryKeyConstraint("patient_id", "version", name=op.f("pk_patient_versions")),
    )
    op.create_table(
        "allergies",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("substance", sa.Text(), nullable=False),
        sa.Column("reaction", sa.Text(), nullable=True),
        sa.Column("severity", sa.Text(), nullable=True),
        sa.Column("noted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("recorded_by", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("source", sa.Text(), nullable=True),
        sa.Column("source_id", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "severity IN ('MILD', 'MODERATE', 'SEVERE')", name=op.f("ck_allergies_severity_known")
        ),
        sa.CheckConstraint("(source IS NULL) = (source_id IS NULL)", name=op.f("ck_allergies_source_pair")),
        sa.CheckConstraint("length(reaction) <= 1000", name=op.f("ck_allergies_reaction_length")),
        sa.CheckConstraint("length(substance) BETWEEN 1 AND 300", name=op.f("ck_allergies_substance_length")),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name=op.f("fk_allergies_patient_id")),
        sa.ForeignKeyConstraint(["recorded_by"], ["users.id"], name=op.f("fk_allergies_recorded_by")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_allergies")),
    )
    op.create_index("ix_allergies_patient_id", "allergies", ["patient_id", "id"], unique=False)
    op.create_index(
        "uq_allergies_source",
        "allergies",
        ["source", "source_id"],
        unique=True,
        postgresql_where=sa.text("source IS NOT NULL"),
    )
    op.create_table(
        "visits",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("priority", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), server_default="WAITING", nullable=False),
        sa.Column("doctor_id", sa.Uuid(), nullable=True),
        sa.Column("checked_in_by", sa.Uuid(), nullable=True),
        sa.Column("arrived_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("called_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.CheckConstraint(
            "(status IN ('DONE', 'LEFT')) = (closed_at IS NOT NULL)", name=op.f("ck_visits_closed_has_time")
        ),
        sa.CheckConstraint(
            "priority IN ('CRITICAL', 'HIGH', 'NORMAL', 'LOW')", name=op.f("ck_visits_priority_known")
        ),
        sa.CheckConstraint(
            "status <> 'IN_CARE' OR doctor_id IS NOT NULL", name=op.f("ck_visits_care_has_doctor")
        ),
        sa.CheckConstraint(
            "status IN ('WAITING', 'IN_CARE', 'DONE', 'LEFT')", name=op.f("ck_visits_status_known")
        ),
        sa.CheckConstraint("length(reason) BETWEEN 1 AND 200", name=op.f("ck_visits_reason_length")),
        sa.ForeignKeyConstraint(["checked_in_by"], ["users.id"], name=op.f("fk_visits_checked_in_by")),
        sa.ForeignKeyConstraint(["doctor_id"], ["users.id"], name=op.f("fk_visits_doctor_id")),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name=op.f("fk_visits_patient_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_visits")),
    )
    op.create_index("ix_visits_page", "visits", ["arrived_at", "id"], unique=False)
    op.create_index("ix_visits_patient_id", "visits", ["patient_id", "arrived_at"], unique=False)
    op.create_index(
        "ix_visits_worklist",
        "visits",
        [
            sa.literal_column("array_position(ARRAY['CRITICAL','HIGH','NORMAL','LOW'], priority)"),
            "arrived_at",
            "id",
        ],
        unique=False,
        postgresql_where=sa.text("status IN ('WAITING', 'IN_CARE')"),
    )
    op.create_index(
        "uq_visits_open",
        "visits",
        ["patient_id"],
        unique=True,
        postgresql_where=sa.text("status IN ('WAITING', 'IN_CARE')"),
    )
    op.create_table(
        "care_team_members",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("visit_id", sa.Uuid(), nullable=True),
        sa.Column("added_by", sa.Uuid(), nullable=True),
        sa.Column("added_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("removed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("removed_by", sa.Uuid(), nullable=True),
        sa.CheckConstraint(
            "origin IN ('RESPONSIBLE', 'ADDED', 'VISIT')", name=op.f("ck_care_team_members_origin_known")
        ),
        sa.ForeignKeyConstraint(["added_by"], ["users.id"], name=op.f("fk_care_team_members_added_by")),
        sa.ForeignKeyConstraint(
            ["patient_id"], ["patients.id"], name=op.f("fk_care_team_members_patient_id")
        ),
        sa.ForeignKeyConstraint(["removed_by"], ["users.id"], name=op.f("fk_care_team_members_removed_by")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_care_team_members_user_id")),
        sa.ForeignKeyConstraint(["visit_id"], ["visits.id"], name=op.f("fk_care_team_members_visit_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_care_team_members")),
    )
    op.create_index(
        "ix_care_team_members_user_id",
        "care_team_members",
        ["user_id"],
        unique=False,
        postgresql_where=sa.text("removed_at IS NULL"),
    )
    op.create_index(
        "uq_care_team_members_current",
        "care_team_members",
        ["patient_id", "user_id"],
        unique=True,
        postgresql_where=sa.text("removed_at IS NULL"),
    )
    op.create_table(
        "break_glass_grants",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("acting_role", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("granted_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reviewed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reviewed_by", sa.Uuid(), nullable=True),
        sa.Column("verdict", sa.Text(), nullable=True),
        sa.CheckConstraint("expires_at > granted_at", name=op.f("ck_break_glass_grants_expires_after_grant")),
        sa.CheckConstraint(
            "length(reason) BETWEEN 10 AND 1000", name=op.f("ck_break_glass_grants_reason_length")
        ),
        sa.ForeignKeyConstraint(
            ["acting_role"], ["roles.name"], name=op.f("fk_break_glass_grants_acting_role")
        ),
        sa.ForeignKeyConstraint(
            ["patient_id"], ["patients.id"], name=op.f("fk_break_glass_grants_patient_id")
        ),
        sa.ForeignKeyConstraint(
            ["reviewed_by"], ["users.id"], name=op.f("fk_break_glass_grants_reviewed_by")
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_break_glass_grants_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_break_glass_grants")),
    )
    op.create_index(
        "ix_break_glass_grants_active",
        "break_glass_grants",
        ["patient_id", "user_id", "expires_at"],
        unique=False,
    )
    op.create_index(
        "ix_break_glass_grants_unreviewed",
        "break_glass_grants",
        ["granted_at"],
        unique=False,
        postgresql_where=sa.text("reviewed_at IS NULL"),
    )
    op.create_table(
        "notifications",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=True),
        sa.Column("subject_id", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("read_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name=op.f("fk_notifications_patient_id")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_notifications_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notifications")),
    )
    op.create_index(
        "ix_notifications_unread",
        "notifications",
        ["user_id", "id"],
        unique=False,
        postgresql_where=sa.text("read_at IS NULL"),
    )
    op.create_table(
        "medical_records",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("author_id", sa.Uuid(), nullable=False),
        sa.Column("visit_id", sa.Uuid(), nullable=True),
        sa.Column("amends_id", sa.Uuid(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("diagnosis", sa.Text(), nullable=True),
        sa.Column("treatment", sa.Text(), nullable=True),
        sa.Column("notes", sa.Text(), nullable=True),
        sa.Column("cid10_codes", sa.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("priority", sa.Text(), server_default="NORMAL", nullable=False),
        sa.Column("restricted", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closes_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("source", sa.Text(), nullable=True),
        sa.Column("source_id", sa.Text(), nullable=True),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("deleted_by", sa.Uuid(), nullable=True),
        sa.Column("deletion_reason", sa.Text(), nullable=True),
        sa.Column(
            "search_all",
            postgresql.TSVECTOR(),
            sa.Computed(
                "\nsetweight(to_tsvector('portuguese'::regconfig, sigilo_fold(title)), 'A') ||\nsetweight(to_tsvector('portuguese'::regconfig, sigilo_fold(coalesce(diagnosis, ''))), 'B') ||\nsetweight(to_tsvector('simple'::regconfig, sigilo_fold(sigilo_words(cid10_codes))), 'B') ||\nsetweight(to_tsvector('portuguese'::regconfig, sigilo_fold(coalesce(treatment, ''))), 'C') ||\nsetweight(to_tsvector('portuguese'::regconfig, sigilo_fold(coalesce(notes, ''))), 'D')\n",
                persisted=True,
            ),
            nullable=False,
        ),
        sa.Column(
            "search_title",
            postgresql.TSVECTOR(),
            sa.Computed(
                "setweight(to_tsvector('portuguese'::regconfig, sigilo_fold(title)), 'A')", persisted=True
            ),
            nullable=False,
        ),
        sa.CheckConstraint(
            "(kind = 'ADDENDUM') = (amends_id IS NOT NULL)", name=op.f("ck_medical_records_addendum_amends")
        ),
        sa.CheckConstraint(
            "kind IN ('CONSULTATION', 'RETURN', 'EXAM', 'PROCEDURE', 'TRIAGE', 'EMERGENCY', 'ADDENDUM', 'OTHER')",
            name=op.f("ck_medical_records_kind_known"),
        ),
        sa.CheckConstraint(
            "priority IN ('CRITICAL', 'HIGH', 'NORMAL', 'LOW')",
            name=op.f("ck_medical_records_priority_known"),
        ),
        sa.CheckConstraint(
            "(deleted_at IS NULL) = (deletion_reason IS NULL)",
            name=op.f("ck_medical_records_inactivation_has_reason"),
        ),
        sa.CheckConstraint(
            "(source IS NULL) = (source_id IS NULL)", name=op.f("ck_medical_records_source_pair")
        ),
        sa.CheckConstraint("cardinality(cid10_codes) <= 20", name=op.f("ck_medical_records_cid10_count")),
        sa.CheckConstraint("length(diagnosis) <= 20000", name=op.f("ck_medical_records_diagnosis_length")),
        sa.CheckConstraint("length(notes) <= 20000", name=op.f("ck_medical_records_notes_length")),
        sa.CheckConstraint("length(title) BETWEEN 1 AND 200", name=op.f("ck_medical_records_title_length")),
        sa.CheckConstraint("length(treatment) <= 20000", name=op.f("ck_medical_records_treatment_length")),
        sa.CheckConstraint("version >= 1", name=op.f("ck_medical_records_version_positive")),
        sa.ForeignKeyConstraint(
            ["amends_id"], ["medical_records.id"], name=op.f("fk_medical_records_amends_id")
        ),
        sa.ForeignKeyConstraint(["author_id"], ["users.id"], name=op.f("fk_medical_records_author_id")),
        sa.ForeignKeyConstraint(["deleted_by"], ["users.id"], name=op.f("fk_medical_records_deleted_by")),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name=op.f("fk_medical_records_patient_id")),
        sa.ForeignKeyConstraint(["visit_id"], ["visits.id"], name=op.f("fk_medical_records_visit_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_medical_records")),
    )
    op.create_index(
        "ix_medical_records_all_page",
        "medical_records",
        [sa.literal_column("occurred_at DESC"), sa.literal_column("id DESC")],
        unique=False,
    )
    op.create_index(
        "ix_medical_records_amends_id",
        "medical_records",
        ["amends_id"],
        unique=False,
        postgresql_where=sa.text("amends_id IS NOT NULL"),
    )
    op.create_index(
        "ix_medical_records_author_id",
        "medical_records",
        ["author_id", sa.literal_column("occurred_at DESC")],
        unique=False,
    )
    op.create_index("ix_medical_records_updated_at", "medical_records", ["updated_at"], unique=False)
    op.create_index(
        "ix_medical_records_inactive",
        "medical_records",
        ["deleted_at"],
        unique=False,
        postgresql_where=sa.text("deleted_at IS NOT NULL"),
    )
    op.create_index(
        "ix_medical_records_page",
        "medical_records",
        [sa.literal_column("occurred_at DESC"), sa.literal_column("id DESC")],
        unique=False,
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_index(
        "ix_medical_records_patient_page",
        "medical_records",
        ["patient_id", sa.literal_column("occurred_at DESC"), sa.literal_column("id DESC")],
        unique=False,
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_index(
        "ix_medical_records_priority_page",
        "medical_records",
        ["priority", sa.literal_column("occurred_at DESC"), sa.literal_column("id DESC")],
        unique=False,
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_index(
        "ix_medical_records_search_all",
        "medical_records",
        ["search_all"],
        unique=False,
        postgresql_using="gin",
    )
    op.create_index(
        "ix_medical_records_search_title",
        "medical_records",
        ["search_title"],
        unique=False,
        postgresql_using="gin",
    )
    op.create_index(
        "ix_medical_records_visit_id",
        "medical_records",
        ["visit_id"],
        unique=False,
        postgresql_where=sa.text("visit_id IS NOT NULL"),
    )
    op.create_index(
        "uq_medical_records_source",
        "medical_records",
        ["source", "source_id"],
        unique=True,
        postgresql_where=sa.text("source IS NOT NULL"),
    )
    op.create_table(
        "record_versions",
        sa.Column("record_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("content", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("changed_by", sa.Uuid(), nullable=True),
        sa.Column("changed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["changed_by"], ["users.id"], name=op.f("fk_record_versions_changed_by")),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name=op.f("fk_record_versions_patient_id")),
        sa.ForeignKeyConstraint(
            ["record_id"], ["medical_records.id"], name=op.f("fk_record_versions_record_id")
        ),
        sa.PrimaryKeyConstraint("record_id", "version", name=op.f("pk_record_versions")),
    )
    op.create_index("ix_record_versions_patient_id", "record_versions", ["patient_id"], unique=False)
    op.create_table(
        "drafts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=True),
        sa.Column("record_id", sa.Uuid(), nullable=True),
        sa.Column("base_version", sa.Integer(), nullable=True),
        sa.Column("content", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name=op.f("fk_drafts_patient_id")),
        sa.ForeignKeyConstraint(["record_id"], ["medical_records.id"], name=op.f("fk_drafts_record_id")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_drafts_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_drafts")),
    )
    op.create_index("ix_drafts_expires_at", "drafts", ["expires_at"], unique=False)
    op.create_index(
        "ix_drafts_user_id", "drafts", ["user_id", sa.literal_column("updated_at DESC")], unique=False
    )
    op.create_index(
        "uq_drafts_record",
        "drafts",
        ["user_id", "record_id"],
        unique=True,
        postgresql_where=sa.text("record_id IS NOT NULL"),
    )
    op.create_table(
        "import_jobs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.Text(), server_default="QUEUED", nullable=False),
        sa.Column("format", sa.Text(), nullable=False),
        sa.Column("source_digest", sa.LargeBinary(), nullable=False),
        sa.Column(
            "options", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False
        ),
        sa.Column(
            "position",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.Column("total", sa.Integer(), nullable=True),
        sa.Column("read", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("created", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("updated", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("unchanged", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("rejected", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "counts", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False
        ),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("created_by", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("heartbeat_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state IN ('QUEUED', 'RUNNING', 'DONE', 'FAILED', 'CANCELLED')",
            name=op.f("ck_import_jobs_state_known"),
        ),
        sa.ForeignKeyConstraint(["created_by"], ["users.id"], name=op.f("fk_import_jobs_created_by")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_import_jobs")),
    )
    op.create_index(
        "ix_import_jobs_queue",
        "import_jobs",
        ["created_at"],
        unique=False,
        postgresql_where=sa.text("state IN ('QUEUED', 'RUNNING')"),
    )
    op.create_index("ix_import_jobs_source_digest", "import_jobs", ["source_digest"], unique=False)
    op.create_table(
        "import_files",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["import_jobs.id"], name=op.f("fk_import_files_job_id")),
        sa.PrimaryKeyConstraint("job_id", "number", name=op.f("pk_import_files")),
    )
    op.create_table(
        "import_rejects",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("file", sa.Text(), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("pointer", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["import_jobs.id"], name=op.f("fk_import_rejects_job_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_import_rejects")),
    )
    op.create_index("ix_import_rejects_job_id", "import_rejects", ["job_id", "id"], unique=False)
    op.create_foreign_key("fk_users_patient_id", "users", "patients", ["patient_id"], ["id"])


def downgrade() -> None:
    op.drop_constraint("fk_users_patient_id", "users")
    op.drop_table("import_rejects")
    op.drop_table("import_files")
    op.drop_table("import_jobs")
    op.drop_table("drafts")
    op.drop_table("record_versions")
    op.drop_table("medical_records")
    op.drop_table("notifications")
    op.drop_table("break_glass_grants")
    op.drop_table("care_team_members")
    op.drop_table("visits")
    op.drop_table("allergies")
    op.drop_table("patient_versions")
    op.drop_table("patients")
