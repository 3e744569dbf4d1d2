"""What every Tailring process stands on: configuration, logs, metrics, health, life.

Nothing is imported here, so that a fast command (`healthcheck`) pays only for what it
uses. The doors are the modules themselves: `config`, `settings`, `metrics`, `logs`,
`tasks`, `health`, `lifecycle`, `process`, `address` and `command`.
"""
