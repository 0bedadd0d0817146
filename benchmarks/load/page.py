"""The tab "Overtone" on locust's web page: the figures of a load test as they change."""

import json
from collections.abc import Mapping
from typing import Any

from overtone.benchmarks.load.statistics import lines, summary

KEY = "overtone"
TAB = {"title": "Overtone", "key": KEY}
TABLE = {"key": KEY, "structure": [{"key": "name", "title": "Of all images"}, {"key": "value", "title": ""}]}
STATISTICS = "/stats/requests"


def add(environment: Any, busy: Mapping[str, float]) -> None:
    """Add the tab; `busy` is CPU use by worker, as a share of a core, read anew each time."""
    environment.web_ui.template_args |= {"extended_tabs": [TAB], "extended_tables": [TABLE]}

    @environment.web_ui.app.after_request  # type: ignore[untyped-decorator]
    def extend(response: Any) -> Any:
        from flask import request

        if request.path.endswith(STATISTICS) and response.is_json:
            table = {"key": KEY, "data": rows(environment.stats, busy)}
            response.set_data(json.dumps({**response.get_json(), "extended_stats": [table]}))
        return response


def rows(stats: Any, busy: Mapping[str, float]) -> list[dict[str, str]]:
    """The rows of the table."""
    generators = [
        (f"generator {name}: busy", f"{share:.0%} of a core") for name, share in sorted(busy.items())
    ]
    return [{"name": name, "value": value} for name, value in lines(summary(stats)) + generators]
