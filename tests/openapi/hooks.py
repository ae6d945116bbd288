"""What schemathesis cannot know of the API: values of its formats, so that requests get past the
validation. Names are few, so that requests meet each other's objects."""

import base64
import ipaddress

import schemathesis
from hypothesis import strategies as st

ADDRESSES = st.one_of(st.sampled_from(["127.0.0.1", "10.9.0.2", "192.168.4.2", "fd00::2"]),
                      st.ip_addresses().map(str))
INTERFACES = st.sampled_from(["10.9.0.2", "10.9.0.2/24", "192.168.4.2/32", "fd00::2/64"])
PREFIXES = st.tuples(ADDRESSES, st.integers(0, 32)).map(
    lambda pair: str(ipaddress.ip_network(f"{pair[0]}/{pair[1]}", strict=False)))
KEYS = st.binary(min_size=32, max_size=32).map(lambda key: base64.b64encode(key).decode())
HOSTS = st.sampled_from(["vpn.example.org", "127.0.0.1", "[::1]", "192.0.2.7"])
ENDPOINTS = st.tuples(HOSTS, st.integers(1, 65535)).map(lambda pair: f"{pair[0]}:{pair[1]}")
NAMES = st.one_of(st.sampled_from(["home", "work", "web", "gw"]),
                  st.from_regex(r"\A[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\Z"))

schemathesis.openapi.format("ip-address", ADDRESSES)
schemathesis.openapi.format("ip-prefix", PREFIXES)
schemathesis.openapi.format("ip-interface", INTERFACES)
schemathesis.openapi.format("wireguard-key", KEYS)
schemathesis.openapi.format("endpoint", ENDPOINTS)
schemathesis.openapi.format("object-name", NAMES)


@schemathesis.hook
def before_call(context, case, kwargs):  # pylint: disable=unused-argument
    """What no schema says, and would have nearly every request refused; wrong types stay."""
    if case.headers and "If-Match" in case.headers and "If-None-Match" in case.headers:
        del case.headers["If-Match"], case.headers["If-None-Match"]  # together they never fit
    for item in _objects(case.body):
        for secret in ("private_key", "preshared_key"):  # inline or from a file
            if isinstance(item.get(secret), str) and isinstance(item.get(f"{secret}_file"), str):
                del item[f"{secret}_file"]
    path = case.path_parameters or {}
    name = path.get("peer", path.get("name"))
    if isinstance(case.body, dict) and isinstance(case.body.get("name"), str) and name:
        case.body["name"] = name  # the body's is that of the path


def _objects(value):
    """Every object in a body."""
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _objects(item)
