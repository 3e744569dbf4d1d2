"""Settings for all tests: examples of hypothesis may take their time.

How long one takes says how busy the machine is; that it is bounded, the tests say.
"""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("unhurried")
