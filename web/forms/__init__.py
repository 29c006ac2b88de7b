"""HTML forms as the API's bodies: one set of models decides what is right, whoever sends it."""
