"""Makes a Grafana exactly what a bundle of data sources and dashboards says, and tells what is broken when a panel is empty."""
