"""What `deploy/bootstrap` and `deploy/host` do, by the standard library alone: a server may have nothing else yet."""
