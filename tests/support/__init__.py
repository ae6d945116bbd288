"""What the end-to-end tests and the benchmarks share: namespaces, peers, servers, our service."""
