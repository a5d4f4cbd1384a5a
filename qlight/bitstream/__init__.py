"""Registry of bitstreams: what each overlay is, whether it was built or loaded, and checks of its files."""
