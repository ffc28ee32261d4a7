"""What the three dashboards share: variables, links, annotations, and what may not be changed."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import (
    AnnotationQuery,
    Dashboard,
    DashboardLink,
    DatasourceVariable,
    QueryVariable,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    DataSourceRef,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

DATASOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
RUNBOOKS = "https://github.com/gradewatch/gradewatch/blob/main/docs/runbooks/README.md"
ANY = VariableOption(selected=True, text="All", value="$__all")


def frame(uid: str, title: str, description: str, *, queues: bool = True) -> Dashboard:
    """An empty dashboard: UTC, read-only, refreshed every 30 s, with links to the others."""
    board = (
        Dashboard(title)
        .uid(uid)
        .description(description)
        .tags(["gradewatch"])
        .timezone("utc")
        .readonly()
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .time("now-3h", "now")
        .refresh("30s")
        .with_variable(DatasourceVariable("datasource").label("Data source").type("prometheus"))
        .with_variable(_variable("namespace", "Namespace", "label_values(gradewatch_build_info, namespace)"))
    )
    if queues:
        query = 'label_values(gradewatch_queue_slo_seconds{namespace=~"$namespace"}, queue)'
        board = board.with_variable(_variable("queue", "Queue", query))
    others = DashboardLink("Gradewatch").type(DashboardLinkType.DASHBOARDS).tags(["gradewatch"])
    return (
        board.link(others.include_vars(True).keep_time(True))
        .link(DashboardLink("Runbooks").type(DashboardLinkType.LINK).icon("doc").url(RUNBOOKS).target_blank(True))
        .annotation(_repairs())
        .annotation(_alerts())
    )


def _variable(name: str, label: str, query: str) -> QueryVariable:
    return (
        QueryVariable(name)
        .label(label)
        .query(query)
        .datasource(DATASOURCE)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")  # also what has no such label: a Prometheus that sets no namespace
        .current(ANY)
    )


def _repairs() -> AnnotationQuery:
    return _annotation(
        "Repairs",
        "green",
        "sum by (action, outcome) (increase(gradewatch_remediations_total"
        '{namespace=~"$namespace", outcome=~"applied|failed"}[$__rate_interval])) > 0',
    )


def _alerts() -> AnnotationQuery:
    expr = 'ALERTS{alertname=~"Gradewatch.+", namespace=~"$namespace", alertstate="firing", severity="page"}'
    return _annotation("Pages", "red", expr)


def _annotation(name: str, colour: str, expr: str) -> AnnotationQuery:
    return AnnotationQuery().name(name).datasource(DATASOURCE).enable(True).icon_color(colour).expr(expr)
