"""Settings and wiring: what the operator wrote becomes each room's own settings, and the works.

    settings = load(config_file)      # TOML and environment, checked
    works = build(settings)           # store, inbox, mailer, composer, routines, rules

Only this room reads the environment.
"""

from worker.config.settings import Settings, SettingsError, load

__all__ = ["Settings", "SettingsError", "load"]
