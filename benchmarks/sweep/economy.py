"""The economy of bytes: images per second of a full link and per megabyte, airtime and energy of an image.

The latency of one image at a time is mostly round trip, whatever its size. These figures are not: they are what a
device pays in a stream, to its network operator, and from its battery.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from overtone.benchmarks.sweep.headline import rivals
from overtone.benchmarks.sweep.study import ON_DEMAND, OURS, Pool, Study
from overtone.link.profiles import PROFILES
from overtone.link.radio import RADIOS, Exchange, Radio

# Titles by policy.
OVER_REST = {"auto": "Overtone, REST", "on_demand": "Overtone, REST, on demand"}
MEGABYTE = 1e6
# Seconds between images, for the average power.
EVERY = 60.0
# A stream that uses less of its link was held up by something else, so what it is compared with is not the link.
FULL = 0.9


@dataclass(frozen=True)
class Economy:
    """One contender on one link; None where it was not measured, or no radio is known.

    Attributes:
        per_second: images per second of the stream.
        busy: share of the link's rate, in its busier direction, that the stream used. Well below one, something else
            was the limit: the server, or how many images may be in flight.
        carried: images per second that the link could carry at its full rate, computed from the stream's bytes. It
            does not depend on the server.
        brownout: share of the stream that an overloaded server answered from low alone; None if there was none.
        per_megabyte: images per megabyte on the wire, both ways together, sent one at a time.
        airtime: seconds in which an image is being sent.
        energy, lingering: millijoules of an image sent alone, without the radio's tail and with it.
        streamed: millijoules of an image of the stream.
        average: milliwatts, tail included, with an image every `EVERY` seconds.
    """

    per_second: float | None = None
    busy: float | None = None
    carried: float | None = None
    brownout: float | None = None
    per_megabyte: float | None = None
    airtime: float | None = None
    energy: float | None = None
    lingering: float | None = None
    streamed: float | None = None
    average: float | None = None


@dataclass(frozen=True)
class Measure:
    """A row of the table.

    Attributes:
        attribute: of `Economy`.
        compared: whether a ratio means anything.
        of_full_links: whether it does so only if the rival's stream filled its link. If only ours did not, the ratio
            is less than the link's.
    """

    attribute: str
    title: str
    write: Callable[[float], str]
    compared: bool = True
    of_full_links: bool = False


def _significant(value: float) -> str:
    """Format a number with three significant digits at least."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _share(value: float) -> str:
    return f"{value:.0%}"


MEASURES = (
    Measure("per_second", "images per second, streamed", _significant, of_full_links=True),
    Measure("busy", "of the link's rate", _share, compared=False),
    Measure("carried", "images per second, computed for a full link", _significant),
    Measure("brownout", "answered in brown-out", _share, compared=False),
    Measure("per_megabyte", "images per megabyte", _significant),
    Measure("airtime", "ms of sending", lambda value: _significant(1e3 * value)),
    Measure("energy", "mJ, without the tail", _significant),
    Measure("lingering", "mJ, with the tail", _significant),
    Measure("streamed", "mJ, streamed", _significant, of_full_links=True),
    Measure("average", "mW, an image a minute", _significant),
)


@dataclass(frozen=True)
class LinkEconomy:
    """The contenders on one link, by title, and the titles of those that the others are compared with."""

    link: str
    contenders: dict[str, Economy]
    rivals: tuple[str, ...]

    def value(self, title: str, measure: Measure) -> float | None:
        """The measure's value for a contender, None if unknown."""
        found: float | None = getattr(self.contenders.get(title, Economy()), measure.attribute)
        return found

    def ratios(self, title: str, measure: Measure) -> list[float | None]:
        """A contender's value over each rival's, None where they cannot be compared; none at all for a rival."""
        own = self.value(title, measure)
        if title in self.rivals or own is None or not measure.compared:
            return []
        values = [self._comparable(rival, measure) for rival in self.rivals]
        return [own / value if value else None for value in values]

    def _comparable(self, rival: str, measure: Measure) -> float | None:
        busy = self.contenders[rival].busy
        idle = measure.of_full_links and (busy is None or busy < FULL)
        return None if idle else self.value(rival, measure)

    @property
    def measures(self) -> list[Measure]:
        """The measures that any contender has."""
        return [m for m in MEASURES if any(self.value(title, m) is not None for title in self.contenders)]


