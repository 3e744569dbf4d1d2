"""tailring_runtime, see ARCHITECTURE.md."""
