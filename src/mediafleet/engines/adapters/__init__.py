"""Adapters on real libraries, programs and services, one a file; none imports its library before it is loaded."""
