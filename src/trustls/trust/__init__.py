"""Whom we believe: certificates, root stores, path validation (RFC 5280), names (RFC 9525), CA hints and verifiers."""
