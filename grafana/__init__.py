"""The dashboards, as code: `python -m grafana` writes grafana/dashboards/*.json, committed for people to import.

They need grafana-foundation-sdk, at the build for Grafana 11.6 that pyproject.toml pins.
"""
