"""The web server's entry: load the settings, build the application, nothing else."""

from loading import loading

with loading():
    from config import load_settings
    from web.app import make_app

    app = make_app(load_settings())
