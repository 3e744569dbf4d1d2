"""tailring_otlpio, see ARCHITECTURE.md."""
