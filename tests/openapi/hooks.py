"""What schemathesis cannot know of the API: values of its formats, so that requests get past the
validation. Names are few, so that requests meet each other's objects."""

import base64
import ipaddress

import schemathesis
from hypothesis import strategies as st

ADDRESSES = st.one_of(st.sampled_from(["127.0.0.1", "10.9.0.2", "192.168.4.2", "fd00::2"]),
                      st.ip_addresses().map(str))
PREFIXES = st.tuples(ADDRESSES, st.integers(0, 32)).map(
    lambda pair: str(ipaddress.ip_network(f"{pair[0]}/{pair[1]}", strict=False)))
KEYS = st.binary(min_size=32, max_size=32).map(lambda key: base64.b64encode(key).decode())
HOSTS = st.sampled_from(["vpn.example.org", "127.0.0.1", "[::1]", "192.0.2.7"])
ENDPOINTS = st.tuples(HOSTS, st.integers(1, 65535)).map(lambda pair: f"{pair[0]}:{pair[1]}")
NAMES = st.one_of(st.sampled_from(["home", "work", "web", "gw"]),
                  st.from_regex(r"\A[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\Z"))

schemathesis.openapi.format("ip-address", ADDRESSES)
schemathesis.openapi.format("ip-prefix", PREFIXES)
schemathesis.openapi.format("wireguard-key", KEYS)
schemathesis.openapi.format("endpoint", ENDPOINTS)
schemathesis.openapi.format("object-name", NAMES)


@schemathesis.hook
def map_headers(context, headers):  # pylint: disable=unused-argument
    """Both preconditions together never fit: the examples would all be refused."""
    if headers and "If-Match" in headers and "If-None-Match" in headers:
        headers = {name: value for name, value in headers.items() if not name.startswith("If-")}
    return headers
