"""tailring_otlpwire, see ARCHITECTURE.md."""
