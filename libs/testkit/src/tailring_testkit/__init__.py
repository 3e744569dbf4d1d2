"""tailring_testkit, see ARCHITECTURE.md."""
