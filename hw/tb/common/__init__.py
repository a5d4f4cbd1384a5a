"""What the testbenches share: tools and builds, cases, streams."""
