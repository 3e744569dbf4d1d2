"""tailring_cli, see ARCHITECTURE.md."""