def economies(study: Study) -> list[LinkEconomy]:
    """The economy of every link on which a stream was measured, slowest first."""
    return [_of_link(study, link) for link in study.links_of("stream")]


def titles(found: list[LinkEconomy]) -> list[str]:
    """The contenders of all links, each once, Overtone first and the rivals last."""
    measured = dict.fromkeys(title for each in found for title in each.contenders)
    last = dict.fromkeys(title for each in found for title in each.rivals)
    first = [title for title in (OURS, ON_DEMAND, *OVER_REST.values()) if title in measured]
    return list(dict.fromkeys((*first, *(title for title in measured if title not in last), *last)))


def cell(each: LinkEconomy, title: str, measure: Measure) -> str:
    """A cell of the table: the value, and in brackets its ratios to the rivals' values."""
    value, ratios = each.value(title, measure), each.ratios(title, measure)
    if value is None:
        return ""
    shares = ", ".join("–" if ratio is None else f"×{ratio:.2f}" for ratio in ratios)
    return f"{measure.write(value)} ({shares})" if shares else measure.write(value)


def _of_link(study: Study, link: str) -> LinkEconomy:
    streams, alone = _contenders(study, link, "stream"), _contenders(study, link, "links")
    radio = study.plan.radios.get(link, RADIOS.get(link))
    every = dict.fromkeys((*streams, *alone))
    found = {title: _economy(streams.get(title), alone.get(title), radio) for title in every}
    # The baseline of equal accuracy first.
    return LinkEconomy(link, found, tuple(reversed(rivals(streams))))


def _contenders(study: Study, link: str, grid: str) -> dict[str, Pool]:
    """The contenders whose bytes on the wire were counted, Overtone over REST among them."""
    over_rest = [
        (title, pool)
        for policy, title in OVER_REST.items()
        for pool in study.of(grid, link=link, kind="rest", policy=policy, operating_point="")
    ]
    every = (*study.contenders(link, grid), *over_rest)
    return {title: pool for title, pool in every if pool.has("wire_up")}


def _economy(stream: Pool | None, alone: Pool | None, radio: Radio | None) -> Economy:
    found: dict[str, float | None] = {}
    if stream is not None:
        exchange = _streamed(stream)
        crossing = max(exchange.sending, exchange.receiving)
        found["per_second"], found["busy"] = stream.rate, crossing * stream.rate
        found["carried"] = 1 / crossing if crossing else None
        found["brownout"] = stream.values("stage").count("brownout") / stream.n or None
        found["streamed"] = radio.energy(exchange, tail=False) if radio else None
    if alone is not None:
        found["per_megabyte"] = MEGABYTE / (alone.mean("wire_up") + alone.mean("wire_down"))
        found |= _of_exchanges(_alone(alone), radio)
    return Economy(**found)


def _of_exchanges(exchanges: list[Exchange], radio: Radio | None) -> Mapping[str, float | None]:
    n = len(exchanges)
    found: dict[str, float | None] = {"airtime": sum(each.sending for each in exchanges) / n}
    if radio is not None:
        found["energy"] = sum(radio.energy(each, tail=False) for each in exchanges) / n
        found["lingering"] = sum(radio.energy(each, tail=True) for each in exchanges) / n
        averages = [radio.average(each, EVERY) for each in exchanges]
        known = [average for average in averages if average is not None]
        found["average"] = sum(known) / n if known else None
    return found


def _alone(pool: Pool) -> list[Exchange]:
    """The exchanges of images that were sent one at a time."""
    columns = (pool.column(name) for name in ("wire_up", "wire_down", "latency_ms"))
    link = PROFILES[pool.point.link]
    return [Exchange.over(link, up, down, 1e-3 * took) for up, down, took in zip(*columns, strict=True)]


def _streamed(pool: Pool) -> Exchange:
    """The mean image of a stream: its share of the bytes, and of the time."""
    up, down = pool.mean("wire_up"), pool.mean("wire_down")
    return Exchange.over(PROFILES[pool.point.link], up, down, 1 / pool.rate)
