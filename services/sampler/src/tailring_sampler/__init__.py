"""tailring_sampler, see ARCHITECTURE.md."""
