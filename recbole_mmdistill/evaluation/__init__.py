"""Side-by-side benchmarks: one YAML of studies in, trials on disk, a report out."""
