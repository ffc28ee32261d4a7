"""Kubernetes over plain JSON: no client library in the cluster, and only to read a kubeconfig outside of one."""

from gradewatch.platforms.kubernetes.platform import KubernetesPlatform

__all__ = ["KubernetesPlatform"]
