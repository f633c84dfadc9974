"""Our routes in the tree of notification policies, and all others, which stay as they are."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from gwz_provision.normalise import is_our_route
from gwz_provision.resources import Json, canonical


def merged(tree: Json, routes: list[Json]) -> Json:
    """Put our routes in the place of those that we had, else before all others; what is not ours stays as it is."""
    ours = [item for item in tree.get("routes") or [] if is_our_route(item)]
    nested = {catch(item): item["routes"] for item in ours if item.get("routes")}
    put = [{**item, **({"routes": nested[catch(item)]} if catch(item) in nested else {})} for item in routes]
    result: list[Json] = []
    for item in tree.get("routes") or []:
        if not is_our_route(item):
            result.append(item)
        elif put:
            result += put
            put = []
    whole = {**tree, "routes": [*put, *result]}
    return (
        whole
        if whole["routes"] or "routes" in tree
        else {key: value for key, value in whole.items() if key != "routes"}
    )


def losing(tree: Json, keep: Collection[str]) -> tuple[str, str] | None:
    """Say which of our routes would go with others inside it, and what to do."""
    for item in tree.get("routes") or []:
        if is_our_route(item) and item.get("routes") and catch(item) not in keep:
            return (
                f"Our route to {item.get('receiver')} would be removed, and holds {len(item['routes'])} that are not ours",
                "Move those out of it",
            )
    return None


def catch(route: Mapping[str, Any]) -> str:
    """Tell routes apart by what they catch and where they send it."""
    return canonical([route.get("receiver"), sorted(list(matcher) for matcher in route.get("object_matchers") or [])])


def foreign_receivers(route: Mapping[str, Any]) -> Iterator[str]:
    """List the receivers of the routes that are not ours, and of what is inside ours."""
    if not is_our_route(route):
        yield str(route.get("receiver", ""))
    for item in route.get("routes") or []:
        yield from foreign_receivers(item)
