"""No example may fail for being slow: timing never decides a test."""

from hypothesis import HealthCheck, settings

settings.register_profile("no_timing", deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("no_timing")
