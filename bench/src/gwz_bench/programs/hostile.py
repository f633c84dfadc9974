"""What strangers can do to /metrics: `python -m gwz_bench.programs.hostile VARIANT VALUES`.

First one ordinary request of each kind, then as many invented values of each kind as asked for; the answer
says how many label sets each metric has gained by each kind.
"""

import asyncio
import json
import sys

from gwz_bench.apps import mixed_app
from gwz_bench.drive import Ask, fetch, started, visit
from gwz_bench.scrape import grown, label_sets
from gwz_bench.variants import VARIANTS

HTTP_METRICS = ("fastapi_", "http_", "starlette_")
ORDINARY = (Ask("/items/1"), Ask("/stream"), Ask("/mount/acme/items/1"))


def attacks(values: int) -> dict[str, list[Ask]]:
    """Requests with `values` invented values each."""
    numbers = range(values)
    return {
        "path": [Ask(f"/nobody/has/{number}") for number in numbers],
        "method": [Ask("/items/1", method=f"INVENT{number}") for number in numbers],
        "host": [Ask("/items/1", host=f"tenant{number}.example.net".encode()) for number in numbers],
        "mount parameter": [Ask(f"/mount/tenant{number}/items/1") for number in numbers],
    }


async def attacked(variant: str, values: int) -> dict[str, dict[str, int]]:
    """The label sets that each metric gains, by kind of attack."""
    app = mixed_app()
    VARIANTS[variant](app, "")
    found = {}
    async with started(app):
        await visit(app, ORDINARY)
        before = label_sets(await fetch(app, "/metrics"), HTTP_METRICS)
        for kind, asks in attacks(values).items():
            await visit(app, asks)
            after = label_sets(await fetch(app, "/metrics"), HTTP_METRICS)
            found[kind] = grown(before, after)
            before = after
    return found


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(attacked(sys.argv[1], int(sys.argv[2])))) + "\n")
