"""Seventeen simulated providers in one process, which do what the request's metadata asks for."""
