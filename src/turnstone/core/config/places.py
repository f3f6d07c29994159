"""Where settings start from: the home directory, the configuration file, the default paths.

Works on names alone; reads neither disk nor process.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from turnstone.core.config.table import CONFIG_VARIABLE, Setting
from turnstone.core.config.values import WrongValue
from turnstone.core.errors import ConfigurationError

#: The flag that names the configuration file; it is no setting, and every program has it.
CONFIG_FLAG: Final = "--config"


@dataclass(frozen=True, slots=True)
class Places:
    env: Mapping[str, str]
    given_home: Path | None
    cwd: Path

    def named_file(self, flag: object) -> tuple[Path, str] | None:
        """The configuration file that somebody has named, and by what; it must exist."""
        if flag is not None:
            origin, named = CONFIG_FLAG, str(flag)
        elif self.env.get(CONFIG_VARIABLE):
            origin, named = f"the variable {CONFIG_VARIABLE}", self.env[CONFIG_VARIABLE]
        else:
            return None
        try:
            return self.resolve(named, self.cwd), origin
        except ValueError as error:
            raise ConfigurationError(f'"{named}" in {origin} must be {error}.') from error

    def usual_file(self) -> Path | None:
        """The configuration file that is read when none is named, and that may be missing."""
        base = self._base("XDG_CONFIG_HOME", ".config")
        return base / "turnstone" / "config.toml" if base else None

    def derived(self, row: Setting, *, needed: bool) -> Path:
        """The default of a setting that depends on the machine.

        WrongValue if there is none and it is `needed`; else some path that nobody will use.
        """
        if row.name == "tools.workspace":
            return self.cwd
        data = self._base("XDG_DATA_HOME", ".local/share")
        if data is None and needed:
            raise WrongValue("not set", f"set, as with {row.flag} FILE")
        data = data or self.cwd
        return data / "turnstone" / "turnstone.db"

    def resolve(self, text: str, base: Path) -> Path:
        """An absolute path. ValueError, in words, where `~` cannot be told."""
        if text != "~" and not text.startswith("~/"):
            return base / text
        home = self._home()
        if home is None:
            raise ValueError("an absolute path, since HOME is not set")
        return home / text[2:]

    def _base(self, variable: str, below_home: str) -> Path | None:
        given = Path(self.env.get(variable) or ".")
        if given.is_absolute():  # the XDG specification has relative ones ignored
            return given
        home = self._home()
        return home / below_home if home else None

    def _home(self) -> Path | None:
        return self.given_home or (Path(self.env["HOME"]) if self.env.get("HOME") else None)
