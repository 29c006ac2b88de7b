"""Backups: dumped, packed, encrypted, stored, listed in a signed manifest, and restored to prove it."""
