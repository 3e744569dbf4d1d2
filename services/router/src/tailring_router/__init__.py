"""tailring_router, see ARCHITECTURE.md."""
