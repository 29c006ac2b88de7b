"""PostgreSQL's advisory locks of this installation: a number for each thing that one process does at a time.

A number is a database's, so two things with one number would wait for each other, or each call the other busy.
"""

from __future__ import annotations

MIGRATE = 7_164_001  # two processes that start at once migrate one after the other
ROLES = 7_164_002
AUDIT_DRAIN = 7_164_010
AUDIT_CHECKPOINT = 7_164_011
SCHEDULER = 7_164_012  # held by the one that leads
IMPORT_CLAIM = 7_164_013  # finding a job to resume and making a new one is one step
ADMINISTRATORS = 7_164_020  # two of them must not take the role from each other at once
DEMO_SEED = 7_164_030  # two seeds at once: the second finds what the first one made
BACKUPS = 7_164_040  # held by whoever makes or drills one
RESTORES = 7_164_041  # in the server's maintenance database: drills and restores of all installations on it
CID10_IMPORT = 7_164_050  # two imports at once: the second finds what the first one put in force
AI_QUOTA = 7_164_060  # two presses of one button are one question, and quotas are counted exactly
