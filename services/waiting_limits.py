"""How long somebody may wait before a list says that it is too long."""

from __future__ import annotations

# Minutes by priority. Manchester's times (Grupo Brasileiro de Classificação de Risco) for orange, green and blue;
# red is to be seen at once, which after five minutes did not happen.
LIMIT_MINUTES = {"CRITICAL": 5, "HIGH": 10, "NORMAL": 120, "LOW": 240}
