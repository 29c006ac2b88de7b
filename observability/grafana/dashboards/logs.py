"""What the processes say: one JSON object a line, without patients."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models.dashboard import Dashboard

from observability.grafana.logs import counted, lines
from observability.grafana.page import page
from observability.grafana.panels import Words
from observability.grafana.runbooks import Runbook

# Labels are those of observability/alloy; the rest of a line is read when it is asked for.
OURS = '{job="sigilo"}'
TROUBLE = '{job="sigilo", level=~"warning|error|critical"}'
OVER = "$__auto"

COUNTED = (
    counted(
        "Lines by level",
        f"sum by (level) (count_over_time({OURS}[{OVER}]))",
        "{{level}}",
        words=Words(
            "How many lines are written, by their level.",
            "info follows the requests; warnings are a few an hour; errors none.",
            Runbook.WEB,
        ),
    ),
    counted(
        "Troubles by what happened",
        f"sum by (event) (count_over_time({TROUBLE} | json event [{OVER}]))",
        "{{event}}",
        words=Words(
            "Warnings and errors by their event, which is a fixed text.",
            "Few. «unexpected» is an error in the program: its line names the exception and where it passed.",
            Runbook.WEB,
        ),
    ),
    counted(
        "Exceptions by type",
        f'sum by (exception) (count_over_time({OURS} | json exception="exception[0]" | exception != "" [{OVER}]))',
        "{{exception}}",
        words=Words(
            "Exceptions by their type. Their texts are never logged: they quote rows.",
            "None. OperationalError while the database is away.",
            Runbook.POSTGRES,
        ),
    ),
    counted(
        "Tasks that failed",
        f'sum by (task) (count_over_time({OURS} |= "task failed" | json task [{OVER}]))',
        "{{task}}",
        words=Words(
            "Background work that failed, by task.",
            "None. What failed for good is a line on /system.",
            Runbook.QUEUES,
        ),
    ),
)
READ = (
    lines(
        "Troubles",
        TROUBLE,
        words=Words(
            "The newest warnings and errors. A line's traceId opens its trace.",
            "Few, and each known.",
            Runbook.WEB,
        ),
    ),
    lines(
        "One act",
        f'{OURS} |= "$act"',
        words=Words(
            "Every line that holds the id in the field above: a request id, as error pages show it, or a trace id.",
            "The request, and the tasks it woke.",
            Runbook.WEB,
        ),
    ),
)


def build() -> Dashboard:
    return page(
        "logs",
        "Sigilo: logs",
        "What the processes say. Lines name routes, tasks and opaque ids, and no patient.",
        (("Counted", COUNTED), ("Read", READ)),
        (dashboard.TextBoxVariable("act").label("Request or trace id"),),
    )
