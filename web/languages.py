"""Which language a page speaks: as chosen in this browser, else the user's, else the browser's, else Portuguese."""

from __future__ import annotations

from pathlib import Path

from flask import Flask, g, request
from flask_babel import Babel, get_locale

from config import Settings
from web.phrases import register_phrases

LANGUAGES = {"pt_BR": "Português", "en": "English"}
DEFAULT = "pt_BR"
TRANSLATIONS = Path(__file__).parent / "translations"


def language_cookie(settings: Settings) -> str:
    return "__Host-sigilo-language" if settings.is_production else "sigilo-language"


def register_languages(app: Flask, settings: Settings) -> None:
    name = language_cookie(settings)
    app.config["BABEL_TRANSLATION_DIRECTORIES"] = str(TRANSLATIONS)
    app.config["BABEL_DEFAULT_LOCALE"] = DEFAULT

    def choose() -> str:
        identity = g.get("identity")
        chosen = request.cookies.get(name) or (None if identity is None else identity.locale)
        if chosen in LANGUAGES:
            return chosen
        tags = ["pt-BR", "pt", "en"]
        best = request.accept_languages.best_match(tags, default="pt-BR")
        return "en" if best == "en" else DEFAULT

    Babel(app, locale_selector=choose, timezone_selector=lambda: settings.clinic_timezone)
    register_phrases(app)
    app.jinja_env.globals.update(languages=LANGUAGES, get_locale=get_locale)
