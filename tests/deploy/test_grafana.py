from itertools import combinations

from tests.deploy.stack import DEPLOY, dashboard, expressions, metrics, names, read, recorded, services

GRAFANA = DEPLOY / "grafana"


def test_panels_show_series_that_exist() -> None:
    for expression in expressions():
        assert names(expression) <= metrics() | recorded(), expression


def test_panels_show_what_was_asked_for() -> None:
    shown = set().union(*map(names, expressions()))
    assert shown >= {
        "overtone:requests:rate1m",
        "overtone:answers:rate1m",
        "overtone:low:ratio1m",
        "overtone:received_bytes:rate1m",
        "overtone:queue_seconds:p99",
        "overtone:compute_seconds:p99",
        "overtone:batch_size:mean1m",
        "overtone:shed:rate1m",
        "overtone_queue_depth",
        "overtone_sessions",
        "overtone_state_hits_total",
        "overtone_state_misses_total",
    }


def test_panels_have_one_number_each_and_a_place_of_their_own() -> None:
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
    for one, other in combinations((panel["gridPos"] for panel in panels), 2):
        apart = (
            one["x"] + one["w"] <= other["x"]
            or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"]
            or other["y"] + other["h"] <= one["y"]
        )
        assert apart, (one, other)


def test_panels_ask_the_provisioned_source() -> None:
    (source,) = read(GRAFANA / "datasources.yml")["datasources"]
    asked = [panel["datasource"] for panel in dashboard()["panels"]]
    asked += [target["datasource"] for panel in dashboard()["panels"] for target in panel["targets"]]
    assert {(each["type"], each["uid"]) for each in asked} == {(source["type"], source["uid"])}
    assert source["url"] == "http://prometheus:9090"
    assert services()["prometheus"]["ports"][0].endswith(":9090")


def test_files_are_where_grafana_looks() -> None:
    mounted = dict(volume.split(":")[:2] for volume in services()["grafana"]["volumes"])
    (provider,) = read(GRAFANA / "dashboards.yml")["providers"]
    assert mounted["./deploy/grafana/dashboards"] == provider["options"]["path"]
    home = services()["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home == f"{provider['options']['path']}/overtone.json"
    for ours in mounted:
        if ours.startswith("./"):
            assert (DEPLOY.parent / ours).exists()
