"""What a language model is asked, for each of the three uses, and what of its answer may be shown.

Each use is a module with the same three functions: ``build`` (inputs → prompt without identifiers), ``check`` (answer →
what may be shown) and ``by_rules`` (the answer without a model, with the same schema and citations). Inputs are first
``prepared``: cut to what fits and freed of identifiers. ``check`` and ``by_rules`` take those, and what they give has
pseudonyms that ``put_back`` resolves for whoever may see it.
"""
