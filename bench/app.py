"""The benchmark's web application, loaded as ``wsgi.py`` loads Sigilo's: what that makes is never looked through for
garbage."""

from loading import loading

with loading():
    from bench.yardsticks import app

__all__ = ["app"]
