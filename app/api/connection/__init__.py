"""Owns HTTP/1.1 on one connection: bytes in, requests to the application, answers out; does not know routes."""
