"""tailring_hashring, see ARCHITECTURE.md."""
