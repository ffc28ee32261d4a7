"""The manifests are what Kubernetes takes, and no more than they need to be."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from real_parts import need
from rendering import OVERLAYS, ROOT, Rendered, containers, pods

from gradewatch.config import PlatformSettings, load
from gradewatch.config.keys import reader_of
from gradewatch.config.variables import path_of
from gradewatch.platforms.identity import INCARNATION, TARGET
from gradewatch.platforms.kubernetes.rights import needs
from gradewatch.platforms.kubernetes.workload import place_of
from gradewatch.version import __version__
from gradewatch.worker.runtime import STOP_HEARTBEAT, STOP_JOBS, STOP_SESSION, STOP_WRITES

VERSIONS = ("1.37.0", "1.30.0")
OPERATORS = {"PodMonitor", "PrometheusRule", "ScaledObject"}  # their schemas come with their operators
OURS = ("sidecar", "standalone", "worker")


def rights(*, scale_up: bool) -> dict[tuple[str, str, str], set[str]]:
    """What the watch asks for: (group, resource, name) to verbs."""
    place = place_of(PlatformSettings().deployment, "grading")
    found: dict[tuple[str, str, str], set[str]] = {}
    for right in needs(place, PlatformSettings().lease, scale_up=scale_up):
        resource = f"{right.resource}/{right.subresource}" if right.subresource else right.resource
        found.setdefault((right.group, resource, right.name), set()).add(right.verb)
    return found


def granted(role: dict) -> dict[tuple[str, str, str], set[str]]:
    found: dict[tuple[str, str, str], set[str]] = {}
    for rule in role["rules"]:
        [group], [resource] = rule["apiGroups"], rule["resources"]
        [name] = rule.get("resourceNames", [""])
        found.setdefault((group, resource, name), set()).update(rule["verbs"])
    return found


def settings(rendered: Rendered, folder: Path):
    (folder / "gradewatch.toml").write_text(rendered.named("ConfigMap", "gradewatch")["data"]["gradewatch.toml"])
    loaded = load(environ={}, cwd=folder)
    assert (loaded.errors, loaded.warnings) == ((), ())
    return loaded.settings


def ports_of(pod: dict) -> dict[str, int]:
    return {p["name"]: p["containerPort"] for c in containers(pod["spec"]) for p in c.get("ports", [])}


# ---------------------------------------------------------------- schemas


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_document_is_one_that_kubernetes_takes(render, overlay: str, version: str) -> None:
    rendered = render(overlay)
    assert rendered.documents
    for document in rendered.documents:
        if document["kind"] not in OPERATORS:
            kubernetes_validate.validate(document, version, strict=True)
        assert document["metadata"]["labels"]["app.kubernetes.io/part-of"] == "gradewatch"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_no_document_names_a_namespace_or_carries_a_secret(render, overlay: str) -> None:
    for document in render(overlay).documents:
        assert "namespace" not in document["metadata"]
        assert document["kind"] != "Secret"


def test_what_is_wrong_is_noticed(render) -> None:
    """The check itself: a field that no version knows is refused."""
    document = yaml.safe_load(yaml.safe_dump(render("worker").one("Deployment")))
    document["spec"]["template"]["spec"]["containers"][0]["livenessProb"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(document, VERSIONS[0], strict=True)


def test_overlays_go_together(tmp_path: Path, render_folder) -> None:
    """One kustomization of somebody's own, over what they chose."""
    for first in ("standalone", "sidecar"):
        folder = ROOT / ".artifacts" / f"k8s-{first}"
        folder.mkdir(parents=True, exist_ok=True)
        resources = "".join(f"  - ../../k8s/overlays/{o}\n" for o in (first, "monitoring", "keda"))
        (folder / "kustomization.yaml").write_text(
            "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nnamespace: grading\n"
            f"resources:\n{resources}components:\n  - ../../k8s/components/scale-up\n"
        )
        try:
            rendered = render_folder(folder)
        finally:
            shutil.rmtree(folder)
        assert {d["metadata"]["namespace"] for d in rendered.documents} == {"grading"}
        assert rendered.one("RoleBinding")["subjects"][0]["namespace"] == "grading"
        assert granted(rendered.one("Role")) == rights(scale_up=True)
        assert rendered.named("ConfigMap", "gradewatch-platform")["data"]["GRADEWATCH_PLATFORM__SCALE_UP"] == "true"


# ---------------------------------------------------------------- least privilege


