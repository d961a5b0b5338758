"""Environment → frozen `Settings`; every wrong variable is named at once.

`variables.py` says what there is to set, `model.py` what comes of it. `environment.py` reads: the variables by `checks.py`,
the TOML file by `file.py`, the keys of a first run by `keys.py`. `table.py` shows them to people.
"""

from service.settings.environment import Reach, load, reach
from service.settings.file import ACCOUNT_KEYS
from service.settings.model import AccountSettings, Settings, keys_path, local_url
from service.settings.table import shown
from service.settings.variables import PROVIDERS, VARIABLES, Variable

__all__ = [
    "ACCOUNT_KEYS",
    "PROVIDERS",
    "VARIABLES",
    "AccountSettings",
    "Reach",
    "Settings",
    "Variable",
    "keys_path",
    "load",
    "local_url",
    "reach",
    "shown",
]
