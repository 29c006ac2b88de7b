"""``sigilo preflight``: the original analysis's lists for before, during and after a deployment, as checks that are
made rather than boxes that are ticked."""
