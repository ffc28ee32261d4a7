"""A stand-in for the Kubernetes API server, over real HTTP, with the controllers and the kubelet that tests need.

It keeps to what a client can see of the real one: UIDs, resource versions, conflicts and preconditions; label and field
selectors, paged lists; watches with bookmarks, which end with 410 when their version was compacted away; eviction, with
429 where a disruption budget stands in the way; merge patches; the scale subresource; SelfSubjectAccessReviews; and
refusals for want of a right. Where it and a real cluster differ, it is wrong.

`ApiServer` serves a `State`; `Controllers` work on it as Deployments, ReplicaSets, StatefulSets and garbage collection
do; a `Kubelet` runs each pod's command as a process of this machine, with the environment, the termination log, the
memory limit and the restarts that a pod would have. `Faults` make the server slow, deaf, wrong or rude.
"""

from apiserver.controllers import Controllers
from apiserver.faults import Faults
from apiserver.http import ApiServer
from apiserver.kubelet import Kubelet
from apiserver.state import State

__all__ = ["ApiServer", "Controllers", "Faults", "Kubelet", "State"]
