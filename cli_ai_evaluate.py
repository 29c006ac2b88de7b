"""``sigilo ai evaluate``: language models compared with rules, on invented patients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click
import orjson
from sqlalchemy.orm import Session

from cli_progress import progress_of
from config import Principal, Settings
from config_urls import check_model_name
from embedded.installation import running_settings, session_as

if TYPE_CHECKING:
    from services.ai_evaluate import CodeText
    from services.cid10_evaluation import Recall

OWN_TABLE, SHIPPED_TABLE = "the clinic's table", "the codes shipped for the demo"


@click.command("evaluate")
@click.option("--model", "names", multiple=True, help="A model that Ollama has; may be given several times.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def evaluate(names: Sequence[str], as_json: bool) -> None:
    """Compare models with the rules that do the work without one, on the shipped set of invented patients."""
    from integrations.ollama import NOT_SET, make_language_model
    from services.ai_evaluate import evaluate as evaluate_one
    from services.ai_scores import as_table

    settings = running_settings()
    models = []
    for name in names:
        try:
            check_model_name(name)
        except ValueError as error:
            raise click.ClickException(str(error)) from None
        model = make_language_model(settings, name=name, patience=settings.ai_timeout_seconds, gives_way=True)
        if model is None:
            raise click.ClickException(NOT_SET)
        model.info()  # one that is missing is said before an hour goes by
        models.append((name, model))
    recall, texts, table = _codes(settings)
    scores = []
    for title, answerer in [("Rules", None), *models]:
        with progress_of(f"Evaluating {title}") as progress:
            scores.append(evaluate_one(answerer, texts, progress=progress))
    if as_json:
        found = {"recallAt5": recall.value, "reciprocalRank": recall.reciprocal_rank, "table": table}
        document = {"cid10Search": found, "models": [score.as_json() for score in scores]}
        click.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2))
        return
    click.echo(as_table(scores))
    click.echo(f"CID-10 candidate search: {recall}, over {table}")
    click.echo("The first column is what rules do without a model: the baseline.")
    click.echo(f"{scores[0].asked} questions, {len(scores)} compared")


def _codes(settings: Settings) -> tuple[Recall, list[CodeText], str]:
    """How often our own search has the right code among five, texts with what it finds, and in which table. Where none
    is in force, the demo's codes are put there for the measuring, and taken back with the transaction."""
    from services.cid10_codes import release_in_force
    from services.demo_cid10 import put_demo_table

    with session_as(settings, Principal.STAFF) as session:
        release = release_in_force(session)
        if release is not None:
            return *_measured(session), SHIPPED_TABLE if release.origin == "DEMO" else OWN_TABLE
    with session_as(settings, Principal.MIGRATOR) as session:
        put_demo_table(session)
        measured = _measured(session)
        session.rollback()
        return *measured, SHIPPED_TABLE


def _measured(session: Session) -> tuple[Recall, list[CodeText]]:
    from services.ai_evaluate import CANDIDATES_MAX, CodeText
    from services.cid10_evaluation import cases, recall
    from services.cid10_search import search

    texts = []
    for text, code in cases():
        found = search(session, text, limit=CANDIDATES_MAX)
        texts.append(CodeText(text, code, tuple((each.code, each.title) for each in found)))
    return recall(session), texts
