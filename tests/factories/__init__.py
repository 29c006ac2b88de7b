"""Small builders of rows for tests. Each gives what it made and commits."""
