"""What deploy/switch does. The standard library alone, Python 3.9 or later: it runs on the host, beside Docker."""
