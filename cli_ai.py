"""``sigilo ai``: the language models that Ollama runs on a machine of one's own (OLLAMA_URL)."""

from __future__ import annotations

import click

from cli_progress import progress_of, size_of
from config_urls import check_model_name
from embedded.installation import running_settings


@click.group()
def ai() -> None:
    """Language models on a machine of your own: none of them is needed."""


@ai.command("pull")
@click.argument("model", required=False)
def ai_pull(model: str | None) -> None:
    """Bring MODEL (AI_MODEL when not given) from Ollama's library. Begun again, it goes on where it was."""
    from integrations.ollama import make_server
    from integrations.ollama.server import tagged

    settings = running_settings()
    server = make_server(settings)
    name = model or settings.ai_model
    try:
        check_model_name(name)
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    with progress_of(f"Pulling {name}", is_in_bytes=True) as progress:
        pulled = server.pull(name, progress)
    click.echo(f"{pulled.name}: {size_of(pulled.size)}, sha256 {pulled.digest}")
    if tagged(settings.ai_model) != pulled.name:
        click.echo(f"AI_MODEL is {settings.ai_model}: set it to {pulled.name} to use this one.", err=True)


@ai.command("models")
def ai_models() -> None:
    """List the models that are there: name, digest, size, and which one is configured."""
    from integrations.ollama import make_server
    from integrations.ollama.server import tagged

    settings = running_settings()
    configured = tagged(settings.ai_model)
    models = make_server(settings).models()
    for model in models:
        mark = "  configured" if model.name == configured else ""
        click.echo(f"{model.name:32}  {model.digest[:12]}  {size_of(model.size):>10}{mark}")
    click.echo(f"{len(models)} models", err=True)
    if configured not in {model.name for model in models}:
        click.echo(f"AI_MODEL is {configured}, which is not there: run `sigilo ai pull`", err=True)
