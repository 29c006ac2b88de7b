"""The local PostgreSQL and Redis behind ``make run``, and the runner that keeps everything alive.

Production brings its own servers and uses nothing of this package.
"""
