"""Tier 1, see ARCHITECTURE.md; `app` wires it, `__main__` is the way in."""
