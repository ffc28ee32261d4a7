"""Kubernetes manifests, and the part of them that is written from prometheus/ and grafana/."""
