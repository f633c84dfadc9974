"""How long each dashboard's queries take on a day of data: `nox -s bench -- dashboards`."""
