"""What can be known about the deployment on Railway without Railway."""

from gwz_stack.railway.project import Project, Service, load
from gwz_stack.railway.verify import verify

__all__ = ["Project", "Service", "load", "verify"]
