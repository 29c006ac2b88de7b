"""A clinic under load: a hundred people in mixed roles at a whole installation. ``make load``."""
