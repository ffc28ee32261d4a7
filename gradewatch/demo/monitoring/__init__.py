"""A Prometheus and an Alertmanager of one's own, with the shipped rules, beside a Gradewatch that runs for a minute."""

from gradewatch.demo.monitoring.configs import alertmanager_config, prometheus_config, scaled_rules
from gradewatch.demo.monitoring.files import monitoring_folder
from gradewatch.demo.monitoring.servers import Stack, free_port, missing_programs

__all__ = [
    "Stack",
    "alertmanager_config",
    "free_port",
    "missing_programs",
    "monitoring_folder",
    "prometheus_config",
    "scaled_rules",
]
