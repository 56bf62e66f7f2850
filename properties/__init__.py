"""Every default in one place: YAML property files for models, datasets and benchmarks."""