@pytest.mark.parametrize("overlay", OURS)
def test_every_container_is_confined(render, overlay: str) -> None:
    for name, pod in pods(render(overlay).documents):
        spec, general = pod["spec"], pod["spec"]["securityContext"]
        assert general["runAsNonRoot"] is True, name
        assert general["runAsUser"] >= 10000
        assert general["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["enableServiceLinks"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
        for container in containers(spec):
            own = container["securityContext"]
            assert own["allowPrivilegeEscalation"] is False
            assert own["readOnlyRootFilesystem"] is True
            assert own["capabilities"] == {"drop": ["ALL"]}
            assert "/tmp" in {m["mountPath"] for m in container["volumeMounts"]}
            resources = container["resources"]
            assert resources["requests"].keys() == {"cpu", "memory"}
            assert resources["limits"].keys() == {"memory"}, "a CPU limit would starve a worker that reads pages"


@pytest.mark.parametrize("overlay", OURS)
def test_only_the_watch_has_a_token_and_its_rights_are_these(render, overlay: str) -> None:
    rendered = render(overlay)
    for account in rendered.all("ServiceAccount"):
        assert account["automountServiceAccountToken"] is False
    with_token = []
    for _, pod in pods(rendered.documents):
        assert pod["spec"]["automountServiceAccountToken"] is False
        for container in containers(pod["spec"]):
            mounts = {m["mountPath"]: m for m in container["volumeMounts"]}
            if "/var/run/secrets/kubernetes.io/serviceaccount" in mounts:
                with_token.append((container["name"], pod["spec"]["serviceAccountName"]))
    assert with_token == ([] if overlay == "worker" else [("watch", "gradewatch-watch")])
    if overlay == "worker":
        assert rendered.all("Role") == rendered.all("RoleBinding") == []
        return
    assert granted(rendered.one("Role")) == rights(scale_up=False)
    assert rendered.one("RoleBinding")["subjects"] == [{"kind": "ServiceAccount", "name": "gradewatch-watch"}]
    assert rendered.one("RoleBinding")["roleRef"]["name"] == rendered.one("Role")["metadata"]["name"]


@pytest.mark.parametrize("overlay", OURS)
def test_the_token_is_short_lived_and_whole(render, overlay: str) -> None:
    for _, pod in pods(render(overlay).documents):
        for volume in pod["spec"]["volumes"]:
            if "projected" in volume:
                paths = set()
                for source in volume["projected"]["sources"]:
                    [(kind, value)] = source.items()
                    paths |= {value["path"]} if kind == "serviceAccountToken" else {i["path"] for i in value["items"]}
                assert paths == {"token", "ca.crt", "namespace"}


# ---------------------------------------------------------------- probes and stops


@pytest.mark.parametrize("overlay", OURS)
def test_probes_ask_what_they_should_of_the_port_that_is_there(render, overlay: str) -> None:
    for _, pod in pods(render(overlay).documents):
        for container in containers(pod["spec"]):
            own = {p["name"] for p in container["ports"]}
            paths = {kind: container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")}
            assert {g["port"] for g in paths.values()} == own
            start = "/startupz" if container["name"] == "watch" else "/livez"
            assert {k: g["path"] for k, g in paths.items()} == {
                "startup": start, "liveness": "/livez", "readiness": "/readyz",
            }  # fmt: skip


@pytest.mark.parametrize("overlay", OURS)
def test_a_busy_worker_has_minutes_before_it_is_restarted(render, overlay: str) -> None:
    [worker] = [c for _, p in pods(render(overlay).documents) for c in containers(p["spec"]) if c["name"] == "worker"]
    probe = worker["livenessProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] >= 120
    assert probe["timeoutSeconds"] >= 5
    assert worker["startupProbe"]["periodSeconds"] * worker["startupProbe"]["failureThreshold"] >= 60


@pytest.mark.parametrize("overlay", OURS)
def test_a_pod_may_take_longer_to_stop_than_a_worker_drains(render, overlay: str, tmp_path: Path) -> None:
    rendered = render(overlay)
    stop = settings(rendered, tmp_path).worker.drain + STOP_JOBS + STOP_WRITES + STOP_SESSION + STOP_HEARTBEAT
    spec = rendered.one("Deployment", "gradewatch-worker")["spec"]["template"]["spec"]
    assert spec["terminationGracePeriodSeconds"] >= stop + 10
    assert "preStop" not in str(spec)


# ---------------------------------------------------------------- settings, names and ports agree


@pytest.mark.parametrize("overlay", OURS)
def test_settings_and_variables_are_settings_and_ports_are_those_listened_on(
    render, overlay: str, tmp_path: Path
) -> None:
    rendered = render(overlay)
    known = settings(rendered, tmp_path)
    assert known.http.host == "0.0.0.0"
    listens = {"watch": known.http.port, "worker": known.worker.http_port}
    extra = [d["data"] for d in rendered.all("ConfigMap") if "gradewatch.toml" not in d["data"]]
    for _, pod in pods(rendered.documents):
        assert ports_of(pod).items() <= listens.items()
        for container in containers(pod["spec"]):
            assert container["args"] == [container["name"]]
            names = {e["name"] for e in container["env"]} | {key for data in extra for key in data}
            for name in names - {"GRADEWATCH_CONFIG", TARGET, INCARNATION}:
                assert reader_of(path_of(name) or ("",)), f"{name} is no setting"
            [config] = [e["value"] for e in container["env"] if e["name"] == "GRADEWATCH_CONFIG"]
            [mount] = [m for m in container["volumeMounts"] if m["name"] == "settings"]
            assert config == f"{mount['mountPath']}/gradewatch.toml"
            [volume] = [v for v in pod["spec"]["volumes"] if v["name"] == "settings"]
            assert volume["configMap"]["name"] == rendered.named("ConfigMap", "gradewatch")["metadata"]["name"]


@pytest.mark.parametrize("overlay", OURS)
def test_a_worker_says_which_pod_and_which_life_it_is(render, overlay: str) -> None:
    [worker] = [c for _, p in pods(render(overlay).documents) for c in containers(p["spec"]) if c["name"] == "worker"]
    fields = {
        e["name"]: e["valueFrom"]["fieldRef"]["fieldPath"]
        for e in worker["env"]
        if "fieldRef" in e.get("valueFrom", {})
    }
    assert fields == {TARGET: "metadata.name", INCARNATION: "metadata.uid"}


@pytest.mark.parametrize("overlay", ["sidecar", "standalone"])
def test_the_watch_is_told_its_platform(render, overlay: str, tmp_path: Path) -> None:
    rendered = render(overlay)
    (tmp_path / "gradewatch.toml").write_text(rendered.named("ConfigMap", "gradewatch")["data"]["gradewatch.toml"])
    loaded = load(environ=rendered.named("ConfigMap", "gradewatch-platform")["data"], cwd=tmp_path)
    assert (loaded.errors, loaded.warnings) == ((), ())
    platform = loaded.settings.platform
    assert platform.kind == "kubernetes"
    worker = rendered.one("Deployment", platform.deployment)["spec"]["template"]
    assert worker["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"] == "worker"
    assert platform.container in ("", "worker")
    mounts = {
        m["mountPath"] for _, p in pods(rendered.documents) for c in containers(p["spec"]) for m in c["volumeMounts"]
    }
    assert platform.service_account in mounts


def test_the_sidecar_is_a_native_one_that_starts_before_the_worker_and_ends_after_it(render) -> None:
    spec = render("sidecar").one("Deployment")["spec"]["template"]["spec"]
    [watch] = spec["initContainers"]
    assert (watch["name"], watch["restartPolicy"]) == ("watch", "Always")
    assert [c["name"] for c in spec["containers"]] == ["worker"]


def test_a_watch_of_its_own_runs_twice_and_apart(render) -> None:
    rendered = render("standalone")
    watch = rendered.one("Deployment", "gradewatch-watch")
    assert watch["spec"]["replicas"] == 2
    keys = {c["topologyKey"] for c in watch["spec"]["template"]["spec"]["topologySpreadConstraints"]}
    assert keys == {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}
    assert rendered.one("PodDisruptionBudget", "gradewatch-watch")["spec"]["minAvailable"] == 1


@pytest.mark.parametrize("overlay", OURS)
def test_every_selector_finds_pods_and_every_port_is_one_of_theirs(render, overlay: str) -> None:
    rendered = render(overlay)
    templates = [pod for _, pod in pods(rendered.documents)]

    def chosen(labels: dict[str, str]) -> list[dict]:
        return [p for p in templates if labels.items() <= p["metadata"]["labels"].items()]

    for deployment in rendered.all("Deployment"):
        assert chosen(deployment["spec"]["selector"]["matchLabels"]) == [deployment["spec"]["template"]]
    for budget in rendered.all("PodDisruptionBudget"):
        assert len(chosen(budget["spec"]["selector"]["matchLabels"])) == 1
        assert budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
    policies = rendered.all("NetworkPolicy")
    covered = []
    for policy in policies:
        [pod] = chosen(policy["spec"]["podSelector"]["matchLabels"])
        covered.append(pod)
        assert set(policy["spec"]["policyTypes"]) == {"Ingress", "Egress"}
        opened = {p["port"] for rule in policy["spec"]["ingress"] for p in rule["ports"]}
        assert opened == ports_of(pod).keys()
    assert len(covered) == len(templates), "each pod has a NetworkPolicy"
    for service in rendered.all("Service"):
        [pod] = chosen(service["spec"]["selector"])
        assert service["spec"]["publishNotReadyAddresses"] is True
        for port in service["spec"]["ports"]:
            assert ports_of(pod)[port["targetPort"]] == port["port"]
    for account in {p["spec"]["serviceAccountName"] for p in templates}:
        assert rendered.one("ServiceAccount", account)


@pytest.mark.parametrize("overlay", OURS)
def test_the_image_is_of_this_version_and_replaced_in_one_place(render, overlay: str) -> None:
    images = {c["image"] for _, p in pods(render(overlay).documents) for c in containers(p["spec"])}
    assert images == {f"gradewatch:{__version__}"}


# ---------------------------------------------------------------- monitoring


def test_generated_files_are_as_the_code_makes_them() -> None:
    from k8s.__main__ import MANIFESTS

    assert MANIFESTS.drift() == [], "run: make k8s"


def test_the_rule_object_holds_every_rule_and_each_once(render) -> None:
    groups = render("monitoring").one("PrometheusRule")["spec"]["groups"]
    shipped = [
        group for name in ("recording_rules.yml", "alert_rules.yml")
        for group in yaml.safe_load((ROOT / "prometheus" / name).read_text())["groups"]
    ]  # fmt: skip
    assert groups == shipped
    assert len({g["name"] for g in groups}) == len(groups)


def test_prometheus_takes_the_rules_and_kedas_queries(render, tmp_path: Path) -> None:
    need("promtool", shutil.which("promtool") is not None, "sudo apt-get install prometheus")
    queries = [t["metadata"]["query"] for t in render("keda").one("ScaledObject")["spec"]["triggers"]]
    keda = [{"name": "keda", "rules": [{"record": f"keda:query{n}", "expr": q} for n, q in enumerate(queries)]}]
    groups = render("monitoring").one("PrometheusRule")["spec"]["groups"]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [*groups, *keda]}))
    done = subprocess.run(
        ["promtool", "check", "rules", str(file)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    recorded = {r["record"] for g in groups for r in g["rules"] if "record" in r}
    for query in queries:
        used = set(re.findall(r"[a-z_]+:[a-z_]+:[a-z0-9]+", query))
        assert used
        assert used <= recorded


def test_dashboards_are_those_of_grafana_and_fit_into_a_configmap(render) -> None:
    maps = render("monitoring").all("ConfigMap")
    files = {path.name: path.read_text() for path in (ROOT / "grafana" / "dashboards").glob("*.json")}
    assert {name: text for m in maps for name, text in m["data"].items()} == files
    for one in maps:
        assert one["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert len(str(one)) < 1_000_000


@pytest.mark.parametrize("overlay", ["sidecar", "standalone"])
def test_monitors_find_the_pods_and_name_the_jobs_that_the_rules_want(render, overlay: str) -> None:
    jobs = {
        j["job_name"] for j in yaml.safe_load((ROOT / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    }
    templates = [pod for _, pod in pods(render(overlay).documents)]
    found = set()
    for monitor in render("monitoring").all("PodMonitor"):
        labels = monitor["spec"]["selector"]["matchLabels"]
        [pod] = [p for p in templates if labels.items() <= p["metadata"]["labels"].items()]
        [endpoint] = monitor["spec"]["podMetricsEndpoints"]
        assert endpoint["port"] in ports_of(pod)
        found |= {r["replacement"] for r in endpoint["relabelings"] if r.get("targetLabel") == "job"}
    assert found == jobs


def test_keda_scales_the_worker_down_slower_than_it_drains(render, tmp_path: Path) -> None:
    spec = render("keda").one("ScaledObject")["spec"]
    worker = render("worker")
    deployment = worker.one("Deployment")
    assert spec["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert "replicas" not in deployment["spec"], "an apply would undo what KEDA decided"
    down = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"]
    [policy] = down["policies"]
    assert (policy["type"], policy["value"], down["selectPolicy"]) == ("Pods", 1, "Min")
    drain = settings(worker, tmp_path).worker.drain
    assert policy["periodSeconds"] >= drain
    assert down["stabilizationWindowSeconds"] >= drain
    assert spec["minReplicaCount"] >= 1
    assert all(t["metricType"] == "AverageValue" for t in spec["triggers"]), "KEDA falls back for averages only"
