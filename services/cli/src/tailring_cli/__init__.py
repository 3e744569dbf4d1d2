"""The `tailring` command for a workstation; `__main__` is the way in."""
