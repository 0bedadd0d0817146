"""The report of a sweep: one page that needs no other file, and its figures as PNGs."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from overtone.benchmarks import plot_style as style
from overtone.benchmarks.load.baseline import Baseline
from overtone.benchmarks.sweep import economy, figures, link_figures
from overtone.benchmarks.sweep.headline import headlines
from overtone.benchmarks.sweep.results import ResultFile
from overtone.benchmarks.sweep.study import KNEE, NEAR, OURS, SAMPLE, Study, knee
from overtone.edge_client.policy import UNASKED
from overtone.link.profiles import PROFILES

PAGE = "report.html"
TEMPLATE = Path(__file__).parent / PAGE
# Load average per core, before the sweep began, above which its latencies are not worth much.
BUSY_MACHINE = 0.5


def write(file: ResultFile, folder: Path) -> Path:
    """Draw the figures and write the page; its path.

    Raises:
        ValueError: there are no results to report.
    """
    study = Study(file)
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "ms": style.milliseconds,
        "link_name": style.link_name,
        "link_title": style.link_title,
        "number": lambda value: f"{value:,.0f}",
        "ratio": lambda value: f"×{value:.2f}",
        "percent": lambda value, digits=0: f"{value:.{digits}%}",
    }
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    drawn = {name: Markup(svg) for name, svg in figures.draw(study, folder).items()}
    page = folder / PAGE
    page.write_text(template.render(figures=drawn, **content(study)), encoding="utf-8")
    return page


def content(study: Study) -> dict[str, Any]:
    """The values in the page's template, except the figures."""
    policies, fleets, economies = study.policies(), study.fleets(), economy.economies(study)
    names = (name for name in link_figures.POLICY_COLOURS if any(name in each.latency for each in policies))
    contenders = {link: study.contenders(link) for link in study.links}
    return {
        "study": study,
        "about": study.about,
        "busy_machine": study.load > BUSY_MACHINE * study.about["machine"]["cores"],
        "headlines": headlines(study),
        "equal": Baseline.parse(study.plan.equal).title if study.plan.equal else "",
        # By link, Overtone if it was measured, and all contenders.
        "tables": {link: (dict(each).get(OURS), each) for link, each in contenders.items()},
        "policies": policies,
        "policy_names": list(names),
        "near": NEAR,
        "limit": UNASKED + SAMPLE,
        "economies": economies,
        "economy_titles": economy.titles(economies),
        "cell": economy.cell,
        "in_flight": sorted({pool.point.in_flight for pool in study.of("stream")}),
        "full": economy.FULL,
        "fleets": fleets,
        "knee": knee(fleets),
        "knee_factor": KNEE,
        "measured_links": list(dict.fromkeys((*contenders, *study.links_of("stream")))),
        "profiles": PROFILES,
    }
