"""The web server's entry: load the settings, build the application, nothing else."""

import gc

# What loading makes stays for the process' life. Collecting in between takes a fifth of a start and finds next to
# nothing, a thousand objects of 275,000; frozen, they are never looked through again.
gc.disable()

from config import load_settings  # noqa: E402
from web.app import make_app  # noqa: E402

app = make_app(load_settings())

gc.freeze()
gc.enable()
