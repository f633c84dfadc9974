"""What Prometheus itself adds when it scrapes: two labels to every series, and `up`. No code of ours emits them."""

from gwz_instrument.semconv import Label, Metric

JOB = Label("job", "the jobs of stack/prometheus/prometheus.yml")
INSTANCE = Label("instance", "one value per process that is scraped")
ADDED = (JOB, INSTANCE)
"""On every series of a scraped target, beside the labels of its own."""

UP = Metric("up", "gauge", "1", (), "Whether the last scrape succeeded: 1 or 0.", "Prometheus")

METRICS = (UP,)
